"""Checks for Schemathesis: the rules that send nothing, each named by its id.

Schemathesis imports this module where the environment has SCHEMATHESIS_HOOKS=contract_tests.schemathesis_hooks.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace
from itertools import count
from typing import Any

import schemathesis
from schemathesis import Response

from contract_tests.metrics.schema import contract
from contract_tests.redaction.redactor import Redactor
from contract_tests.reports.model import redacted
from contract_tests.reports.text import rule_text
from contract_tests.run.offline import judge_recording
from contract_tests.run.report import rule_report
from contract_tests.support.gate import OPERATION
from contract_tests.support.rules import all_rules
from contract_tests.traffic.clients import LACKS, from_schemathesis
from contract_tests.traffic.recording import Recorded, TrafficError, recording_of
from usage_contract.levels import Level

LEVEL: Level = "documented"
NOT_SHOWN = {*LACKS, "unknown key", "one run"}  # aspects that a few responses of a client do not show
REMEMBERED = 8  # responses: they show which keys are valid, and how fast the counters change

_lock = threading.Lock()
_recent: deque[Recorded] = deque(maxlen=REMEMBERED)
_numbers = count(1)
_problems: tuple[Response | None, dict[str, str]] = (None, {})


def _register(rule_id: str) -> None:
    def check(ctx: Any, response: Response, case: Any) -> None:
        if text := _problems_of(response).get(rule_id):
            raise AssertionError(text)

    check.__name__ = rule_id
    schemathesis.check(check)


def _problems_of(response: Response) -> dict[str, str]:
    """Return the findings about a response, as a text for each broken rule; all checks of a response share them."""
    global _problems
    with _lock:
        if _problems[0] is not response:
            _problems = response, _judge(from_schemathesis(response))
        return _problems[1]


def _judge(recorded: Recorded) -> dict[str, str]:
    operation = contract(LEVEL).operations[OPERATION]
    label = f"(response {next(_numbers)})"
    request = replace(recorded.exchange.request, label=label)
    _recent.append(replace(recorded, exchange=replace(recorded.exchange, request=request)))
    try:
        verdicts = judge_recording(recording_of(_recent, operation), LEVEL)
    except TrafficError:  # no response so far says anything about the operation
        return {}
    redact = Redactor(verdicts.settings.secrets)
    texts = {}
    for verdict in verdicts.all:
        own = tuple(finding for finding in verdict.findings if finding.exchange.request.label == label)
        if own and verdict.outcome == "broken":
            texts[verdict.rule.id] = rule_text(redacted(rule_report(replace(verdict, findings=own), verdicts), redact))
    return texts


for _rule in all_rules():
    if not (_rule.sends_requests or _rule.is_above(LEVEL) or NOT_SHOWN.intersection(_rule.reads)):
        _register(_rule.id)
