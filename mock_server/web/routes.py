"""Routes: one for each operation of the document that the mock simulates."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass
from typing import cast

from aiohttp import web
from aiohttp.typedefs import Handler

from mock_server.options import MockOptions
from mock_server.simulation.simulator import Simulator
from mock_server.web.cors import CROSS_ORIGIN
from mock_server.web.responses import ALWAYS, PreparedResponse, documented_response
from mock_server.web.usage import Handle, Unmodified, Usage
from usage_contract import Contract, ContractError

# The operations that the mock simulates, by `operationId`.
SIMULATED = ("get_usage", "get_health", "get_overview")

# The console and the document of the control API, as members of the overview.
CONTROL = {"console": "/__mock__/", "control_api": "/__mock__/openapi.yaml"}

log = logging.getLogger("mock_server")


@dataclass(frozen=True)
class Routes:
    """The operations of a contract.

    Attributes:
        usage: The operation GET /usage.
        router: aiohttp's router with all operations; each handler is a Handle.
        probes: The paths of operations that need no key; overrides never delay them.
        contract: The contract.
        of_server: The response to `OPTIONS *`, which is about the server as a whole.
    """

    usage: Usage
    router: web.UrlDispatcher
    probes: frozenset[str]
    contract: Contract
    of_server: PreparedResponse

    async def handle(self, request: web.Request) -> Unmodified:
        """Return the response of an operation.

        Raises:
            web.HTTPException: No operation has the path or the method, or the request expects something else than 100.
        """
        if request.method == "OPTIONS" and request.path == "*":  # RFC 9110, section 9.3.7
            return Unmodified(self.of_server.response())
        match = await self.router.resolve(request)
        if request.headers.get("Expect"):
            await match.expect_handler(request)
            await request.writer.drain()
        return cast(Unmodified, await match.handler(request))


def build_routes(contract: Contract, simulator: Simulator, options: MockOptions) -> Routes:
    """Return the routes of a contract.

    Raises:
        ContractError: The mock cannot simulate an operation.
    """
    router, methods_of = web.UrlDispatcher(), defaultdict(list)
    operations, cors = contract.operations, CROSS_ORIGIN if options.cors else {}
    usage = Usage(contract.operation("get_usage"), simulator, options)
    handlers: dict[str, Handle] = {"get_usage": usage.handle}
    if "get_health" in operations:
        health = operations["get_health"]
        ok = health.responses.get("200")
        properties = ((ok and ok.schema) or {}).get("properties", {})
        constants = {name: member["const"] for name, member in properties.items() if "const" in member}
        handlers["get_health"] = _constant(documented_response(health, 200, constants, headers=cors))
    if "get_overview" in operations:
        info, paths = contract.document["info"], [str(item) for item in operations.values() if item.id in SIMULATED]
        members = {"title": info["title"], "version": info["version"], "paths": paths, **CONTROL}
        handlers["get_overview"] = _constant(
            documented_response(operations["get_overview"], 200, members, headers=cors)
        )
    for operation in operations.values():
        if operation.id not in handlers:
            log.warning("%s (%s) is not simulated; it responds like an unknown path", operation, operation.id)
            continue
        # HEAD is allowed wherever GET is (RFC 9110, section 9.3.2).
        for method in ("GET", "HEAD") if operation.method == "GET" else (operation.method,):
            try:
                router.add_route(method, operation.path, cast(Handler, handlers[operation.id]))
            except ValueError as error:
                raise ContractError(f"{operation}: the mock cannot serve the path: {error}") from None
            methods_of[operation.path].append(method)

    def allowing(*methods: str) -> PreparedResponse:
        return PreparedResponse(204, {"Allow": ", ".join([*methods, "OPTIONS"]), **ALWAYS, **cors}, b"")

    for path, methods in methods_of.items():
        router.add_route("OPTIONS", path, cast(Handler, _constant(allowing(*methods))))
    probes = frozenset(operation.path for operation in operations.values() if operation.key_header is None)
    of_server = allowing(*dict.fromkeys(method for methods in methods_of.values() for method in methods))
    return Routes(usage, router, probes, contract, of_server)


def _constant(prepared: PreparedResponse) -> Handle:
    async def handler(_: web.Request) -> Unmodified:
        return Unmodified(prepared.response())

    return handler
