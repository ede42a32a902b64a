"""The parts of the console's page, and how a test uses them."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from mock_server import UsageMock
from mock_server.masking import mask_key
from tests.support.wire import usage

BUSY, MODEST = "demo-busy", "demo-modest"
HOSTILE = (
    b"GET /usage?x=<img/src=x/onerror=console.error(1)>\"'`</script> HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
)
OpenPage = Callable[..., Page]


def name_of(key: str) -> str:
    """Return the name of a key in the console: the shipped keys have their labels."""
    return key if key.startswith("demo-") else mask_key(key)


def card(page: Page, key: str) -> Locator:
    return page.locator("#cards > li").filter(has=page.get_by_role("button", name=name_of(key), exact=True))


def pick(page: Page, key: str) -> None:
    page.get_by_role("button", name=name_of(key), exact=True).click()


def section(page: Page, name: str) -> Locator:
    """Open a part of the panel, and return it."""
    found = page.locator("#panel details").filter(has=page.locator("summary", has_text=name))
    if found.get_attribute("open") is None:
        found.locator("summary").click()
    return found


def choose(page: Page, group: str, name: str) -> Locator:
    if group == "Faults":
        chosen = page.locator("#faults button", has=page.get_by_text(name, exact=True))
    else:
        chosen = page.get_by_role("group", name=group).get_by_role("button", name=name, exact=True)
    chosen.click()
    return chosen


def rows(page: Page) -> Locator:
    return page.locator("#rows > li")


def send_requests(page: Page, mock: UsageMock, key: str, times: int = 1) -> None:
    before = rows(page).count()
    for _ in range(times):
        usage(mock.url, key)
    expect(rows(page)).to_have_count(before + times)


def notice(page: Page) -> Locator:
    return page.locator("#notice > span")
