"""The fault injector: applies the steps of a fault to an exchange."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import NamedTuple
from weakref import WeakKeyDictionary

from aiohttp import web
from multidict import CIMultiDict

from mock_server.fixtures.edits import EditError, edited, filler, patched, replaced
from mock_server.fixtures.faults import Changes, Fault, Names, Step
from mock_server.simulation.clock import Sleep
from mock_server.simulation.overrides import RUNTIME_USE, FaultUse
from mock_server.simulation.simulator import Simulator
from mock_server.web.aiohttp_adapter import ServerConnection
from mock_server.web.preferences import PREFERENCE_USE
from mock_server.web.raw_response import RawMessage, RawResponse
from mock_server.web.responses import decode, error_response, reason_phrase, render_exception
from mock_server.web.usage import Handle, Usage

# A connection that is still open when the server has stopped receives no byte.
STOPPED = RawMessage(0, "", (), b"", message=({"op": "cut", "at": 0},), end="reset")

# The maximum number of stored messages of a fault; the oldest one is forgotten first.
MAX_SLOTS = 1000

log = logging.getLogger("mock_server")


@dataclass
class FaultExchange:
    """One request on its way through the steps, with the response so far.

    The unmodified response is requested when a step reads it: otherwise it would take a token without being seen.

    Attributes:
        received: The request as received.
        request: The request as the operation sees it.
        handler: The unmodified handler of the request.
        applied: Returns the header that names honoured preferences.
        key: The API key that the operation sees.
        honoured: The names of the members of the override that have acted on the unmodified response.
        unmodified: The unmodified response, once it was requested.
        changed: The changed message, once a step has changed it.
        is_touched: A step of the fault has delayed the exchange or changed its key.
    """

    received: web.Request
    request: web.Request
    handler: Handle
    applied: Callable[[frozenset[str]], Mapping[str, str]]
    key: str
    honoured: frozenset[str] = frozenset()
    unmodified: web.Response | None = None
    changed: RawMessage | None = None
    is_touched: bool = False

    async def message(self) -> RawMessage:
        """Return the changed message; before the first change, a raw message with the unmodified response."""
        if self.changed is not None:
            return self.changed
        response = await self.response()
        return RawMessage.of(response, self.applied(self.honoured | {"fault"}))

    async def response(self) -> web.Response:
        """Return the unmodified response."""
        if self.unmodified is None:
            self.unmodified, honoured = await self.handler(self.request)
            self.honoured |= honoured
        return self.unmodified

    def use_key(self, key: str, usage: Usage) -> None:
        """Discard the response, and let the operation respond to another key; an empty text means no key."""
        self.request = self.request.clone(headers=CIMultiDict({usage.key_header: key} if key else {}))
        self.handler, self.key = usage.handle, key
        self.unmodified = self.changed = None


class FaultInjector:
    """The steps of one fault, with their memory.

    Args:
        fault: The fault.
        usage: The operation that responds to another key.
        sleep: Waits for a number of seconds.
    """

    def __init__(self, fault: Fault, usage: Usage, *, sleep: Sleep) -> None:
        self._steps, self._usage, self._sleep = fault.steps, usage, sleep
        self._matched: Counter[int] = Counter()
        self._applied: Counter[int] = Counter()
        self._slots: dict[str, RawMessage] = {}
        self._connections: WeakKeyDictionary[object, int] = WeakKeyDictionary()
        self._connection_numbers = count(1)
        #: Whether the fault has stopped the server.
        self.has_stopped = False

    async def apply(self, exchange: FaultExchange) -> bool:
        """Apply the steps to an exchange, and return whether they have acted.

        Raises:
            EditError: An edit cannot be applied.
        """
        before, request = exchange.changed, exchange.received
        exchange.is_touched = False
        for number, step in enumerate(self._steps):
            names = await self._match(number, step, exchange)
            if names is not None:
                connection = self._connections.setdefault(request.protocol, next(self._connection_numbers))
                slots = {"connection": f"connection {connection}", "target": f"target {request.raw_path}"}
                await self._apply(number, step, exchange, {**slots, **names})
        return exchange.is_touched or exchange.changed is not before

    async def _match(self, number: int, step: Step, exchange: FaultExchange) -> Names | None:
        """Return the named groups of the patterns where all conditions of a step hold."""
        when, received = step.when, exchange.received
        if when.path is None:  # also in a target of the absolute form
            has_path = received.rel_url.raw_path == self._usage.path
        else:
            has_path = bool(when.path.fullmatch(received.raw_path.partition("?")[0]))
        found = when.request.search(_head(received)) if has_path else None
        if not found or when.key not in (None, exchange.key) or not _has_circumstances(step, received):
            return None
        if when.status and (await exchange.message()).status not in when.status:
            return None
        in_body = when.body.search(decode(await received.read())) if when.body else found
        if not in_body:
            return None
        self._matched[number] += 1
        return {**found.groupdict(""), **in_body.groupdict("")} if when.is_turn(self._matched[number]) else None

    async def _apply(self, number: int, step: Step, exchange: FaultExchange, names: Names) -> None:
        fill = filler(names)
        self._applied[number] += 1
        exchange.is_touched |= bool(step.wait) or step.answer_as is not None
        if step.wait:
            await self._sleep(step.wait)
        if step.answer_as is not None:
            exchange.use_key(fill(step.answer_as), self._usage)
        if step.recall is not None:
            exchange.changed = self._slots.get(fill(step.recall), exchange.changed)
        if step.changes != Changes():
            changes = replaced(step.changes, lambda text, member: text if member == "pattern" else fill(text))
            exchange.changed = _change(await exchange.message(), changes, self._applied[number])
        if step.store is not None:
            slot = fill(step.store)
            self._slots.pop(slot, None)  # a stored message is the newest one
            self._slots[slot] = await exchange.message()
            if len(self._slots) > MAX_SLOTS:
                del self._slots[next(iter(self._slots))]
        if step.forget is not None:
            self._slots.pop(fill(step.forget), None)


class Injected(NamedTuple):
    """The response to a request with faults.

    Attributes:
        response: The response.
        acted: The faults that have acted.
        honoured: The names of the members of the override that have acted on the unmodified response.
    """

    response: web.StreamResponse
    acted: tuple[FaultUse, ...]
    honoured: frozenset[str]


class FaultInjectors:
    """The fault injectors in use, each with the memory of one use of a fault.

    Args:
        simulator: The simulator whose overrides use the faults.
        sleep: Waits for a number of seconds.
        stop: Stops the server.
        headers: Returns the headers of an error response.
    """

    def __init__(
        self,
        simulator: Simulator,
        *,
        sleep: Sleep,
        stop: Callable[[], None],
        headers: Callable[[], Mapping[str, str]],
    ) -> None:
        self._simulator, self._sleep, self._stop, self._headers = simulator, sleep, stop, headers
        self._injectors: dict[tuple[str, str, str], FaultInjector] = {}

    async def respond(
        self,
        uses: Sequence[FaultUse],
        request: web.Request,
        usage: Usage,
        handler: Handle,
        applied: Callable[[frozenset[str]], Mapping[str, str]],
    ) -> Injected:
        """Return the response of a handler as faults change it one after the other.

        Args:
            uses: The faults.
            request: The request.
            usage: The operation that responds to another key.
            handler: The unmodified handler of the request.
            applied: Returns the header that names honoured preferences, for a response that a fault changes.
        """
        # A request cannot be cloned after its body was read.
        key = ", ".join(request.headers.getall(usage.key_header, []))
        exchange = FaultExchange(request, request.clone(), handler, applied, key)
        injectors = {use: self._injector(use, key, usage) for use in uses}
        acted: list[FaultUse] = []

        def stop() -> None:
            for injector in injectors.values():
                injector.has_stopped = True
            self._stop()

        def raw(message: RawMessage) -> RawResponse:
            return RawResponse(message, request, sleep=self._sleep, stop=stop)

        if any(injector.has_stopped for injector in injectors.values()):
            return Injected(raw(STOPPED), tuple(uses), frozenset())
        try:
            for use, injector in injectors.items():
                if await injector.apply(exchange):
                    acted.append(use)
            response = await exchange.response() if exchange.changed is None else raw(exchange.changed)
        except web.HTTPRequestEntityTooLarge as error:
            return Injected(render_exception(error, self._headers()), tuple(uses), exchange.honoured)
        except EditError as error:
            log.error("the fault cannot be applied: %s", error)  # noqa: TRY400 - the text is complete
            detail, headers = f"The fault cannot be applied: {error}.", self._headers()
            prepared = error_response(500, detail, "fault-not-applicable", headers=headers)
            return Injected(prepared.response(), tuple(uses), exchange.honoured)
        return Injected(response, tuple(acted), exchange.honoured)

    def _injector(self, use: FaultUse, key: str, usage: Usage) -> FaultInjector:
        """Return the injector of a use of a fault.

        A preferred fault has a memory for each key. Unknown keys share one, because their number is not bounded.
        """
        owner = key if use.use == PREFERENCE_USE and self._simulator.has(key) else ""
        place = (use.name, use.use, owner)
        if place not in self._injectors:
            uses = {fault.use for fault in self._simulator.overrides.faults}
            for ended in tuple(self._injectors):
                if ended[1].startswith(RUNTIME_USE) and ended[1] not in uses:
                    del self._injectors[ended]
            fault = self._simulator.library.fault(use.name)
            self._injectors[place] = FaultInjector(
                fault.unconditional() if use.is_unconditional else fault, usage, sleep=self._sleep
            )
        return self._injectors[place]

    def forget(self, key: str | None = None) -> None:
        """Forget the memory of preferred faults of a key, or all memory (None)."""
        for place in tuple(self._injectors):
            if key in (None, place[2]):
                del self._injectors[place]


def _change(message: RawMessage, changes: Changes, turn: int) -> RawMessage:
    new, added = changes.headers.get("set", {}), changes.headers.get("add", {})
    of_a_body = ("Content-Type",) if changes.status == 304 else ()  # RFC 9110, section 15.4.5
    removed = {name.lower() for name in (*changes.headers.get("remove", ()), *new, *of_a_body)}
    kept = tuple((name, value) for name, value in message.headers if name.lower() not in removed)
    body = patched(message.body, changes.patch, turn) if changes.patch else message.body
    status = changes.status or message.status
    return replace(
        message,
        status=status,
        reason=reason_phrase(status) if changes.status else message.reason,
        headers=(*kept, *new.items(), *added.items()),
        body=edited(body, changes.body),
        head=(*message.head, *changes.head),
        message=(*message.message, *changes.message),
        framing=changes.framing or message.framing,
        drip=changes.drip or message.drip,
        drip_body=changes.drip_body or message.drip_body,
        end=changes.end or message.end,
    )


def _has_circumstances(step: Step, request: web.Request) -> bool:
    """Return whether the connections are in the state that a step needs."""
    connection = request.protocol
    if not isinstance(connection, ServerConnection):  # a request of aiohttp's own test client
        return step.when.client is None and step.when.beside is None
    return (step.when.client is None or connection.is_client_gone) and (
        step.when.beside is None or connection.is_beside_partial_request
    )


def _head(request: web.Request) -> str:
    """Return the request line and the headers of a request in their original spelling."""
    version = f"HTTP/{request.version.major}.{request.version.minor}"
    headers = [f"{decode(name)}: {decode(value)}" for name, value in request.raw_headers]
    return "\n".join([f"{request.method} {request.raw_path} {version}", *headers])
