"""The console by keyboard, for a screen reader, and in every size and colour scheme."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page, expect

from mock_server import UsageMock, make_app
from mock_server.options import MockOptions
from tests.support.browser import CONTRASTS, NARROW, OVERFLOWING, WIDE, Scheme
from tests.support.console import BUSY, HOSTILE, MODEST, OpenPage, pick, rows, send_requests
from tests.support.wire import send, send_request
from usage_contract import Contract

SHOW_ALL = """() => {
  document.querySelectorAll('details').forEach(each => each.open = true)
  document.querySelectorAll('[hidden]').forEach(each => each.hidden = false)
  document.querySelector('#notice').showPopover()
}"""


def test_a_fault_is_switched_on_by_keyboard_alone(page: Page, mock: UsageMock) -> None:
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "find-fault":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.type("405")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    name = page.locator(":focus b").inner_text()
    page.keyboard.press("Enter")
    expect(page.locator("#fault-now")).to_have_text(name)
    expect(page.locator(":focus")).to_have_attribute("aria-pressed", "true")


def test_a_scenario_is_switched_on_by_keyboard_alone(page: Page) -> None:
    page.get_by_role("group", name="Scenario").locator("button[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    name = page.locator(":focus").inner_text()
    page.keyboard.press("Enter")
    expect(page.locator("#scenario-now")).to_have_text(name)
    expect(page.locator(":focus")).to_have_attribute("aria-pressed", "true")


def test_a_long_list_is_one_tab_stop(page: Page) -> None:
    assert page.locator("#faults button").count() > 300
    assert page.locator("#faults > div").count() > 1
    assert page.locator("#faults button[tabindex='0']").count() == 1


def test_escape_closes_an_open_row(page: Page, mock: UsageMock) -> None:
    send_requests(page, mock, BUSY)
    rows(page).first.locator("summary").press("Enter")
    expect(page.get_by_role("button", name="Copy as curl")).to_be_visible()
    page.get_by_role("button", name="Copy as curl").press("Escape")
    expect(page.get_by_role("button", name="Copy as curl")).to_be_hidden()
    expect(rows(page).first.locator("summary")).to_be_focused()


def test_every_control_has_a_name(page: Page) -> None:
    page.evaluate(SHOW_ALL)
    controls = page.locator("main, header, #unlock, #notice").locator("button:not(.choices *), input, select").all()
    assert len(controls) > 50
    for control in controls:
        expect(control).to_have_accessible_name(re.compile(r"\S"))


def test_a_screen_reader_does_not_announce_new_requests(page: Page) -> None:
    expect(page.locator("#rows")).to_have_attribute("aria-live", "off")


def fill_page(page: Page, mock: UsageMock) -> None:
    """Make the page show every kind of content."""
    mock.use("throttled", MODEST)
    mock.delay("0.001")
    mock.make_key()
    send_requests(page, mock, MODEST)
    send(mock.url, HOSTILE)
    send_request(mock.url, "/long/" + "x" * 300)
    send_request(mock.url, headers=[("Prefer", "code=503")])
    expect(rows(page)).to_have_count(4)
    page.evaluate(SHOW_ALL)
    expect(page.locator("#rows pre").filter(has_text="curl")).to_have_count(4)


@pytest.mark.parametrize("size", [WIDE, NARROW, (800, 900), (1920, 1080)])
def test_nothing_is_wider_than_the_screen(size: tuple[int, int], open_console: OpenPage, mock: UsageMock) -> None:
    page = open_console(size)
    fill_page(page, mock)
    assert page.evaluate("document.documentElement.scrollWidth") == size[0]
    assert page.evaluate(OVERFLOWING) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast(scheme: Scheme, open_console: OpenPage, mock: UsageMock) -> None:
    page = open_console(scheme=scheme)
    pick(page, BUSY)
    fill_page(page, mock)
    texts = page.evaluate(CONTRASTS)["texts"]
    assert len(texts) > 500
    assert texts[0][0] >= 4.5, texts[0]


def violations(page: Page) -> list[str]:
    """Return the violations that axe reports, with their elements."""
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_axe_finds_no_violation(size: tuple[int, int], scheme: Scheme, open_console: OpenPage, mock: UsageMock) -> None:
    page = open_console(size, scheme)
    assert violations(page) == []
    mock.use("throttled", MODEST)
    mock.use("revoked", "demo-fresh")
    mock.delay("0.001")
    send_requests(page, mock, MODEST, 2)
    send_request(mock.url, f"/usage?api_key={BUSY}")
    expect(page.locator(".lapse")).to_have_count(2)
    page.evaluate("document.querySelectorAll('#work details').forEach(each => each.open = true)")
    expect(page.locator("#rows pre").filter(has_text="curl")).to_have_count(3)
    assert violations(page) == []
    page.get_by_role("button", name="Reset everything").click()
    assert violations(page) == []


def test_axe_finds_no_violation_in_a_page_without_its_mock(browser: Browser, contract: Contract) -> None:
    guarded = make_app(contract, MockOptions(control_token="open-sesame"))
    with browser.new_context() as context:
        page = context.new_page()
        with UsageMock(guarded) as mock:
            page.goto(f"{mock.url}/__mock__/")
            expect(page.get_by_label("Token")).to_be_focused()
            assert violations(page) == []
            page.keyboard.type("open-sesame")
            page.keyboard.press("Enter")
            expect(page.locator("#connection")).to_have_text("live")
        expect(page.get_by_role("alert").first).to_contain_text("cannot be reached")
        assert violations(page) == []


def test_light_and_dark_differ(open_console: OpenPage) -> None:
    backgrounds = [
        open_console(scheme=scheme).evaluate("getComputedStyle(document.documentElement).backgroundColor")
        for scheme in ("light", "dark")
    ]
    assert backgrounds == ["rgb(244, 246, 248)", "rgb(15, 18, 21)"]


def test_nothing_is_animated_with_reduced_motion(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    moving = "[...document.querySelectorAll('*')].filter(e => getComputedStyle(e).transitionDuration !== '0s').length"
    assert page.evaluate(moving) == 0
