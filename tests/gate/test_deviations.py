"""Known deviations are accepted until their day, and no longer than they occur."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from contract_tests.run.deviations import read_deviations
from contract_tests.run.rules import rule_ids
from tests.support.gate import Respond, Run, answer

ENTRY = 'rule = "{rule}"\nreason = "the gateway"\nowner = "platform"\nticket = "OPS-1"\nexpires = {expires}\n'
LATER, EARLIER = "9999-12-31", "2020-01-01"


def listed(folder: Path, rule: str, expires: str = LATER) -> str:
    path = folder / "known.toml"
    path.write_text("[[deviation]]\n" + ENTRY.format(rule=rule, expires=expires))
    return str(path)


@pytest.fixture
def run_listed(run_gate: Callable[..., Run], serve: Callable[[Respond], str], tmp_path: Path) -> Callable[..., Run]:
    """Run two rules, of which the one about a missing key is broken, with one deviation listed."""
    url = serve(lambda _: answer(b"{}"))

    def run(rule: str, expires: str = LATER) -> Run:
        few = ("-k", "missing_key or valid_key", "--max-rate", "1000", "--api-key", "main-key")
        return run_gate("--base-url", url, *few, "--known-deviations", listed(tmp_path, rule, expires))

    return run


def test_a_listed_failure_is_reported_and_not_fatal(run_listed: Callable[..., Run]) -> None:
    run = run_listed("auth/missing-key-is-401")
    assert run.code == 0
    assert "known deviation: auth/missing-key-is-401" in run.output
    assert run.outcomes["auth/missing-key-is-401"] == "skipped"


def test_an_expired_entry_is_red(run_listed: Callable[..., Run]) -> None:
    run = run_listed("auth/missing-key-is-401", EARLIER)
    assert run.code == 1
    assert "broken: auth/missing-key-is-401" in run.output


@pytest.mark.parametrize("expires", [LATER, EARLIER])
def test_a_deviation_that_no_longer_occurs_is_red(expires: str, run_listed: Callable[..., Run]) -> None:
    run = run_listed("auth/valid-key-is-200", expires)
    assert run.code == 1
    assert f"auth/valid-key-is-200 is kept: remove the known deviation until {expires} (platform, OPS-1)" in run.output


def test_an_unknown_rule_is_red_and_the_nearest_is_named(run_listed: Callable[..., Run]) -> None:
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
def test_a_bad_file_is_told(content: str, tmp_path: Path) -> None:
    (tmp_path / "known.toml").write_text(content)
    with pytest.raises(pytest.UsageError) as error:
        read_deviations(tmp_path / "known.toml", rule_ids())
    assert PROBLEMS[content] in str(error.value)


def test_a_file_is_read_as_it_is_written(tmp_path: Path) -> None:
    deviations = read_deviations(Path(listed(tmp_path, "auth/missing-key-is-401")), rule_ids())
    assert deviations["auth/missing-key-is-401"].expires == date(9999, 12, 31)


def test_a_time_is_no_date(tmp_path: Path) -> None:
    with pytest.raises(pytest.UsageError, match="expires is missing, or is not a date"):
        read_deviations(Path(listed(tmp_path, "auth/missing-key-is-401", "2027-03-31T10:00:00")), rule_ids())
