"""Runs of the gate against the deployments of the search."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from aiohttp import web

from contract_tests.wire.messages import Exchange
from mock_server.fixtures.deployments import Deployment
from mock_server.web.raw_response import RawMessage
from tests.support.forked_gate import Job
from tests.support.offline import judged, sound_exchanges
from tests.support.proof import DEPLOYMENTS, Result, run_job
from tests.support.search.catalogue import mutations
from tests.support.search.correct import parsed
from tests.support.search.held_out import SAMPLES, held_out
from tests.support.search.mutations import Mutation, Turn
from tests.support.search.observed import is_reached, observed
from tests.support.search.served import DEFECT, Received, serve_with

# At import, so that forked runs share them.
MUTATIONS = {**mutations(), **{name: each for sample in SAMPLES for name, each in held_out(sample).items()}}
STYLES: Mapping[str, tuple[str, str, str]] = {
    "prefixed": ("sk_live_4eC39HqLyjWDarjtT1zdp7dc", "sk_live_9xKq27TbRmPzWvNc3LdYh5fa",
    "sk_live_Zq8Wn2Vb7MxKc4RtYp6LhJd3"),
    "hexadecimal": ("7f3a9c51e04b8d26a1c7f59e3b80d412", "5c0e8b7a31d94f62b8e7a05c19d3f46e",
    "90d2f7c3a8e14b56cf01d83e72b9a645"),
    "numbers": ("4711000815", "2718281828", "3141592653"),
    "base64": ("a2V5+m9yLXRoZS1nYXRl/Q==", "c2Vjb25kLWtleS1vZi1p+A==", "dGhpcmQtb25lLW9mLWFs/A=="),
    "dotted": ("acme.prod.Xy7Qk2", "initech.test.Rt5Wn9", "umbrella.dev.Lm3Vb8"),
}  # fmt: skip


@cache
def deployment(style: str) -> Deployment:
    """Return the mock's deployment with raised limits, and with keys of a style."""
    raised = DEPLOYMENTS["raised"]
    if style == "words":
        return raised
    return replace(raised, keys=dict(zip(STYLES[style], raised.keys.values(), strict=True)))


def find(name: str) -> Mutation:
    """Return a deployment of the search by name."""
    return MUTATIONS.get(name) or parsed(name)


def adapt(name: str, app: web.Application) -> None:
    """Let an application behave as a deployment of the search does."""
    serve_with(find(name).build(), app)


def _options(mutation: Mutation) -> tuple[str, ...]:
    return ("--intrusive",) if mutation.is_intrusive else ()


def run_against_deployment(mutation: Mutation, folder: Path, *arguments: str) -> Result:
    """Run the gate against a deployment of the search."""
    job = Job(folder, None, deployment(mutation.style), writes_reports=False, adapt=partial(adapt, mutation.name))
    result = run_job(job, *_options(mutation), *arguments)
    if (defect := folder / DEFECT).exists():
        raise ValueError(f"{mutation.name}: {defect.read_text()}")
    return result


@cache
def _observed(style: str, *arguments: str) -> Sequence[tuple[Received, RawMessage]]:
    return observed(deployment(style), *arguments)


def sends_what_shows(mutation: Mutation) -> bool:
    """Whether a request of a run is one that shows a deployment."""
    return is_reached(mutation, _observed(mutation.style, *_options(mutation)))


def is_noticed(mutation: Mutation, folder: Path) -> bool:
    """Whether a rule notices a deployment: a passive one without requests, or any one in a run."""
    if mutation.metrics and is_noticed_offline(mutation):
        return True
    if not sends_what_shows(mutation):
        return False
    result = run_against_deployment(mutation, folder, "--exitfirst")
    return bool(result.having("broken", "gate error")) or result.code != 0


def is_noticed_offline(mutation: Mutation) -> bool:
    """Whether a passive rule notices changed usage metrics in the baseline exchanges."""
    assert mutation.metrics
    metrics, counts = mutation.metrics(), Counter[str]()
    keys = tuple(deployment("words").keys)

    def changed(exchange: Exchange) -> Exchange:
        credential = exchange.request.credential
        if exchange.status != 200 or credential is None:
            return exchange
        key = credential.value.decode()
        counts[key] += 1
        turn = Turn(key, counts[key], keys)
        return replace(exchange, payload=json.dumps(metrics(json.loads(exchange.payload), turn)).encode())

    verdicts = judged([changed(exchange) for exchange in sound_exchanges()])
    return any(verdict.outcome == "broken" for verdict in verdicts.all)
