"""The console's list of requests."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

import mock_server.control
from mock_server import UsageMock
from mock_server.fixtures.deployments import Deployment, Key
from mock_server.masking import mask_key
from tests.support.console import BUSY, HOSTILE, OpenPage, notice, rows, send_requests
from tests.support.wire import TIMEOUT, send, send_request, usage


def test_a_request_is_shown_with_its_status_and_its_reason(page: Page, mock: UsageMock) -> None:
    send_requests(page, mock, BUSY)
    send_requests(page, mock, "unknown-key")
    expect(rows(page).first).to_contain_text("403GETThe mock does not have the API key")
    expect(rows(page).last).to_contain_text("200GETdemo-busy")


def test_a_row_opens_to_the_whole_exchange_and_the_reason(page: Page, mock: UsageMock) -> None:
    send_request(mock.url, headers=[("Authorization", "Bearer demo-busy"), ("X-Trace", "t-17")])
    expect(rows(page)).to_have_count(1)
    rows(page).first.locator("summary").click()
    request, response = (page.get_by_role("group", name=name, exact=True) for name in ("Request", "Response"))
    expect(request).to_contain_text("GET /usage")
    expect(request).to_contain_text("X-Tracet-17")
    expect(request).to_contain_text(f"AuthorizationBearer {mask_key(BUSY)}")
    expect(response).to_contain_text("Mock-Reasonkey-in-authorization")
    expect(response.locator("pre")).to_have_text('{"detail":"Missing or invalid API key."}')
    expect(rows(page).first).to_contain_text(
        "key-in-authorization: The request has Authorization instead of X-API-Key."
    )


def test_a_request_that_the_journal_no_longer_has_cannot_be_opened(page: Page, mock: UsageMock) -> None:
    send_requests(page, mock, BUSY)
    page.route("**/journal?number=*", lambda route: route.fulfill(json={"entries": []}))
    rows(page).first.locator("summary").click()
    expect(rows(page).first).to_contain_text("The journal no longer has this request.")


def test_lapses_of_a_client_are_marked_and_filtered(page: Page, mock: UsageMock) -> None:
    mock.freeze()
    send_requests(page, mock, BUSY, 12)
    expect(rows(page).first.locator(".lapse")).to_have_text("too early")
    expect(page.locator("#verdict")).to_have_text("1 lapse")
    page.get_by_label("Filter by status").select_option("lapse")
    expect(rows(page)).to_have_count(1)
    rows(page).first.locator("summary").click()
    expect(rows(page).first).to_contain_text("1.000 s before its Retry-After is over")
    mock.reset()
    expect(page.locator("#verdict")).to_be_empty()


@pytest.mark.parametrize("key", ["demo-busy", ""])
def test_an_empty_page_sends_a_request_and_shows_the_response(page: Page, mock: UsageMock, key: str) -> None:
    page.get_by_label("with the API key").fill(key)
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_role("group", name="Body of the response")).to_contain_text("804982" if key else "Missing")
    assert [entry.key for entry in mock.requests] == [key]


def test_the_command_of_an_empty_page_works(page: Page, mock: UsageMock) -> None:
    command = str(page.locator("#nothing pre").text_content())
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=TIMEOUT, check=True)
    assert '"total":804982' in done.stdout


def test_without_a_public_key_the_command_takes_the_key_from_the_shell(browser: Browser) -> None:
    deployment = Deployment("own", "One key.", {"secret-1": Key(label="Billing")})
    with UsageMock(deployment=deployment) as mock, browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{mock.url}/__mock__/")
        expect(page.locator("#nothing pre")).to_have_text(f'curl -i -H "X-API-Key: $USAGE_KEY" {mock.url}/usage')
        expect(page.get_by_label("with the API key")).to_have_value("")


def test_requests_before_the_page_was_opened_are_shown(open_console: OpenPage, mock: UsageMock) -> None:
    for _ in range(3):
        usage(mock.url, BUSY)
    expect(rows(open_console())).to_have_count(3)


def test_a_request_can_be_copied_as_a_curl_command(page: Page, mock: UsageMock) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    send_requests(page, mock, BUSY)
    rows(page).first.locator("summary").click()
    expect(rows(page).first).to_contain_text("Repeats the whole request.")
    page.get_by_role("button", name="Copy as curl").click()
    expect(notice(page)).to_have_text("The curl command is copied.")
    copied = page.evaluate("navigator.clipboard.readText()")
    fields = "-H 'Accept-Encoding: identity' -H \"X-API-Key: $USAGE_KEY\" -H User-Agent: -H Accept:"
    assert copied == f"curl {fields} {mock.url}/usage"


def test_the_journal_is_filtered_by_key_status_and_text(page: Page, mock: UsageMock) -> None:
    send_requests(page, mock, BUSY, 2)
    send_requests(page, mock, "unknown-key")
    send_request(mock.url, "/elsewhere")
    expect(rows(page)).to_have_count(4)
    page.get_by_label("Filter by status").select_option("refused")
    expect(rows(page)).to_have_count(2)
    page.get_by_label("Filter by text").fill("elsewhere")
    expect(rows(page)).to_have_count(1)
    page.get_by_label("Filter by key").select_option("-")
    expect(rows(page)).to_have_count(1)
    page.get_by_label("Filter by text").fill("")
    page.get_by_label("Filter by status").select_option("2xx")
    expect(page.locator("#nothing")).to_contain_text("No request matches the filters.")
    page.get_by_role("button", name=f"Requests of {BUSY}").click()
    expect(rows(page)).to_have_count(2)


def test_a_paused_journal_adds_no_rows_and_counts_new_requests(page: Page, mock: UsageMock) -> None:
    send_requests(page, mock, BUSY)
    page.get_by_role("button", name="Pause").click()
    usage(mock.url, BUSY)
    expect(page.locator("#counted")).to_have_text("1 shown · 2 held · 1 new")
    page.get_by_role("button", name="Pause").click()
    expect(rows(page)).to_have_count(2)


def test_the_page_holds_a_bounded_part_of_the_journal(page: Page, mock: UsageMock) -> None:
    for _ in range(210):
        send_request(mock.url, "/healthz")
    expect(page.locator("#counted")).to_have_text("200 shown · 210 held")
    assert rows(page).count() == 200


def test_requests_that_were_cleared_elsewhere_are_removed(page: Page, mock: UsageMock) -> None:
    send_requests(page, mock, BUSY, 2)
    mock.reset(BUSY)
    expect(rows(page)).to_have_count(0)
    send_requests(page, mock, BUSY)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#nothing")).to_contain_text(f"{mock.url}/usage")


def test_markup_in_a_target_is_shown_as_text(page: Page, mock: UsageMock) -> None:
    send(mock.url, HOSTILE)
    expect(rows(page).first).to_contain_text("<img/src=x/onerror=console.error(1)>")
    rows(page).first.locator("summary").click()
    expect(page.get_by_role("group", name="Request", exact=True)).to_contain_text("</script>")
    assert page.locator("main").locator("img, script, iframe").count() == 0


def test_the_page_inserts_no_markup() -> None:
    source = Path(mock_server.control.__path__[0], "console.html").read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b", source)
