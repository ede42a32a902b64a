"""The report page in Chromium, light and dark, narrow and wide, without scripts and network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page

from tests.support.browser import CONTRASTS, NARROW, OVERFLOWING, WIDE, Scheme
from tests.support.gate import http_response, run_gate_in, serving

RUNS = ("green", "red", "refused")
OpenPage = Callable[..., Page]


def run(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Path:
    """Run the gate in a subprocess, and return its report page."""
    folder.mkdir()
    run_gate_in(folder, "--report-dir=.", *arguments, environment=environment)
    return folder / "contract.html"


def broken(head: bytes) -> bytes:
    """Return a response of a deployment that breaks many rules, with several status codes."""
    if b"?" in head:
        return http_response(b'{"detail": "<img src=x onerror=console.error(1)>"}', "502 Bad Gateway")
    if b"main-key-0001" in head:
        return http_response(
            b'{"api_key": "main****", "total": 1, "rate_limit": {"rps": 900, "burst": 9, "remaining": 7}}'
        )
    return http_response(b'{"detail": "Invalid API key."}', "403 Forbidden")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    with serving(broken) as url:
        staging = ("--base-url", url, "--max-rate", "1000")
        return {
            "green": run(folder / "green"),
            "red": run(folder / "red", *staging, environment={"CONTRACT_API_KEY": "main-key-0001"}),
            "refused": run(folder / "refused", *staging, environment={"CONTRACT_API_KEY": "another-key-0002"}),
        }


@pytest.fixture
def open_page(browser: Browser, pages: dict[str, Path]) -> Iterator[OpenPage]:
    """Open the page of a run; the browser must report no message, and send no other request."""
    messages: list[str] = []
    opened: list[Page] = []

    def open_with(name: str, size: tuple[int, int] = WIDE, scheme: Scheme = "light") -> Page:
        page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on(
            "request", lambda request: messages.append(request.url) if request.url != pages[name].as_uri() else None
        )
        page.goto(pages[name].as_uri())
        opened.append(page)
        return page

    yield open_with
    for page in opened:
        page.close()
    assert [message for message in messages if message != "data:,"] == []


def is_on_screen(page: Page, element: Locator) -> bool:
    box = element.bounding_box()
    assert box
    assert page.viewport_size
    return box["y"] >= 0 and box["y"] + box["height"] <= page.viewport_size["height"]


@pytest.mark.parametrize("size", [WIDE, NARROW])
@pytest.mark.parametrize("name", RUNS)
def test_the_verdict_is_first(name: str, size: tuple[int, int], open_page: OpenPage) -> None:
    page = open_page(name, size)
    words = {"green": "✓ Conforms", "red": "✗ The contract is broken", "refused": "? Could not be tested"}
    first = page.locator("body > *").first
    assert first.locator("h1").inner_text() == words[name]
    assert is_on_screen(page, page.locator("h1"))
    assert is_on_screen(page, page.locator(".headline"))
    assert page.title().startswith(words[name])


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_a_broken_rule_is_on_the_first_screen_with_a_link_to_its_evidence(
    size: tuple[int, int], open_page: OpenPage
) -> None:
    page = open_page("red", size)
    reason = page.locator(".why li").first
    assert is_on_screen(page, reason)
    reason.locator("a").click()
    rule = page.locator("tr:target")
    assert rule.locator("th").inner_text().startswith(reason.locator("a").inner_text())
    assert rule.locator("details pre").first.is_visible()


def test_the_commands_to_run_are_on_the_first_screen(open_page: OpenPage) -> None:
    page = open_page("red")
    command = page.locator("pre").first
    assert is_on_screen(page, command)
    assert command.inner_text().startswith("pytest ")


@pytest.mark.parametrize("name", RUNS)
def test_nothing_is_wider_than_a_narrow_screen(name: str, open_page: OpenPage) -> None:
    page = open_page(name, NARROW)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") == NARROW[0]
    assert page.evaluate(OVERFLOWING) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", RUNS)
def test_every_text_and_mark_has_contrast(name: str, scheme: Scheme, open_page: OpenPage) -> None:
    page = open_page(name, scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    found = page.evaluate(CONTRASTS)
    assert len(found["texts"]) > 50
    assert found["texts"][0][0] >= 4.5, found["texts"][0]
    assert found["marks"][0][0] >= 3, found["marks"][0]


def test_light_and_dark_differ(open_page: OpenPage) -> None:
    backgrounds = [
        open_page("green", scheme=scheme).evaluate("getComputedStyle(document.documentElement).backgroundColor")
        for scheme in ("light", "dark")
    ]
    assert backgrounds == ["rgb(255, 255, 255)", "rgb(20, 23, 27)"]


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_details_open_by_keyboard(key: str, open_page: OpenPage) -> None:
    page = open_page("green")
    for _ in range(5):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    page.keyboard.press(key)
    assert page.evaluate("document.activeElement.parentElement.open")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_broken_rules_are_first_and_rules_that_need_no_attention_last(open_page: OpenPage) -> None:
    heads = open_page("red").locator("h2").all_inner_texts()
    assert [head.split(" (")[0] for head in heads] == [
        "Run it again", "Next step", "Broken", "Reported", "The run", "Not tested", "Held", "Not applicable",
        "Settings and versions",
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "section"), [("green", "held"), ("red", "held"), ("red", "not-tested")])
def test_rules_that_need_no_attention_are_folded(name: str, section: str, open_page: OpenPage) -> None:
    page = open_page(name)
    folds = page.locator(f"#{section} > details")
    titles = folds.locator("> summary").all_inner_texts()
    counts = [folds.nth(index).locator("tbody tr").count() for index in range(folds.count())]
    assert [int(title.rpartition("(")[2].rstrip(")")) for title in titles] == counts
    assert page.locator(f"#{section} h2").inner_text().endswith(f"({sum(counts)})")
    assert page.locator(f"#{section} tr:visible").count() == 0
    if section == "held":
        families = folds.locator("tbody th").evaluate_all("all => all.map(each => each.textContent.split('/')[0])")
        assert [title.partition(" (")[0] for title in titles] == list(dict.fromkeys(families))
    rule = folds.last.locator("tbody tr").last
    page.goto(f"{page.url}#{rule.get_attribute('id')}")
    assert rule.is_visible()


def test_a_promise_is_stated_once_and_a_problem_twice(open_page: OpenPage) -> None:
    page = open_page("red")
    reason = page.locator(".why li").first
    name, problem = reason.inner_text().split(": ", 1)
    row = page.locator("tr").filter(has=page.get_by_role("rowheader", name=f"{name} "))
    promise = row.locator("td p").first.inner_text()
    text = "\n".join(page.locator("header, .broken").all_inner_texts())
    assert text.count(promise) == 1
    assert row.inner_text().count(problem) == 1


def test_text_of_the_deployment_is_escaped(open_page: OpenPage) -> None:
    page = open_page("red")
    assert page.locator("script, img, iframe, object").count() == 0
    assert "<img src=x onerror" in str(page.locator("main").text_content())


def test_the_picture_and_its_description_show_each_request(open_page: OpenPage) -> None:
    page = open_page("red", NARROW)
    svg = page.get_by_role("img", name="Latency and status of each request")
    marks = svg.locator("use").evaluate_all("all => all.map(each => each.getAttribute('href') + each.textContent)")
    sent = re.search(r"(\d+) requests in ", page.locator(".facts").inner_text())
    assert sent
    assert len(marks) <= int(sent[1]) < len(marks) + 10  # one mark for a request that was repeated
    assert svg.locator("desc").text_content().startswith(f"{len(marks)} requests: ")  # type: ignore[union-attr]
    for shape, status in {"#mark-ok": ": 200 in", "#mark-refused": ": 403 in", "#mark-failed": ": 502 in"}.items():
        assert any(mark.startswith(shape) for mark in marks)
        assert all((status in mark) == mark.startswith(shape) for mark in marks)
    assert "tokens left, the main key" in svg.locator("text").all_text_contents()
