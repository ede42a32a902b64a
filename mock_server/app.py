"""The aiohttp application: one route for each operation of the document that has a simulation."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Literal

from aiohttp import web

from mock_server.answers import Answer, documented_answer
from mock_server.faults import Fault, check_keys
from mock_server.faulty import fill_real_buckets, install
from mock_server.fixtures import Deployment
from mock_server.usage import NO_STORE, Account, Usage, open_accounts
from usage_contract import Contract, ContractError, Operation

Handler = Callable[[web.Request], Awaitable[web.Response]]
Simulation = Callable[[Operation], Handler]

ACCOUNTS = web.AppKey("accounts", dict[str, Account])

log = logging.getLogger("mock_server")


def make_app(
    contract: Contract,
    deployment: Deployment,
    *,
    clock: Callable[[], float] = time.monotonic,
    rate_limited: bool = True,
    unknown_key_status: Literal[401, 403] = 403,
    fault: Fault | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> web.Application:
    """Build the mock of a contract, with the keys of a deployment.

    `clock` gives seconds and drives the token buckets. Without `rate_limited` no request costs a
    token. `unknown_key_status` is the answer to a key that the deployment does not have.
    `fault` is what it does wrong; `sleep` takes the seconds that a fault lets a client wait.
    Raises ContractError for a document that the mock cannot honour, and FixtureError for a fault
    that speaks of keys which the deployment does not have.
    """
    app, accounts = web.Application(), dict[str, Account]()
    if fault:
        check_keys(fault, deployment)

    def usage(operation: Operation) -> Handler:
        accounts.update(open_accounts(operation, deployment, clock()))
        answer = Usage(operation, accounts, clock, int(rate_limited), unknown_key_status).answer
        if fault:
            fill_real_buckets(fault, accounts, clock())
            install(fault, app, operation, answer, sleep)
        return answer

    simulations: dict[str, Simulation] = {"get_usage": usage, "get_health": _health}
    simulations["get_overview"] = partial(_overview, contract, simulations)
    app[ACCOUNTS] = accounts
    _add_routes(app, contract, simulations)
    return app


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
