"""A mock whose console is open in the browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from mock_server import UsageMock
from tests.support.browser import WIDE, Scheme
from tests.support.console import OpenPage


@pytest.fixture(scope="module")
def served() -> Iterator[UsageMock]:
    with UsageMock() as mock:
        yield mock


@pytest.fixture
def mock(served: UsageMock) -> UsageMock:
    served.reset()
    return served


@pytest.fixture
def open_console(browser: Browser, mock: UsageMock) -> Iterator[OpenPage]:
    """Open the console; the browser must report no message, and send requests to the mock only."""
    messages: list[str] = []
    opened: list[Page] = []

    def open_with(size: tuple[int, int] = WIDE, scheme: Scheme = "light") -> Page:
        page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
        opened.append(page)
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("request", lambda request: messages.append(request.url))
        page.goto(f"{mock.url}/__mock__/")
        expect(page.locator("#connection")).to_have_text("live")
        expect(page.locator("#found")).to_contain_text("faults")
        return page

    yield open_with
    for page in opened:
        page.close()
    failed = "Failed to load resource: the server responded with a status of "
    expected = (f"{mock.url}/__mock__/", f"{mock.url}/usage", "data:,", f"{failed}409", f"{failed}401")
    assert [message for message in messages if not message.startswith(expected)] == []


@pytest.fixture
def page(open_console: OpenPage) -> Page:
    return open_console()
