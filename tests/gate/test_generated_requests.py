"""The rule that sends the requests of Schemathesis, judged with constructed responses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module

import pytest

from contract_tests.run.baseline import BaselineSender
from contract_tests.run.runner import Runner
from contract_tests.support.findings import BrokenPromiseError, Finding
from contract_tests.wire.messages import Exchange, Request
from tests.support.transport import gate_for

JSON = (("Content-Type", b"application/json"),)
Respond = Callable[[Request], Exchange]
Judge = Callable[[Respond], list[Finding]]


@dataclass
class Deployment:
    """A transport to a deployment whose responses to generated requests a function returns; others get a 200."""

    respond: Respond
    journal: list[Exchange] = field(default_factory=list)
    is_recorded: bool = False

    def send(self, request: Request) -> Exchange:
        self.journal.append(self.respond(request) if request.label else Exchange(request, 200))
        return self.journal[-1]

    def pause(self, seconds: float) -> None:
        """Return at once: the deployment is always well."""


@pytest.fixture
def judge() -> Judge:
    """Judge responses by the rule."""
    rule = import_module("contract_tests.test_schema").test_generated_requests_match_the_document

    def judged(respond: Respond) -> list[Finding]:
        deployment = Deployment(respond)
        gate = gate_for("http://127.0.0.1:1/base", deployment)
        try:
            Runner(BaselineSender(gate)).run(rule(gate, Exchange(gate.request(), 200)))
        except BrokenPromiseError as broken:
            return list(broken.findings)
        finally:
            (request,) = {exchange.request.target for exchange in deployment.journal}
            assert request == b"/base/usage"
        return []

    return judged


def test_documented_response_is_accepted(judge: Judge) -> None:
    assert judge(lambda request: Exchange(request, 200, fields=JSON, payload=b'{"total": 1}')) == []


@pytest.mark.parametrize(
    ("status", "payload", "problems"),
    [
        (418, b"{}", ["Schemathesis: Undocumented status code"]),
        (200, b'{"total": "many"}', ["Schemathesis: Response violates schema"]),
        (
            500,
            b"{}",
            ["Schemathesis: Server error, Undocumented status code", "the status is 500, expected 200 or 4xx"],
        ),
    ],
)
def test_undocumented_response_is_a_finding(status: int, payload: bytes, problems: list[str], judge: Judge) -> None:
    findings = judge(lambda request: Exchange(request, status, fields=JSON, payload=payload))
    assert [finding.problem for finding in findings] == problems
    assert {finding.exchange.status for finding in findings} == {status}


def test_requests_cover_the_header_fields_that_the_document_lacks(judge: Judge) -> None:
    sent: list[bytes] = []

    def respond(request: Request) -> Exchange:
        sent.append(dict(request.fields).get(b"Content-Type", b""))
        return Exchange(request, 200, fields=JSON, payload=b'{"total": 1}')

    judge(respond)
    assert sent == [b"", b"multipart/form-data"]


def test_response_that_did_not_arrive_is_a_finding(judge: Judge) -> None:
    finding, _ = judge(lambda request: Exchange(request, ending="reset"))
    assert (finding.expected, finding.actual) == ("a response", "no response (reset)")


def test_request_has_the_key_and_the_fields_of_schemathesis(judge: Judge) -> None:
    sent: list[Request] = []

    def respond(request: Request) -> Exchange:
        sent.append(request)
        return Exchange(request, 200, fields=JSON, payload=b'{"total": 1}')

    judge(respond)
    fields = dict(sent[0].fields)
    assert fields[b"X-API-Key"] == b"main-key"
    assert fields[b"Accept"] == b"*/*"
    assert fields[b"User-Agent"].startswith(b"usage-contract/")
    assert (
        b"X-Schemathesis-TestCaseId" not in fields
    )  # a deployment may reject a field that the document does not describe
    assert sent[0].is_baseline
