"""The result of a run has one exit code, one title and one sentence, and they agree."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from contract_tests.reports.model import RESULTS, Result
from tests.support.gate import Respond, Run, http_response
from tests.support.reports import listed, report

RunGate = Callable[..., Run]
Serve = Callable[[Respond], str]
REPORTS = ("--report-dir", "out")
FEW = ("-k", "missing_key or valid_key_is_200", *REPORTS)
KEY = ("--api-key", "main-key", "--max-rate", "1000")
FAILS = "def pytest_runtest_setup(item):\n    raise {}\n"
SIGNS = {"✓": {0}, "✗": {1}, "?": {4}, "!": {2, 3}}


def served(body: bytes, status: str, serve: Serve) -> tuple[str, ...]:
    return ("--base-url", serve(lambda _: http_response(body, status)), *KEY, *FEW)


def failing(error: str, folder: Path) -> tuple[str, ...]:
    (folder / "failing.py").write_text(FAILS.format(error))
    return ("-p", "failing", *FEW)


RUNS: dict[str, tuple[Result, Callable[[Path, Serve], tuple[str, ...]]]] = {
    "all rules": ("conforms", lambda *_: REPORTS),
    "some rules": ("partial", lambda *_: FEW),
    "some rules, and all are required": ("incomplete", lambda *_: ("--require-complete", *FEW)),
    "401": ("could not be tested", lambda _, serve: served(b"{}", "401 Unauthorized", serve)),
    "no rule": ("could not be tested", lambda *_: ("-k", "no_such_rule", *REPORTS)),
    "an accepted failure of the first request": (
        "could not be tested",
        lambda folder, serve: (
            *served(b"{}", "500 Oops", serve),
            *("--known-deviations", listed(folder, "auth/valid-key-is-200")),
        ),
    ),
    "accepts everything": ("broken", lambda _, serve: served(b"{}", "200 OK", serve)),
    "a deviation that does not occur": (
        "stale deviation",
        lambda folder, _: (*FEW, "--known-deviations", listed(folder, "auth/missing-key-is-401")),
    ),
    "an error in a rule": ("gate error", lambda folder, _: failing("OSError", folder)),
    "Ctrl-C": ("interrupted", lambda folder, _: failing("KeyboardInterrupt", folder)),
}


@pytest.mark.parametrize("name", RUNS)
def test_exit_code_terminal_and_reports_agree(
    name: str, run_gate: RunGate, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, arguments = RUNS[name]
    monkeypatch.syspath_prepend(tmp_path)
    run = run_gate(*arguments(tmp_path, serve))
    conclusion, contents = RESULTS[result], report(run)
    assert (contents["verdict"], contents["exit_code"], run.code) == (
        result,
        conclusion.exit_code,
        conclusion.exit_code,
    )
    first, *_ = run.output.partition("= contract gate =")[2].splitlines()[1:]
    assert first == contents["headline"]
    assert conclusion.sentence.format(but_for="") in first
    assert (tmp_path / "out" / "contract.md").read_text().startswith(f"# {conclusion.title}\n\n**")
    assert f"<h1>{html.escape(conclusion.title)}</h1>" in (tmp_path / "out" / "contract.html").read_text()


def test_every_result_is_tried() -> None:
    assert {result for result, _ in RUNS.values()} == set(get_args(Result)) == set(RESULTS)


@pytest.mark.parametrize("result", RESULTS)
def test_the_sign_of_a_title_is_that_of_the_exit_code(result: Result) -> None:
    assert RESULTS[result].exit_code in SIGNS[RESULTS[result].title[0]]


def test_a_run_whose_junit_file_cannot_be_written_keeps_its_result(run_gate: RunGate) -> None:
    run = run_gate("--junitxml", "/dev/full", *FEW)
    assert (run.code, report(run)["exit_code"], report(run)["verdict"]) == (4, 4, "partial")
    assert " conforms as far as it was tested" in run.output
