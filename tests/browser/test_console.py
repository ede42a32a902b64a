"""The console in a real browser: its contents, its controls and its appearance."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Locator, Page, expect

import mock_server.control
from mock_server import UsageMock, load_deployment, make_app
from mock_server.fixtures.deployments import Deployment, Key
from mock_server.fixtures.library import Library
from mock_server.masking import mask_key
from mock_server.options import MockOptions
from mock_server.web.mock import MOCK
from tests.support.browser import CONTRASTS, NARROW, OVERFLOWING, WIDE, Scheme
from tests.support.wire import TIMEOUT, Clock, send, send_request, usage
from usage_contract import Contract

BUSY, MODEST = "demo-busy", "demo-modest"
HOSTILE = (
    b"GET /usage?x=<img/src=x/onerror=console.error(1)>\"'`</script> HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
)
SHOW_ALL = """() => {
  document.querySelectorAll('details').forEach(each => each.open = true)
  document.querySelectorAll('[hidden]').forEach(each => each.hidden = false)
  document.querySelector('#notice').showPopover()
}"""
OpenPage = Callable[..., Page]


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


# Keys and buckets.


def test_each_key_is_shown_by_its_label_or_its_id_with_its_bucket(page: Page, mock: UsageMock) -> None:
    made = mock.make_key()
    expect(page.locator("#cards .pick")).to_have_text([*mock.keys[:3], mask_key(made)])
    meter = page.get_by_role("meter", name=f"Tokens of {BUSY}")
    expect(meter).to_have_attribute("aria-valuenow", "10")
    expect(meter).to_have_attribute("aria-valuemax", "10")
    expect(card(page, BUSY)).to_contain_text("804,982 requests")
    assert made not in page.content()


def test_a_label_of_the_deployment_file_names_a_key(browser: Browser) -> None:
    deployment = Deployment("own", "Two keys.", {"secret-1": Key(label="Billing <b>"), "secret-2": Key()})
    with UsageMock(deployment=deployment) as mock, browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{mock.url}/__mock__/")
        expect(page.locator("#cards .pick")).to_have_text(["Billing <b>", mask_key("secret-2")])
        usage(mock.url, "secret-1")
        expect(rows(page).first).to_contain_text("Billing <b>")
        expect(page.locator("#target")).to_contain_text("Billing <b>")
        assert "secret-1" not in page.content()


def test_requests_drain_a_bucket_and_time_fills_it(page: Page, mock: UsageMock) -> None:
    mock.freeze()
    send_requests(page, mock, BUSY, 10)
    expect(card(page, BUSY)).to_contain_text("0.0 of 10 tokens")
    expect(card(page, BUSY).locator(".bucket")).to_have_attribute("data-level", "empty")
    mock.advance(0.5)
    expect(card(page, BUSY)).to_contain_text("5.0 of 10 tokens")
    mock.resume()
    expect(card(page, BUSY)).to_contain_text("10.0 of 10 tokens")
    assert card(page, BUSY).locator(".bucket i").evaluate("e => e.style.getPropertyValue('--full')") == "1"


def test_between_two_events_a_bucket_fills_by_its_rate(browser: Browser, contract: Contract) -> None:
    with_stopped_clock = make_app(contract, MockOptions(scenario="throttled"), clock=Clock())
    with UsageMock(with_stopped_clock) as mock, browser.new_context() as context:
        page = context.new_page()
        page.clock.install()
        page.goto(f"{mock.url}/__mock__/")
        expect(card(page, BUSY)).to_contain_text("0.0 of 10 tokens · 0.001/s")
        page.clock.fast_forward(2_000_000)
        expect(card(page, BUSY)).to_contain_text("2.0 of 10 tokens")


def test_a_revoked_key_has_no_bucket(page: Page, mock: UsageMock) -> None:
    mock.use("revoked", BUSY)
    expect(card(page, BUSY)).to_contain_text("Revoked")
    expect(card(page, BUSY).locator(".bucket")).to_be_hidden()


def test_some_of_many_keys_are_shown_and_each_is_found(page: Page, mock: UsageMock) -> None:
    expect(page.get_by_label("Find a key")).to_be_hidden()
    made = [mock.make_key() for _ in range(70)]
    expect(page.locator("#more-keys")).to_have_text("and 13 more: find them by name")
    page.get_by_label("Find a key").fill(mask_key(made[50])[-6:])
    expect(page.locator("#cards .pick")).to_have_text([mask_key(made[50])])


# Overrides.


def test_a_click_sets_a_scenario_for_all_keys_and_another_click_removes_it(page: Page, mock: UsageMock) -> None:
    before = usage(mock.url, BUSY).json["total"]
    chosen = choose(page, "Scenario", "heavy")
    expect(chosen).to_have_attribute("aria-pressed", "true")
    expect(card(page, BUSY)).to_contain_text("scenario heavy")
    assert usage(mock.url, BUSY).json["total"] > 1000 * before
    chosen.click()
    expect(chosen).to_have_attribute("aria-pressed", "false")
    assert usage(mock.url, BUSY).json["total"] == before


def test_a_scenario_can_be_set_for_one_key_and_none_disables_it(page: Page, mock: UsageMock) -> None:
    choose(page, "Scenario", "revoked")
    expect(page.locator("#scenario-now")).to_have_text("revoked")
    pick(page, BUSY)
    expect(page.locator("#target")).to_have_value(mask_key(BUSY))
    expect(choose(page, "Scenario", "none")).to_have_attribute("aria-pressed", "true")
    assert (usage(mock.url, BUSY).status, usage(mock.url, MODEST).status) == (200, 403)


def test_a_fault_is_found_by_its_words_and_switched_on_and_off(page: Page, mock: UsageMock) -> None:
    page.get_by_label("Find a fault").fill("429 detail")
    expect(page.locator("#found")).to_contain_text(re.compile(r"^\d of \d{3} faults$"))
    page.get_by_label("Find a fault").fill("content-type-is-text")
    chosen = choose(page, "Faults", "content-type-is-text")
    expect(page.locator("#fault-now")).to_have_text("content-type-is-text")
    assert usage(mock.url, MODEST).headers.get_content_type() == "text/plain"
    chosen.click()
    expect(page.locator("#fault-now")).to_have_text("none")
    assert usage(mock.url, MODEST).headers.get_content_type() == "application/json"


def test_a_fault_can_be_for_some_requests_only(page: Page, mock: UsageMock) -> None:
    page.get_by_label("Requests to skip").fill("1")
    page.get_by_label("Requests to change").fill("1")
    page.get_by_label("Find a fault").fill("content-type-is-text")
    choose(page, "Faults", "content-type-is-text")
    expect(page.locator("#everyone")).to_contain_text("fault content-type-is-text after 1, 1 of 1 left")
    types = [usage(mock.url, MODEST).headers.get_content_type() for _ in range(3)]
    assert types == ["application/json", "text/plain", "application/json"]
    expect(page.locator("#everyone")).to_contain_text("fault content-type-is-text, 0 of 1 left")


def test_a_status_code_and_a_delay_are_switched_on_and_all_off(page: Page, mock: UsageMock) -> None:
    choose(page, "Status code", "503")
    expect(page.locator("#code-now")).to_have_text("503")
    assert usage(mock.url, BUSY).status == 503
    page.get_by_label("Another status code").fill("418")
    page.get_by_role("button", name="Set status").click()
    expect(page.locator("#code-now")).to_have_text("418")
    page.get_by_label("Another delay").fill("0.01..0.02")
    page.get_by_role("button", name="Set delay").click()
    expect(page.locator("#everyone .chips")).to_have_text("code 418delay 0.01..0.02 s")
    page.get_by_role("button", name="Remove overrides").click()
    expect(page.locator("#everyone .chips")).to_be_hidden()
    assert usage(mock.url, BUSY).status == 200


def test_the_remaining_number_of_a_status_code_is_shown(page: Page, mock: UsageMock) -> None:
    mock.answer(503, times=2)
    expect(page.locator("#everyone .chips")).to_have_text("code 503, 2 of 2 left")
    usage(mock.url, BUSY)
    expect(page.locator("#everyone .chips")).to_have_text("code 503, 1 of 2 left")


def test_a_rejected_change_is_reported_and_its_notice_can_be_dismissed(page: Page) -> None:
    page.get_by_label("Another delay").fill("soon")
    page.get_by_role("button", name="Set delay").click()
    expect(notice(page)).to_contain_text("soon")
    page.keyboard.press("Escape")
    expect(notice(page)).to_be_hidden()


def test_recorded_traffic_changes_the_totals(page: Page, mock: UsageMock) -> None:
    before = usage(mock.url, MODEST).json
    pick(page, MODEST)
    form = section(page, "Traffic")
    for name, value in {"Domain": "new.example", "Requests": "41", "Failures": "1", "Bytes": "1000"}.items():
        form.get_by_label(name).fill(value)
    form.get_by_label("Protocol").select_option("ws")
    expect(form.get_by_label("Bytes")).to_be_disabled()  # only fetch counts bytes
    form.get_by_role("button", name="Record traffic").click()
    expect(notice(page)).to_have_text(f"41 requests to new.example are recorded for {MODEST}.")
    expect(card(page, MODEST)).to_contain_text(f"{before['total'] + 41:,} requests")
    after = usage(mock.url, MODEST).json
    assert [after[name] - before[name] for name in ("total", "success", "fail")] == [41, 40, 1]


def test_time_is_frozen_advanced_and_resumed(page: Page) -> None:
    page.get_by_role("button", name="Freeze").click()
    expect(page.locator("#now")).to_contain_text("frozen")
    before = str(page.locator("#now").text_content())
    section(page, "Time").get_by_role("button", name="+1 day").click()
    expect(page.locator("#now")).not_to_have_text(before)
    page.get_by_label("Seconds to advance").fill("0.5")
    page.get_by_role("button", name="Advance", exact=True).click()
    expect(notice(page)).to_have_text("The clock advanced by 0.5 s.")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#now")).not_to_contain_text("frozen")


def test_a_reset_of_one_key_does_not_affect_other_keys(page: Page, mock: UsageMock) -> None:
    mock.use("heavy", BUSY)
    mock.use("heavy", MODEST)
    expect(card(page, BUSY)).to_contain_text("heavy")
    page.get_by_role("button", name=f"Reset {BUSY}").click()
    expect(card(page, BUSY)).not_to_contain_text("heavy")
    expect(card(page, MODEST)).to_contain_text("heavy")


def test_a_full_reset_needs_a_confirmation(page: Page, mock: UsageMock) -> None:
    made = mock.make_key()
    send_requests(page, mock, made)
    page.get_by_role("button", name="Reset everything").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert made in mock.keys
    page.get_by_role("button", name="Reset everything").click()
    page.get_by_role("dialog").get_by_role("button", name="Reset everything").click()
    expect(card(page, made)).to_have_count(0)
    expect(rows(page)).to_have_count(0)


def test_a_created_key_is_shown_once(page: Page, mock: UsageMock) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    form = section(page, "New key")
    form.get_by_label("Scenario").select_option("heavy")
    form.get_by_role("button", name="Create key").click()
    expect(page.locator("#made-key")).to_be_visible()
    made = str(page.locator("#made-key").text_content())
    assert usage(mock.url, made).json["total"] > 10**9
    page.get_by_role("button", name="Copy the key").click()
    expect(notice(page)).to_have_text("The key is copied.")
    assert page.evaluate("navigator.clipboard.readText()") == made
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    expect(card(page, made)).to_contain_text("created")
    assert made not in page.content()


def test_the_export_command_quotes_the_key_for_a_shell(page: Page) -> None:
    form = section(page, "New key")
    form.get_by_label("Key", exact=True).fill("it's")
    form.get_by_role("button", name="Create key").click()
    expect(page.locator("#made-export")).to_have_text("export USAGE_KEY='it'\\''s'")


# The journal.


def test_a_request_is_shown_with_its_status_and_its_reason(page: Page, mock: UsageMock) -> None:
    send_requests(page, mock, BUSY)
    send_requests(page, mock, "nobody")
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


def test_faults_are_grouped_by_theme_and_the_common_ones_come_first(page: Page) -> None:
    faults = [
        {"name": name, "description": "Something.", "theme": theme}
        for name, theme in (("a", "Speed"), ("b", "Body"), ("body-is-empty", "Body"), ("c", "Speed"))
    ]
    page.route("**/faults", lambda route: route.fulfill(json=faults))
    page.reload()
    expect(page.locator("#found")).to_have_text("4 of 4 faults")
    groups = page.locator("#faults > div")
    expect(groups.locator("h3")).to_have_text(["Common", "Speed", "Body"])
    expect(groups.nth(0).locator("b")).to_have_text(["none", "body-is-empty"])
    expect(page.get_by_role("group", name="Speed").locator("b")).to_have_text(["a", "c"])
    page.get_by_label("Find a fault").fill("speed")
    expect(groups.locator("h3")).to_have_text(["Speed"])


def test_the_common_faults_exist(page: Page) -> None:
    common = page.get_by_role("group", name="Common").locator("b").all_inner_texts()
    assert len(common) == 1 + len(page.evaluate("COMMON"))


@pytest.mark.parametrize("name", ["Scenario", "Status code", "Delay"])
def test_the_usual_overrides_are_above_the_fold(page: Page, name: str) -> None:
    chips = page.get_by_role("group", name=re.compile(rf"^{name}\b")).get_by_role("button")
    expect(chips.last).to_be_visible()
    for chip in chips.all():
        box = chip.bounding_box()
        assert box and box["y"] + box["height"] < 450


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
    send_requests(page, mock, "nobody")
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


# Connection and token.


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


# Keyboard and appearance.


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
