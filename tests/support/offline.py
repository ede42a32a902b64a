"""Exchanges with the correct mock, and mutants of them, for the passive rules."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from contract_tests.metrics.schema import contract
from contract_tests.run.baseline import BaselineSender
from contract_tests.run.offline import judge_recording
from contract_tests.run.plan import AUTH_ERROR_SAMPLE, MAIN_KEY_SAMPLE, OTHER_KEY_SAMPLE
from contract_tests.run.verdicts import Verdicts
from contract_tests.support import wrong_keys
from contract_tests.support.gate import Gate
from contract_tests.traffic.recording import Recording
from contract_tests.wire.messages import Credential, Exchange
from contract_tests.wire.transport import Transport
from mock_server import UsageMock, load_deployment
from tests.support.transport import settings

KEYS = tuple(Credential(key.encode(), key) for key in load_deployment().keys)


@cache
def sound_exchanges() -> tuple[Exchange, ...]:
    """Return the baseline exchanges of a run against the correct mock, with all keys of its deployment."""
    with UsageMock(rate_limit=False) as mock:
        options = settings(mock.url, keys=KEYS, max_rate=10_000.0)
        baseline = BaselineSender(Gate(options, contract("documented"), Transport(options)))
        for key, times in {KEYS[0]: MAIN_KEY_SAMPLE, **dict.fromkeys(KEYS[1:], OTHER_KEY_SAMPLE)}.items():
            baseline.sample(times, key)
        for wrong in (None, wrong_keys.UNKNOWN):
            baseline.sample(AUTH_ERROR_SAMPLE, wrong)
        baseline.gate.transport.close()
    return tuple(baseline.gate.transport.journal)


def judged(exchanges: Sequence[Exchange]) -> Verdicts:
    """Judge baseline exchanges with the correct mock, or mutants of them."""
    refused = {
        wrong_keys.UNKNOWN: next(each for each in exchanges if each.request.credential == wrong_keys.UNKNOWN),
    }
    target = settings("http://127.0.0.1:1").target
    return judge_recording(Recording(target, tuple(exchanges), KEYS, refused, frozenset(), ()))


def patched(exchange: Exchange, patch: Sequence[Mapping[str, Any]]) -> Exchange:
    """Return an exchange with a changed JSON body; the operations of JSON Patch (RFC 6902) are remove and replace."""
    body = json.loads(exchange.payload)
    for operation in patch:
        *path, last = operation["path"].split("/")[1:]
        parent: Any = body
        for token in path:
            parent = parent[int(token) if isinstance(parent, list) else token]
        place = int(last) if isinstance(parent, list) else last
        if operation["op"] == "remove":
            del parent[place]
        else:
            parent[place] = operation["value"]
    return replace(exchange, payload=json.dumps(body).encode())
