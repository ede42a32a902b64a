"""The console's keys and buckets, and its controls for overrides, traffic and time."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from mock_server import UsageMock, make_app
from mock_server.fixtures.deployments import Deployment, Key, RateLimit
from mock_server.masking import mask_key
from tests.support.console import BUSY, MODEST, card, choose, notice, pick, rows, section, send_requests
from tests.support.wire import Clock, usage
from usage_contract import Contract


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
    slow = Deployment("slow", "One key.", {BUSY: Key(RateLimit(0.001, 10), tokens=0, label=BUSY)})
    with_stopped_clock = make_app(contract, deployment=slow, clock=Clock())
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
    expect(page.locator("#found")).to_contain_text(re.compile(r"^\d of \d{3,} faults$"))
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
