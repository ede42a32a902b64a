"""The console without its mock, with files that cannot be served, and with a token."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, expect

from mock_server import UsageMock, load_deployment, make_app
from mock_server.fixtures.library import Library
from mock_server.options import MockOptions
from mock_server.web.mock import MOCK
from tests.support.console import BUSY, rows, send_requests
from usage_contract import Contract


def test_a_lost_connection_is_reported_and_restored_automatically(browser: Browser) -> None:
    with browser.new_context() as context:
        page = context.new_page()
        with UsageMock() as first:
            page.goto(f"{first.url}/__mock__/")
            expect(page.locator("#connection")).to_have_text("live")
            send_requests(page, first, BUSY, 2)
        expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
        expect(page.locator("#work")).to_have_attribute("inert", "")
        expect(page.locator("#work")).to_have_css("opacity", "0.5")
        expect(page.get_by_role("button", name="Freeze")).to_be_disabled()
        with UsageMock(port=urlsplit(first.url).port or 0) as second:
            expect(page.locator("#connection")).to_have_text("live")  # after three seconds
            expect(page.locator("#lost")).to_be_hidden()
            expect(page.locator("#work")).not_to_have_attribute("inert", "")
            expect(rows(page)).to_have_count(0)
            send_requests(page, second, BUSY)


def test_files_that_cannot_be_served_are_reported(browser: Browser, contract: Contract) -> None:
    app = make_app(contract)
    with UsageMock(app) as mock, browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{mock.url}/__mock__/")
        expect(page.locator("#connection")).to_have_text("live")
        app[MOCK].set_reload_error("faults/own.yaml:3: <b>that</b> is not a delay")
        expect(page.get_by_role("alert")).to_contain_text("faults/own.yaml:3: <b>that</b> is not a delay")
        app[MOCK].set_reload_error(None)
        expect(page.locator("#problem")).to_be_hidden()


def test_a_page_that_regains_focus_offers_new_scenarios(browser: Browser, contract: Contract, tmp_path: Path) -> None:
    app = make_app(contract)
    with UsageMock(app) as mock, browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{mock.url}/__mock__/")
        expect(page.locator("#found")).to_contain_text("faults")
        (tmp_path / "scenarios").mkdir()
        (tmp_path / "scenarios" / "own.yaml").write_text("description: My own.\ncode: 503\n")
        app[MOCK].simulator.library = Library(load_deployment(), tmp_path)
        page.evaluate("dispatchEvent(new Event('focus'))")
        expect(page.locator("#scenarios").get_by_text("own", exact=True)).to_be_visible()


def test_a_token_is_requested_and_kept_for_the_tab(browser: Browser, contract: Contract) -> None:
    guarded = make_app(contract, MockOptions(control_token="open-sesame"))
    with UsageMock(guarded) as mock, browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{mock.url}/__mock__/")
        expect(page.get_by_label("Token")).to_be_focused()
        expect(page.locator("#wrong")).to_be_hidden()
        page.keyboard.type("wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#wrong")).to_be_visible()
        expect(page.get_by_label("Token")).to_be_focused()
        page.keyboard.type("open-sesame")
        page.keyboard.press("Enter")
        expect(page.locator("#connection")).to_have_text("live")
        expect(page.locator("#unlock")).to_be_hidden()
        page.reload()
        expect(page.locator("#connection")).to_have_text("live")
        assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
