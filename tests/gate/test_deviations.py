"""Known deviations are accepted until they expire, and only as long as they occur."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from contract_tests.reports.deviations import suggested_deviations
from contract_tests.reports.model import ExchangeReport, FindingReport, Report, RuleReport
from contract_tests.run.deviations import read_deviations
from contract_tests.support.rules import rule_ids
from tests.support.gate import Respond, Run, http_response
from tests.support.reports import EARLIER, ENTRY, LATER, listed


@pytest.fixture
def run_listed(run_gate: Callable[..., Run], serve: Callable[[Respond], str], tmp_path: Path) -> Callable[..., Run]:
    """Run two rules, of which the one about a missing key is broken, with one deviation listed."""
    url = serve(lambda _: http_response(b"{}"))

    def run(rule: str, expires: str = LATER, reason: str = "the gateway") -> Run:
        few = ("-k", "missing_key or valid_key", "--max-rate", "1000", "--api-key", "main-key")
        path = Path(listed(tmp_path, rule, expires))
        path.write_text(path.read_text().replace("the gateway", reason))
        return run_gate("--base-url", url, *few, "--known-deviations", str(path))

    return run


def test_a_known_deviation_is_reported_and_does_not_fail_the_run(run_listed: Callable[..., Run]) -> None:
    run = run_listed("auth/missing-key-is-401")
    assert run.code == 0
    assert "known deviation: auth/missing-key-is-401" in run.output
    assert run.outcomes["auth/missing-key-is-401"] == "skipped"


def test_a_key_in_an_entry_is_redacted_in_the_junit_file(run_listed: Callable[..., Run]) -> None:
    run = run_listed("auth/missing-key-is-401", reason="the gateway accepts main-key")
    assert run.code == 0
    assert "the gateway accepts &lt;redacted:1&gt;" in (run.folder / "junit.xml").read_text()


def test_an_expired_entry_fails_the_run(run_listed: Callable[..., Run]) -> None:
    run = run_listed("auth/missing-key-is-401", EARLIER)
    assert run.code == 1
    assert "broken: auth/missing-key-is-401" in run.output


@pytest.mark.parametrize("expires", [LATER, EARLIER])
def test_a_deviation_that_no_longer_occurs_fails_the_run(expires: str, run_listed: Callable[..., Run]) -> None:
    run = run_listed("auth/valid-key-is-200", expires)
    assert run.code == 1
    entry = f"known deviation until {expires} (platform, OPS-1)"
    assert f"auth/valid-key-is-200 holds now: remove its entry from --known-deviations: {entry}" in run.output


def test_an_unknown_rule_is_rejected_with_the_nearest_id(run_listed: Callable[..., Run]) -> None:
    run = run_listed("auth/mising-key-is-401")
    assert run.code == 4
    assert "auth/mising-key-is-401 is not a rule; did you mean auth/missing-key-is-401?" in run.output


PROBLEMS = {
    "[[deviation]]\n": "rule is missing, or is not a text",
    "[[deviation]]\n"
    + ENTRY.format(rule="auth/missing-key-is-401", expires='"2027"'): "expires is missing, or is not a date",
    "[[deviation]]\nsince = 1\n": "'since' is not known",
    "deviation = 3\n": "each entry starts with [[deviation]]",
    "[deviations]\n": "'deviations' is not known",
    "[[deviation]\n": "cannot be read",
    2 * ("[[deviation]]\n" + ENTRY.format(rule="auth/missing-key-is-401", expires=LATER)): "is listed twice",
}


@pytest.mark.parametrize("content", PROBLEMS, ids=range(len(PROBLEMS)))
def test_an_invalid_file_is_reported(content: str, tmp_path: Path) -> None:
    (tmp_path / "known.toml").write_text(content)
    with pytest.raises(pytest.UsageError) as error:
        read_deviations(tmp_path / "known.toml", rule_ids())
    assert PROBLEMS[content] in str(error.value)


def test_a_file_is_read_as_it_is_written(tmp_path: Path) -> None:
    deviations = read_deviations(Path(listed(tmp_path, "auth/missing-key-is-401")), rule_ids())
    assert deviations["auth/missing-key-is-401"].expires == date(9999, 12, 31)


def test_a_time_is_not_a_date(tmp_path: Path) -> None:
    with pytest.raises(pytest.UsageError, match="expires is missing, or is not a date"):
        read_deviations(Path(listed(tmp_path, "auth/missing-key-is-401", "2027-03-31T10:00:00")), rule_ids())


def suggested(run: Run) -> str:
    """Return the entries that the Markdown report of a run suggests."""
    tokens = MarkdownIt().parse((run.folder / "out" / "contract.md").read_text())
    return "".join(token.content for token in tokens if token.info == "toml")


def test_entries_for_broken_rules_are_accepted_once_they_are_filled_in(
    run_gate: Callable[..., Run], serve: Callable[[Respond], str]
) -> None:
    url = serve(lambda _: http_response(b"{}"))
    few = ("-k", "missing_key or valid_key", "--max-rate", "1000", "--api-key", "main-key", "--report-dir", "out")
    red = run_gate("--base-url", url, *few)
    entries = suggested(red)
    assert f"report: {red.folder}/out/contract.html, with entries for --known-deviations\n" in red.output
    assert entries.startswith(
        '[[deviation]]\nrule = "auth/missing-key-is-401"\nreason = "the status is 200 instead of 401"\n'
    )
    page = (red.folder / "out" / "contract.html").read_text()
    assert "<h2>Next step</h2>" in page
    assert "the status is 200 instead of 401" in page
    known = red.folder / "known.toml"
    known.write_text(entries)
    unfilled = run_gate("--base-url", url, *few, "--known-deviations", "known.toml")
    assert unfilled.code == 4
    assert "entry 1: owner is missing, or is not a text" in unfilled.output
    assert "entry 1: expires is missing, or is not a date" in unfilled.output
    known.write_text(re.sub('(?<=expires = )""', LATER, re.sub('(?<=owner = |icket = )""', '"us"', entries)))
    accepted = run_gate("--base-url", url, *few, "--known-deviations", "known.toml")
    assert accepted.code == 0
    assert suggested(accepted) == ""
    assert "entries for --known-deviations" not in accepted.output


def test_an_expired_entry_is_not_suggested_again(run_listed: Callable[..., Run]) -> None:
    assert "entries for --known-deviations" not in run_listed("auth/missing-key-is-401", EARLIER).output


def test_a_run_without_a_report_folder_names_the_option(
    run_gate: Callable[..., Run], serve: Callable[[Respond], str]
) -> None:
    url = serve(lambda _: http_response(b"{}"))
    run = run_gate("--base-url", url, "--rule", "auth/missing-key-is-401", "--api-key", "main-key")
    assert "report: --report-dir DIR writes one, with entries for --known-deviations\n" in run.output


@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"])))
def test_any_reason_is_one_line_of_valid_toml(text: str) -> None:
    exchange = ExchangeReport("", "", "", "", "")
    finding = FindingReport("problem", exchange, expected="1", actual=text)
    rule = RuleReport("auth/missing-key-is-401", "documented", "", "", "broken", (finding,))
    report = Report(
        verdict="broken",
        headline="",
        exit_code=1,
        level="documented",
        target="",
        started="",
        reproduce="",
        rules=(rule, rule),
    )
    first, second = tomllib.loads(suggested_deviations(report))["deviation"]
    assert first == second
    assert first["reason"].startswith("problem")
    assert len(first["reason"]) <= 202
