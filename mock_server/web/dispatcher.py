"""The dispatcher: the code that receives every request first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple
from weakref import WeakSet

from aiohttp import web
from aiohttp.http import HttpVersion10, HttpVersion11
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.typedefs import Handler
from yarl import URL

from mock_server.fixtures.edits import Edit
from mock_server.fixtures.library import FIXTURE_ERRORS
from mock_server.journal.entry import MAX_TEXT, Entry
from mock_server.simulation.clock import real_seconds
from mock_server.simulation.overrides import NO_OVERRIDE, FaultUse, Override
from mock_server.simulation.state import MemoryState
from mock_server.web.aiohttp_adapter import UNPARSED
from mock_server.web.cors import preflight
from mock_server.web.fast_path import PreserializedResponse, RequestTemplate, is_plain, serialize
from mock_server.web.mock import Mock
from mock_server.web.preferences import (
    PreferenceError,
    applied_preferences,
    ignored_preferences,
    parse_preferences,
    preferred_override,
)
from mock_server.web.raw_response import RawResponse
from mock_server.web.recording import SENT, ReceivedRequest, SentBytes, connection_of, received_request, sent_response
from mock_server.web.responses import REASON, error_response, render_exception
from mock_server.web.usage import PLAN, RequestPlan, Unmodified

# The header that names a misspelled preference.
IGNORED = "Mock-Ignored"

# The prefix of the control API, and the path of its stream of events, which lasts as long as its connection.
CONTROL_PREFIX = "/__mock__"
EVENT_STREAM = f"{CONTROL_PREFIX}/events"


def is_control_path(path: str) -> bool:
    """Return whether a path, as it was sent, belongs to the control API.

    A percent-encoded path does not: a proxy that denies the prefix to other clients would not recognize it.
    """
    return path == CONTROL_PREFIX or path.startswith(f"{CONTROL_PREFIX}/")


def normalize(request: web.Request) -> web.Request:
    """Return a request whose target has a path: `http://host` means `/` (RFC 9110, section 4.2.3).

    Raises:
        BadHttpMessage: The parser accepts the HTTP version, but the server does not support it.
    """
    if request.version not in (HttpVersion10, HttpVersion11):
        raise BadHttpMessage(f"HTTP/{request.version.major}.{request.version.minor} is not supported")
    if request.rel_url.raw_path or request.method == "CONNECT":
        return request
    return request.clone(rel_url=URL.build(path="/", query_string=request.rel_url.raw_query_string, encoded=True))


class Handled(NamedTuple):
    """The response to a request with overrides.

    Attributes:
        response: The response.
        acted: The overrides that acted on the exchange.
        delay: The seconds that the response still waits.
    """

    response: web.StreamResponse
    acted: Override = NO_OVERRIDE
    delay: float = 0.0


class Dispatcher:
    """Receives every request, applies the overrides and records the exchange in the journal.

    Args:
        mock: The mock.
        control: Handles the requests to the control API.
    """

    def __init__(self, mock: Mock, control: Handler) -> None:
        self.mock, self.control = mock, control
        self.simulator = mock.simulator
        #: The connections with a request whose bytes a fault has changed.
        self.edited: WeakSet[object] = WeakSet()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Respond to one request."""
        return await self.respond(request)

    async def respond(self, request: web.Request, required: str | None = None) -> web.StreamResponse:
        """Respond to one request; a plain request passes `required` to `State.take`."""
        started, received = real_seconds(), self.simulator.clock()
        usage = self.mock.routes.usage
        keys = request.headers.getall(usage.key_header, ())
        key = keys[0] if len(keys) == 1 else ", ".join(keys)
        override = self.simulator.effective(key)
        if self.is_unmodified(override) and is_plain(request, usage):
            prepared = await usage.respond(keys, required=required)
            plain = PreserializedResponse(prepared, keys, usage)
            await self.record(request, plain, prepared.reason, override, received=received, started=started)
            return plain
        if is_control_path(request.rel_url.raw_path):
            return await self.control(normalize(request))
        task = asyncio.current_task()
        assert task is not None
        self.mock.unrecorded[task] = key
        try:
            response, acted, delay = await self._handle(normalize(request), key)
            reason = response.headers.get(REASON, "") if response.status >= 400 else ""
            await self.record(request, response, reason, acted, received=received, started=started, delay=delay)
        finally:
            del self.mock.unrecorded[task]
        if delay:  # last: a client that gives up does not change what the request counts for
            try:
                await self.mock.sleep(delay)
            except asyncio.CancelledError:  # the mock stops
                request[SENT].outcome = "not-sent"
                raise
        return response

    def answer_repeat(self, template: RequestTemplate, data: bytes) -> bytes | None:
        """Return the response to received bytes if they repeat a plain request and no override is in force."""
        started = real_seconds()
        simulator, usage = self.simulator, self.mock.routes.usage
        state = simulator.state
        keys = template.match(data)
        if template.usage is not usage or keys is None or not isinstance(state, MemoryState):
            return None
        override = simulator.effective(keys[0] if len(keys) == 1 else "")
        if not self.is_unmodified(override):
            return None
        now = simulator.clock()
        prepared = usage.respond_sync(keys, state, now)
        response, status = serialize(prepared), prepared.status
        reason, path = prepared.reason if status >= 400 else "", usage.path
        sent, seconds = SentBytes(response), real_seconds() - started
        # Positions cost less than names.
        self.mock.journal.add(Entry("GET", path, keys, status, reason, override, now, now, seconds, template, sent))
        return response

    async def record(
        self,
        request: web.Request,
        response: web.StreamResponse,
        reason: str,
        override: Override,
        *,
        received: float,
        started: float,
        delay: float = 0.0,
    ) -> None:
        """Record an exchange in the journal.

        Args:
            request: The request.
            response: The response.
            reason: The value of `Mock-Reason`.
            override: The overrides that acted on the exchange.
            received: The mock's time at which the request was received.
            started: The `real_seconds` at that time.
            delay: The seconds that the response still waits.
        """
        at, seconds = self.simulator.clock.after(delay), real_seconds() - started + delay
        keys: Sequence[str] = request.headers.getall(self.mock.routes.usage.key_header, ())
        if sum(map(len, keys)) > MAX_TEXT:
            keys = [", ".join(keys)[:MAX_TEXT]]
        target, incoming = request.raw_path[:MAX_TEXT], await received_request(request, self.mock.sleep)
        sent = request[SENT] = sent_response(request, response)
        self.mock.journal.add(
            Entry(
                method=request.method,
                target=target,
                keys=keys,
                status=response.status,
                reason=reason,
                override=override,
                received=received,
                at=at,
                seconds=seconds,
                request_source=incoming,
                response_source=sent,
            )
        )

    def record_error(self, request: web.BaseRequest, response: web.Response, reason: str) -> None:
        """Record a request that has no ordinary response; neither its header fields nor its body are kept.

        aiohttp does not report the method and the target of a request that it cannot parse.
        """
        now, target = self.simulator.clock(), "" if request.method == UNPARSED else request.raw_path[:MAX_TEXT]
        self.mock.journal.add(
            Entry(
                method=request.method,
                target=target,
                keys=(),
                status=response.status,
                reason=reason,
                override=NO_OVERRIDE,
                received=now,
                at=now,
                seconds=0.0,
                request_source=ReceivedRequest((), b"", is_complete=False, connection=connection_of(request)),
                response_source=sent_response(request, response),
            )
        )

    @property
    def received_edits(self) -> tuple[Edit, ...]:
        """The edits that active faults make to received bytes."""
        if self.simulator.overrides.is_empty:
            return ()
        edits: list[Edit] = []
        for use in self.simulator.overrides.faults:
            with suppress(*FIXTURE_ERRORS):  # the response reports the error
                edits += self.simulator.library.fault(use.name).received
        return tuple(edits)

    def is_unmodified(self, override: Override) -> bool:
        """Return whether the response to a plain request with an override is the usual one."""
        return (override is NO_OVERRIDE or override.is_passthrough) and not self.mock.reload_error

    def _changes_preflight(self) -> bool:
        """Return whether an active fault applies to CORS preflight requests, which have no API key."""
        with suppress(*FIXTURE_ERRORS):  # other responses report the error
            uses = self.simulator.effective("").applied
            return any(self.simulator.library.fault(use.name).preflight for use in uses)
        return False

    async def _handle(self, request: web.Request, key: str) -> Handled:
        """Return the response to a request that the fast path and the control API leave."""
        if self.mock.cors and (prepared := preflight(request)) and not self._changes_preflight():
            return Handled(prepared.response())
        overrides, usage = self.simulator.overrides, self.mock.routes.usage
        preferences = parse_preferences(request.headers.getall("Prefer", ()))
        try:
            own = preferred_override(preferences, self.simulator.library, usage.status_codes)
        except PreferenceError as error:
            prepared = error_response(400, str(error), "invalid-preference", headers=self.mock.headers)
            return Handled(prepared.response())
        override = self.simulator.resolve(key, own) if preferences else self.simulator.effective(key)
        due = NO_OVERRIDE
        if (answer := override.answer) and answer.is_limited:
            if usage.serves(request):
                due = answer.override_at(await self.simulator.state.count(answer.use))
            override = self.simulator.resolve(key, own, overrides=overrides, due=due)
        handled = await self._apply(RequestPlan(override, own.scenario, preferences), request, key)
        acted = handled.acted
        uses = {use.use for use in (acted.answer, *(acted.faults or ())) if use}
        if answer and due.delay is not None and due.delay == acted.delay:
            uses.add(answer.use)
        self.simulator.acted.update(uses)
        return handled

    async def _apply(self, plan: RequestPlan, request: web.Request, key: str) -> Handled:
        """Return the response to a request with the overrides of a plan."""
        override, usage, delay = plan.override, self.mock.routes.usage, 0.0
        honoured = frozenset(["fault"] if override.faults == () else [])
        if override.delay is not None and request.path not in self.mock.routes.probes:
            honoured |= {"delay"}
            if override.active_delay is not None:
                delay = self.simulator.draw_delay(override.active_delay)
        uses = tuple([use for use in override.applied if await self._is_turn(use)])
        if uses != (override.faults or ()):  # the buckets of the other faults do not act, either
            plan = replace(plan, override=replace(override, faults=uses))
        request[PLAN] = plan
        changing = self._have_edited(override.applied, request)

        def applied(names: frozenset[str]) -> Mapping[str, str]:
            return applied_preferences(plan.preferences, honoured | names)

        response: web.StreamResponse
        if uses:
            handle = self.handle_unmodified
            response, acted, names = await self.mock.injectors.respond(uses, request, usage, handle, applied)
            changing.update(acted, self._with_bucket(uses, request, response, key))
        else:
            response, names = await self.handle_unmodified(request)
        if not isinstance(response, RawResponse):
            response.headers.update(applied(names))
        return Handled(
            response,
            Override(
                scenario=override.scenario if usage.serves(request) else None,
                answer=override.answer if "code" in names else None,
                faults=tuple(use for use in override.faults or () if use in changing) or None,
                delay=override.delay if "delay" in honoured else None,
            ),
            delay,
        )

    async def _is_turn(self, use: FaultUse) -> bool:
        """Return whether a fault acts on a request, which counts."""
        return not use.is_limited or use.is_turn(await self.simulator.state.count(use.use))

    def _with_bucket(
        self, uses: tuple[FaultUse, ...], request: web.Request, response: web.StreamResponse, key: str
    ) -> Iterator[FaultUse]:
        """Yield the faults on whose buckets a response depends."""
        if not self.mock.routes.usage.serves(request) or response.status not in (200, 429):
            return
        account = self.simulator.account(key, request[PLAN].scenario) if self.simulator.has(key) else None
        if account is not None:
            yield from (use for use in uses if self.simulator.bucket(account, [use]) is not account.bucket)

    def _have_edited(self, uses: tuple[FaultUse, ...], request: web.Request) -> set[FaultUse]:
        """Return the faults that have changed the received bytes of a request."""
        if request.protocol not in self.edited:
            return set()
        self.edited.discard(request.protocol)
        return {use for use in uses if self.simulator.library.fault(use.name).received}

    async def handle_unmodified(self, request: web.Request) -> Unmodified:
        """Return the response without a fault, with the headers of every response."""
        try:
            handled = await self.mock.routes.handle(request)
        except web.HTTPException as error:
            handled = Unmodified(render_exception(error, self.mock.headers))
        headers = handled.response.headers
        headers.update(self.mock.reload_headers)
        if "Prefer" in request.headers and (names := ignored_preferences(request.headers.getall("Prefer"))):
            headers[IGNORED] = names
        return handled


DISPATCHER = web.AppKey("dispatcher", Dispatcher)
