"""A deployment that refuses the main key, fails, or is restarted in the middle of a run."""

from __future__ import annotations

import json
import re
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from contract_tests.run.baseline import BaselineSender
from contract_tests.run.runner import MOST_SUSPICIONS, Runner
from contract_tests.support.findings import BrokenPromiseError, status_finding
from contract_tests.support.rules import all_rules
from contract_tests.wire import transport
from contract_tests.wire.clock import Clock
from contract_tests.wire.connection import Connection, UnreachableError, connect
from contract_tests.wire.messages import Exchange
from mock_server.fixtures.faults import Fault, load_fault
from mock_server.web.mock import MOCK
from tests.support.forked_gate import Job
from tests.support.gate import http_response, serving
from tests.support.proof import DEPLOYMENTS, Result, run_job
from tests.support.transport import KEY, ManualClock, gate_for, settings

KEY_RULE, REACHABLE = "auth/accepted-key-remains-valid", "errors/deployment-stays-reachable"
SILENCE = "message: [{ op: cut, at: 0 }], end: hang"
STOP = "message: [{ op: cut, at: 0 }], end: stop"
DOWN = 1.0  # seconds
UNAVAILABLE = 'status: 503, body: [{ op: set, text: "{}" }]'


def fault(folder: Path, when: str, change: str) -> Fault:
    """Return a fault of one step."""
    (folder / "faults").mkdir()
    text = f"description: A fault.\nbreaks: [{KEY_RULE}]\ndo: [{{ when: {{ {when} }}, {change} }}]\n"
    (folder / "faults" / "of-a-test.yaml").write_text(text)
    return load_fault("of-a-test", folder)


def run(folder: Path, fault: Fault, *arguments: str) -> Result:
    (folder / "run").mkdir()
    return run_job(Job(folder / "run", fault, DEPLOYMENTS["raised"], writes_reports=True, adapt=restarted), *arguments)


def restarted(app: web.Application) -> None:
    """Refuse connections for a second after a fault has stopped the mock."""
    injectors, back_at = app[MOCK].injectors, [0.0]

    def stop() -> None:
        back_at[0] = time.time() + DOWN  # the virtual time
        for injector in injectors._injectors.values():
            injector.has_stopped = False

    def connect_unless_down(*arguments: Any) -> Connection:
        if time.time() < back_at[0]:
            raise UnreachableError("the connection was refused")
        return connect(*arguments)

    injectors._stop = stop
    vars(transport)["connect"] = connect_unless_down


@pytest.mark.parametrize(
    ("when", "change", "rule", "sentence"),
    [
        (
            "status: [200], key: first key, after: 40",
            "as: not-a-valid-key",
            KEY_RULE,
            r"from request 1\d\d on, every request with the main key gets 403: was it revoked, has it expired",
        ),
        (
            "status: [200], key: second key, after: 12",
            "as: not-a-valid-key",
            KEY_RULE,
            r"from request 1\d\d on, every request with key 2 gets 403: was it revoked, has it expired",
        ),
        (
            "path: '.*', after: 60",
            UNAVAILABLE,
            REACHABLE,
            "from request 61 on, every request gets 503: the deployment has an outage",
        ),
        (
            "path: '.*', after: 60",
            SILENCE,
            REACHABLE,
            r"from request 61 on, every request gets no response \(timeout\): the deployment has an outage",
        ),
        (
            "status: [200], after: 10",
            UNAVAILABLE,
            REACHABLE,
            "from request 11 on, every request with the main key gets 503: the deployment has an outage",
        ),
    ],
)
def test_an_outage_is_one_finding_and_ends_the_run(
    when: str, change: str, rule: str, sentence: str, tmp_path: Path
) -> None:
    result = run(tmp_path, fault(tmp_path, when, change))
    assert result.code == 1
    assert result.having("broken", "reported") == {rule}
    assert re.search(f"problem: {sentence}", result.output)
    assert re.search(f"not tested, \\d+ rules: the run ended: {sentence}", result.output)
    (reported,) = (verdict.rule for verdict in result.verdicts if verdict.outcome == "broken")
    (known,) = (each for each in all_rules() if each.id == rule)
    assert (reported.level, reported.source, reported.promise) == (known.level, known.source, known.promise)


@pytest.mark.parametrize(
    "arguments", [("--level=specified",), ("--level=specified", "--rule=auth/similar-key-is-refused")]
)
def test_an_outage_fails_a_run_at_the_lowest_level(arguments: tuple[str, ...], tmp_path: Path) -> None:
    result = run(tmp_path, fault(tmp_path, "path: '.*', after: 40", UNAVAILABLE), *arguments)
    assert result.code == 1
    assert result.having("broken", "reported") == {"auth/valid-key-is-200"}


@pytest.mark.parametrize("change", [UNAVAILABLE, SILENCE, "as: not-a-valid-key"])
def test_a_deployment_that_fails_at_times_is_tested_to_the_end(change: str, tmp_path: Path) -> None:
    result = run(tmp_path, fault(tmp_path, "status: [200], after: 50, every: 2", change))
    assert result.code == 1
    assert "the run ended" not in result.output


def test_a_restart_is_a_shortfall(tmp_path: Path) -> None:
    result = run(tmp_path, fault(tmp_path, "path: '.*', after: 60, first: 1", STOP))
    assert result.having("broken", "reported") == set()
    assert result.code == 0
    assert re.search(r"the deployment was not reachable for 1\.5 s after request 61", result.output)
    assert "the result is partial" in result.output
    report = json.loads((tmp_path / "run" / "reports" / "contract.json").read_text())
    assert report["shortfalls"] == ["the deployment was not reachable for 1.5 s after request 61"]


def test_a_request_that_stops_the_server_again_is_the_cause(tmp_path: Path) -> None:
    result = run(tmp_path, fault(tmp_path, "path: '.*', after: 60, first: 2", STOP))
    assert REACHABLE in result.having("broken")
    assert "and gave no response to it again" in result.output


@pytest.mark.parametrize(
    ("statuses", "findings"),
    [
        ([200, *[403] * 10], 1),
        ([200, *[401, 403] * 5], 1),
        ([200, *[403] * 9], 0),
        ([200, *[403] * 10, 200, *[403] * 9], 0),
        ([403] * 20, 0),
    ],
)
def test_a_key_is_rejected_that_was_accepted_before(statuses: list[int], findings: int) -> None:
    gate = gate_for()
    journal = tuple(Exchange(gate.request(KEY), status, started=float(at)) for at, status in enumerate(statuses))
    rule = import_module("contract_tests.test_auth_valid_keys").test_accepted_key_remains_valid
    assert len(list(rule(gate, journal))) == findings


def test_suspicions_of_an_outage_cost_few_requests() -> None:
    received: list[bytes] = []

    def respond(head: bytes) -> bytes:
        received.append(head)
        return http_response(b"{}")

    with serving(respond) as url:
        clock = ManualClock()
        gate = gate_for(url, transport.Transport(settings(url), Clock(clock.now, clock.sleep)))
        runner = Runner(BaselineSender(gate))
        for _ in range(2 * MOST_SUSPICIONS):
            clock.sleep(1.0)
            failed = Exchange(gate.request(None), 500, started=clock.time)
            for _ in range(2):  # the response to the first request shows that the deployment is well
                clock.sleep(0.1)
                with pytest.raises(BrokenPromiseError, match="the status is 500 instead of 401"):
                    runner.run([status_finding(failed, "401")])
    assert len(received) == MOST_SUSPICIONS
