"""A rule is selected, listed and run again by the id in the reports."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable

import pytest

from contract_tests.support.rules import rule_ids
from tests.support.gate import Respond, Run, http_response

RunGate = Callable[..., Run]
MISSING, VALID = "auth/missing-key-is-401", "auth/valid-key-is-200"
MAIN = {"CONTRACT_API_KEY": "a-key-of-the-tests"}


def test_only_selected_rules_run(run_gate: RunGate) -> None:
    run = run_gate("--rule", MISSING, f"--rule={VALID}")
    assert run.code == 0
    assert run.outcomes == {MISSING: "held", VALID: "held"}


def test_header_fields_of_baseline_responses_are_judged_alone(run_gate: RunGate) -> None:
    run = run_gate("--rule", "http/headers-are-well-formed")
    assert run.outcomes == {"http/headers-are-well-formed": "held"}


@pytest.mark.parametrize("name", ["auth/mising-key-is-401", "test_missing_key_is_401", "nothing-like-it/at-all"])
def test_an_unknown_id_gets_a_suggestion(name: str, run_gate: RunGate) -> None:
    run = run_gate("--rule", VALID, "--rule", name)
    assert run.code == 4
    suggestion = "--rules lists them" if name.startswith("nothing") else f"did you mean {MISSING}?"
    assert f"ERROR: --rule: {name} is not a rule; {suggestion}" in run.output


@pytest.mark.parametrize(
    "id_of_a_rule", [MISSING, "bypass/key-in-the-query-is-not-accepted", "methods/head-has-no-body"]
)
def test_a_single_rule_sends_few_requests(id_of_a_rule: str, run_gate: RunGate) -> None:
    run = run_gate("--rule", id_of_a_rule, "--report-dir", "out")
    assert run.outcomes == {id_of_a_rule: "held"}
    assert json.loads((run.folder / "out" / "contract.json").read_text())["requests"] <= 20


def test_a_failed_rule_is_suggested_under_run_again(run_gate: RunGate, serve: Callable[[Respond], str]) -> None:
    url = serve(lambda _: http_response(b"{}"))
    chosen = ("--rule", MISSING, "--rule", VALID, "--rule", "errors/no-request-causes-5xx", "--max-rate", "1000")
    run = run_gate("--base-url", url, *chosen, "--report-dir", "out", environment=MAIN)
    (line,) = (line for line in run.output.splitlines() if line.startswith("run again: "))
    command = shlex.split(line.removeprefix("run again: "))
    assert command[0] == "pytest"
    assert command[-2:] == ["--rule", MISSING]
    assert command.count("--rule") == 1
    again = run_gate(*command[2:], environment=MAIN)
    assert again.failed == set(again.outcomes) == {MISSING}
    for name in ("contract.md", "contract.html"):
        assert f"--rule {MISSING}" in (run.folder / "out" / name).read_text()


def test_running_a_rule_again_leaves_the_reports_of_the_whole_run_alone(
    run_gate: RunGate, serve: Callable[[Respond], str]
) -> None:
    environment = MAIN | {"PYTEST_BASE_URL": serve(lambda _: http_response(b"{}"))}
    chosen = ("--rule", MISSING, "--max-rate=1000", "--require-complete")
    first = run_gate(*chosen, "--report-dir", "old", "--junitxml", "old.xml", environment=environment)
    outputs = ("--report-dir=new", "--junit-xml=new.xml", "--compare", "old/contract.json")
    run = run_gate(*chosen, *outputs, environment=environment)
    for folder, output in {"old": first, "new": run}.items():
        report = json.loads((run.folder / folder / "contract.json").read_text())
        assert f"--report-dir={folder}" in report["reproduce"].replace("dir old", "dir=old")
        again = report["rules"][0]["reproduce"]
        assert again.endswith(f" --max-rate=1000 --rule {MISSING} --base-url {environment['PYTEST_BASE_URL']}")
        assert f"run again: {again}\n" in output.output


def test_a_rule_over_all_exchanges_is_run_again_with_the_whole_run(
    run_gate: RunGate, serve: Callable[[Respond], str]
) -> None:
    page = b'{"detail": "Traceback (most recent call last)"}'
    url = serve(lambda head: http_response(b"{}") if b"a-key" in head else http_response(page, "401 Unauthorized"))
    chosen = ("-k", "responses_do_not_disclose_internals", "--max-rate", "1000", "--report-dir", "out")
    run = run_gate("--base-url", url, *chosen, environment=MAIN)
    rules = json.loads((run.folder / "out" / "contract.json").read_text())["rules"]
    assert [rule["outcome"] for rule in rules] == ["broken"]
    assert not any(option in rules[0]["reproduce"] for option in ("--rule", "--report-dir"))


def test_the_rules_are_listed_as_json(run_gate: RunGate) -> None:
    run = run_gate("--rules-json", "--base-url", "http://127.0.0.1:1")
    assert run.code == 0
    rules = json.loads(run.output)
    assert {rule["id"] for rule in rules} == set(rule_ids())
    rule = next(rule for rule in rules if rule["id"] == "bypass/key-in-the-query-is-not-accepted")
    assert rule["needs"] == ["missing key refused"]
    assert rule["promise"] == "A request with a valid key only in the query MUST be rejected."
