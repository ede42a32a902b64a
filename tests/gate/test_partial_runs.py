"""A partial or interrupted result states its reason and the needs of a complete run."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from contract_tests.support.rules import all_rules, rule_ids
from mock_server import UsageMock
from tests.support.gate import Respond, Run, http_response
from tests.support.reports import EARLIER, listed, report

RunGate = Callable[..., Run]
Serve = Callable[[Respond], str]
MAIN = {"CONTRACT_API_KEY": "a-key-of-the-tests"}
FEW = ("-k", "only_the_header or missing_key or over_the_limit", "--max-rate", "1000", "--report-dir", "out")
NEEDS = "a complete run needs --intrusive, all rules and two used keys"


@pytest.fixture
def run_partly(run_gate: RunGate) -> Callable[..., Run]:
    def run(*arguments: str, **environment: str) -> Run:
        with UsageMock(rate_limit=False) as mock:
            given = ("--base-url", mock.url, "--api-key", mock.api_key, *arguments)
            return run_gate(*given, environment=environment)

    return run


def test_a_partial_run_ends_with_the_needs_of_a_complete_one(run_partly: Callable[..., Run]) -> None:
    run = run_partly(*FEW)
    assert run.code == 0
    assert run.output.partition(" contract gate ")[2].splitlines()[-3] == NEEDS
    assert report(run)["complete_run"] == NEEDS
    for name in ("contract.md", "contract.html"):
        assert "two used keys" in (run.folder / "out" / name).read_text()


def test_a_partial_run_of_all_rules_estimates_the_time_of_a_complete_one(run_partly: Callable[..., Run]) -> None:
    run = run_partly("--max-requests", "1")
    needs = "a complete run needs --intrusive, more --max-requests and two used keys"
    assert re.search(rf"{needs}: about \d\d s", run.output)


def test_require_complete_is_named_as_the_reason(run_partly: Callable[..., Run]) -> None:
    run = run_partly(*FEW, "--require-complete")
    assert run.code == 4
    assert "the result is partial, which --require-complete refuses" in run.output
    assert "--require-complete" in report(run)["headline"]


def test_a_selection_is_partial_although_each_of_its_rules_was_tested(run_gate: RunGate) -> None:
    run = run_gate("-k", "missing_key_is_401", "--require-complete", "--report-dir", "out")
    assert (run.code, report(run)["verdict"]) == (4, "incomplete")
    assert f"rules: 1 of {len(rule_ids())} selected; 1 held" in run.output
    assert "the result is partial, which --require-complete refuses" in run.output
    assert report(run)["complete_run"] == "a complete run needs all rules"


def test_a_complete_run_needs_nothing_more(run_gate: RunGate) -> None:
    run = run_gate("--report-dir", "out")
    assert "a complete run needs" not in run.output
    assert report(run)["complete_run"] == ""


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (
            ("--rule", "errors/no-request-causes-5xx"),
            "the rule judges every exchange of a run, and some rules were not selected",
        ),
        (("--max-requests", "30"), "the rule judges every exchange of a run, and this run ended early"),
        (("--max-time", "0.5"), "the rule judges every exchange of a run, and this run ended early"),
    ],
)
def test_a_rule_over_all_exchanges_does_not_hold_for_some_of_them(
    arguments: tuple[str, ...], reason: str, run_partly: Callable[..., Run]
) -> None:
    run = run_partly(*arguments, "--report-dir", "out")
    rules = {rule["id"]: rule for rule in report(run)["rules"]}
    over_all = [rule.id for rule in all_rules() if rule.is_over_all and not rule.sends_requests and rule.id in rules]
    assert over_all
    assert {rules[name]["outcome"] for name in over_all} == {"not tested"}
    assert rules["errors/no-request-causes-5xx"]["reason"] == reason


def test_a_rule_over_all_exchanges_is_broken_by_any_of_them(run_gate: RunGate) -> None:
    with UsageMock(rate_limit=False, fault="missing-key-is-500") as mock:
        chosen = ("-k", "no_request_causes_5xx or missing_key_is_401")
        run = run_gate("--base-url", mock.url, "--api-key", mock.api_key, *chosen)
    assert run.failed == {"auth/missing-key-is-401", "errors/no-request-causes-5xx"}


def test_one_response_of_each_key_is_not_compared(run_partly: Callable[..., Run]) -> None:
    run = run_partly("--max-requests", "1", "--report-dir", "out")
    reasons = {rule["id"]: rule["reason"] for rule in report(run)["rules"] if rule["outcome"] == "not tested"}
    assert reasons["consistency/counters-do-not-decrease"] == "no key has 2 responses that can be compared"
    assert "keys/first-response-is-like-later-ones" in reasons


def test_one_notice_covers_all_rules_that_were_not_tested(run_partly: Callable[..., Run]) -> None:
    run = run_partly(*FEW, GITHUB_ACTIONS="true")
    (line,) = re.findall("^::.*", run.output, re.MULTILINE)
    assert line.startswith("::notice title=contract gate::2 rules of 3 not tested%0A")
    assert "bucket/over-the-limit-is-429: the rule is intrusive" in line
    assert line.endswith(f"%0A{NEEDS}")


def test_an_expired_deviation_is_reported_as_expired(run_gate: RunGate, serve: Serve, tmp_path: Path) -> None:
    url = serve(lambda _: http_response(b"{}"))
    known = ("--known-deviations", listed(tmp_path, "auth/missing-key-is-401", EARLIER))
    run = run_gate("--base-url", url, *FEW, *known, environment=MAIN)
    assert run.code == 1
    expired = "its known deviation expired on 2020-01-01 (platform, OPS-1): the gateway"
    summary = run.output.partition(" contract gate ")[2]
    assert expired in run.output.partition(" contract gate ")[0]
    assert re.search(rf"^broken: auth/missing-key-is-401 \(.*\); {re.escape(expired)}", summary, re.MULTILINE)
    (rule,) = (rule for rule in report(run)["rules"] if rule["outcome"] == "broken")
    assert rule["deviation"] == expired


def test_the_terminal_and_the_reports_agree_after_an_interrupt(run_gate: RunGate, serve: Serve, tmp_path: Path) -> None:
    def interrupt(head: bytes) -> bytes:
        if b"?" in head:
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGINT)
        return http_response(b"{}")

    chosen = ("-k", "missing_key or valid_key", "--max-rate", "1000", "--report-dir", "out")
    run = run_gate("--base-url", serve(interrupt), *chosen, environment=MAIN)
    document = report(run)
    assert (run.code, document["verdict"], document["exit_code"]) == (2, "interrupted", 2)
    counts = {outcome: number for outcome, number in document["counts"].items() if number}
    (tally,) = re.findall(r"^rules: (\d+) of \d+ selected; (.*)$", run.output, re.MULTILINE)
    assert int(tally[0]) == len(document["rules"]) == sum(counts.values())
    assert {name: int(number) for number, name in re.findall(r"(\d+) ([a-z ]+)", tally[1])} == counts
    assert counts["not tested"] > 0
    assert counts["broken"] > 0
    assert re.search(rf"not tested, {counts['not tested']} rules?: the run ended before", run.output)
