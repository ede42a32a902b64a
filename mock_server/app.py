"""The aiohttp application: one route for each operation of the document that has a simulation."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

from aiohttp import web

from mock_server.control import Control
from mock_server.fixtures.deployments import Deployment
from mock_server.fixtures.faults import Fault
from mock_server.fixtures.library import Library
from mock_server.simulation.clock import MockClock, wall_clock
from mock_server.simulation.journal import Journal
from mock_server.simulation.overrides import Behaviour, FaultUse
from mock_server.simulation.simulator import Simulator
from mock_server.simulation.state import MemoryState, State
from mock_server.web.cors import CROSS_ORIGIN
from mock_server.web.dispatcher import Front
from mock_server.web.responses import Answer, documented_answer
from mock_server.web.server import FRONT
from mock_server.web.usage import NO_STORE, Usage
from usage_contract import Contract, ContractError, Operation

Handler = Callable[[web.Request], Awaitable[web.Response]]
Simulation = Callable[[Operation], Handler]

log = logging.getLogger("mock_server")


def make_app(
    contract: Contract,
    deployment: Deployment,
    *,
    clock: Callable[[], float] = wall_clock,
    rate_limited: bool = True,
    unknown_key_status: Literal[401, 403] = 403,
    fault: Fault | None = None,
    fault_at: int | None = None,
    scenario: str | None = None,
    delay: str | None = None,
    seed: int = 0,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    fixtures: Path | None = None,
    cors: bool = True,
    journal: Journal | None = None,
    control_token: str | None = None,
    state: State | None = None,
) -> web.Application:
    """Build the mock of a contract, with the keys of a deployment.

    `clock` gives seconds and drives the token buckets. Without `rate_limited` no request costs a
    token. `unknown_key_status` is the answer to a key that the deployment does not have.
    `fault` (only on request number `fault_at`, if that is given), `scenario` and `delay` are what it
    begins with; `seed` decides what random delays come to,
    and `sleep` takes the seconds that a client is made to wait. `fixtures` is the folder of what can be
    switched on later. With `cors` pages of other origins may ask, too. With
    `control_token` the control API wants it, and answers other machines. `state` is what other
    processes share (default: nobody does).
    Raises ContractError for a document that the mock cannot honour, and FixtureError for a fault
    that speaks of keys which the deployment does not have.
    """
    library = Library(deployment, fixtures)
    if fault:
        library.add(fault)
    start = Behaviour(scenario=scenario, fault=_first_use(fault, fault_at), delay=delay)
    simulator = Simulator(library, MockClock(clock), start=start, state=state, journal=journal, seed=seed)
    usage = Usage(
        contract.operations["get_usage"], simulator, int(rate_limited), unknown_key_status, CROSS_ORIGIN if cors else {}
    )
    simulations: dict[str, Simulation] = {"get_usage": lambda _: usage.answer, "get_health": _health}
    simulations["get_overview"] = partial(_overview, contract, simulations)
    app = web.Application()
    probes = frozenset(each.path for each in contract.operations.values() if each.key_header is None)
    app[FRONT] = _front(state)(simulator, usage, sleep, cors, probes)
    app.cleanup_ctx.append(partial(_connected, simulator))
    app[FRONT].control = Control(simulator, app[FRONT].reset, usage.key_header, usage.codes, control_token)
    app.on_shutdown.append(app[FRONT].control.stop)
    _add_routes(app, contract, simulations)
    return app


def _front(state: State | None) -> type[Front]:
    if state is None or isinstance(state, MemoryState):
        return Front
    from mock_server.shared_state.dispatcher import SharedFront

    return SharedFront


async def _connected(simulator: Simulator, _: web.Application) -> AsyncIterator[None]:
    try:
        await simulator.catch_up()
        yield
    finally:
        await simulator.state.close()


def _first_use(fault: Fault | None, nth: int | None) -> FaultUse | None:
    if fault is None:
        return None
    if nth is None:
        return FaultUse(fault.name, use="the start")
    # A shared state outlives the start, and must not take its count for that of another.
    return FaultUse(fault.name, nth - 1, 1, use=f"the start {fault.name}@{nth}", is_at_once=True)


def _add_routes(app: web.Application, contract: Contract, simulations: Mapping[str, Simulation]) -> None:
    allowed = defaultdict(list)
    for operation in contract.operations.values():
        if operation.id not in simulations:
            log.warning("%s (%s) has no simulation and answers like an unknown path", operation, operation.id)
            continue
        handler = simulations[operation.id](operation)
        for method in _methods(operation):
            app.router.add_route(method, operation.path, handler)
            allowed[operation.path].append(method)
    for path, methods in allowed.items():
        app.router.add_route("OPTIONS", path, _options(methods))


def _methods(operation: Operation) -> tuple[str, ...]:
    """Return the methods that an operation answers: HEAD wherever GET (RFC 9110, section 9.3.2)."""
    return ("GET", "HEAD") if operation.method == "GET" else (operation.method,)


def _options(methods: list[str]) -> Handler:
    return _always(Answer(204, {"Allow": ", ".join([*methods, "OPTIONS"]), **NO_STORE}, b""))


def _health(operation: Operation) -> Handler:
    """Answer the constants that the document promises."""
    schema = operation.responses["200"].schema or {}
    members = schema.get("properties", {})
    if unknown := [name for name, member in members.items() if "const" not in member]:
        raise ContractError(f"{operation}: the mock can answer only constants, and {', '.join(unknown)} has none")
    return _always(documented_answer(operation, 200, {name: member["const"] for name, member in members.items()}))


def _overview(contract: Contract, simulations: Mapping[str, Simulation], operation: Operation) -> Handler:
    info = contract.document["info"]
    paths = [str(each) for each in contract.operations.values() if each.id in simulations]
    members = {"title": info["title"], "version": info["version"], "paths": paths}
    return _always(documented_answer(operation, 200, members))


def _always(answer: Answer) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return answer.response()

    return handler
