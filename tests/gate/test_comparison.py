"""`--compare`: the changes since an earlier run, and files that are not reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract_tests.reports.comparison import STATES, EarlierReport, compare, comparison_lines, read_report
from contract_tests.reports.model import OUTCOMES, Comparison, Outcome, RuleReport
from tests.support.gate import Respond, Run, http_response
from tests.support.reports import report

RunGate = Callable[..., Run]
Serve = Callable[[Respond], str]
OPTIONS = ("-k", "missing_key or valid_key", "--max-rate", "1000", "--report-dir", "out")
COMPARE = ("--compare", "out/contract.json")
KEY = {"CONTRACT_API_KEY": "a-key-of-the-tests"}
RULE = "auth/missing-key-is-401"


def open_to_all(_: bytes) -> bytes:
    return http_response(b"{}")


def protected(head: bytes) -> bytes:
    return (
        http_response(b"{}")
        if b"a-key-of-the-tests" in head
        else http_response(b'{"detail": "no"}', "401 Unauthorized")
    )


def rule(name: str, outcome: Outcome) -> RuleReport:
    return RuleReport(name, "documented", "source", "promise", outcome)


@pytest.mark.parametrize(
    ("before", "now", "change"),
    [
        ("kept", "broken", "newly broken"),
        ("untested", "broken", "newly broken"),
        (None, "broken", "newly broken"),
        ("kept", "known deviation", "newly broken"),
        ("broken", "reported", None),
        ("broken", "held", "mended"),
        ("broken", "stale deviation", "mended"),
        ("untested", "held", None),
        ("kept", "not tested", "newly untested"),
        ("broken", "gate error", "newly untested"),
        ("untested", "not tested", None),
        (None, "not tested", None),
    ],
)
def test_a_rule_is_in_the_list_of_its_change(before: Any, now: Outcome, change: str | None) -> None:
    earlier = EarlierReport("http://a", "2026-01-01T00:00:00+00:00", {"a/b": before} if before else {})
    changes = compare(earlier, [rule("a/b", now)]).changes
    assert [name for name, ids in changes if ids] == ([change] if change else [])


def test_each_outcome_can_be_compared() -> None:
    assert set(STATES) == set(OUTCOMES)


def test_the_terminal_lists_few_rules() -> None:
    many = tuple(f"a/{number}" for number in range(7))
    lines = list(comparison_lines(Comparison("http://a", "2026-01-01", many, (), ("b/c",))))
    assert lines == [
        "compared with the run of 2026-01-01: 7 newly broken, 0 mended, 1 newly untested",
        "newly broken: a/0, a/1, a/2, a/3, a/4 and 2 more",
        "newly untested: b/c",
    ]


def test_summary_and_reports_list_the_changes(run_gate: RunGate, serve: Serve) -> None:
    first = report(run_gate("--base-url", serve(protected), *OPTIONS, environment=KEY))
    run = run_gate("--base-url", serve(open_to_all), *OPTIONS, *COMPARE, environment=KEY)
    assert f"compared with the run of {first['started']}: " in run.output
    changes = report(run)["comparison"]
    assert (changes["target"], changes["started"]) == (first["target"], first["started"])
    assert RULE in changes["newly_broken"]
    assert changes["mended"] == []
    assert f'<a href="#rule-auth-missing-key-is-401">{RULE}</a>' in (run.folder / "out" / "contract.html").read_text()
    assert f"- newly broken ({len(changes['newly_broken'])}): " in (run.folder / "out" / "contract.md").read_text()
    mended = run_gate("--base-url", serve(protected), *OPTIONS, *COMPARE, environment=KEY)
    assert report(mended)["comparison"]["mended"] == changes["newly_broken"]
    assert report(mended)["exit_code"] == first["exit_code"]


def test_reports_are_not_compared_without_the_option(run_gate: RunGate, serve: Serve) -> None:
    run = run_gate("--base-url", serve(open_to_all), *OPTIONS, environment=KEY)
    assert report(run)["comparison"] is None
    assert "compared with" not in run.output


NOT_REPORTS = {
    "": "it is not JSON: ",
    "[" * 100_000: "it is not JSON: ",
    "[]": "it has no member `format`; expected 'usage-contract/report/2'",
    '{"format": "usage-contract/report/1"}': "its format is 'usage-contract/report/1'; expected",
    '{"format": "usage-contract/report/2"}': "$: 'verdict' is a required property",
}


@pytest.mark.parametrize("content", NOT_REPORTS, ids=range(len(NOT_REPORTS)))
def test_a_file_that_is_not_a_report_is_rejected_with_the_reason(content: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the reasons are compared below
        read_report(content)
    assert NOT_REPORTS[content] in str(error.value)


@pytest.mark.parametrize("content", [None, b"<html>", b"\xff"])
def test_another_file_ends_the_run_with_one_message(
    content: bytes | None, run_gate: RunGate, serve: Serve, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "other.json").write_bytes(content)
    heads: list[bytes] = []
    url = serve(lambda head: heads.append(head) or http_response(b"{}"))  # type: ignore[func-returns-value]
    run = run_gate("--base-url", url, *OPTIONS, "--compare", "other.json", environment=KEY)
    assert (run.code, heads) == (4, [])
    message = f"--compare: {tmp_path}/other.json is not a report of the gate (contract.json): "
    assert run.output.count(message) == 1
    assert "Traceback" not in run.output
    assert message in report(run)["headline"]


def test_a_start_that_is_not_a_date_is_rejected(run_gate: RunGate, serve: Serve) -> None:
    document = report(run_gate("--base-url", serve(open_to_all), *OPTIONS, environment=KEY))
    assert read_report(json.dumps(document)).states[RULE] == "broken"
    with pytest.raises(ValueError, match="isoformat"):
        read_report(json.dumps(document | {"started": "\x1b[2J"}))
