"""A fault at work: its steps, tried in order on the way of every request, around the sound simulation."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from itertools import count
from weakref import WeakKeyDictionary

from aiohttp import web
from aiohttp.typedefs import Handler
from multidict import CIMultiDict

from mock_server.fixtures.edits import EditError, edited, filler, patched
from mock_server.fixtures.faults import Changes, Fault, Names, Step
from mock_server.web.raw_response import Fields, RawResponse, Reply
from mock_server.web.responses import as_json, reason_of, refusal
from mock_server.web.usage import Usage

Sleep = Callable[[float], Awaitable[None]]

# What a connection that is still open when the server has stopped gets: nothing.
GONE = Reply(0, "", (), b"", message=({"op": "cut", "at": 0},), end="reset")

# How many answers a fault keeps; the one that was stored longest ago is forgotten first.
SLOTS = 1000

log = logging.getLogger("mock_server")


@dataclass
class Exchange:
    """One request on its way through the steps: who is taken to ask, and the answer that there is so far.

    The sound answer is asked for when a step looks at it, so that one which nobody saw takes no token.
    `is_touched` says that a step has delayed or changed something.
    """

    received: web.Request
    request: web.Request
    handler: Handler
    key: str
    sound: web.Response | None = None
    changed: Reply | None = None
    is_touched: bool = False

    async def reply(self) -> Reply:
        """Return the answer so far, ready to be changed."""
        return self.changed or Reply.of(await self.answer())

    async def answer(self) -> web.Response:
        """Return the sound answer."""
        if self.sound is None:
            try:
                response = await self.handler(self.request)
            except web.HTTPException as error:
                response = as_json(error)
            assert isinstance(response, web.Response)
            self.sound = response
        return self.sound

    def ask_as(self, key: str, usage: Usage) -> None:
        """Throw the answer away and have the operation answer another key; an empty one is none."""
        self.request = self.request.clone(headers=CIMultiDict({usage.key_header: key} if key else {}))
        self.handler, self.key = usage.answer, key
        self.sound = self.changed = None


class Faulty:
    """The steps of one fault, with all that they remember between requests."""

    def __init__(self, fault: Fault, usage: Usage, sleep: Sleep, stop: Callable[[], None]) -> None:
        self._steps = fault.steps
        self._usage = usage
        self._sleep, self._stop_listening = sleep, stop
        self._matched: Counter[int] = Counter()
        self._applied: Counter[int] = Counter()
        self._slots: dict[str, Reply] = {}
        self._connections: WeakKeyDictionary[object, int] = WeakKeyDictionary()
        self._numbers = count(1)
        self._stopped = False

    async def answer(self, request: web.Request, handler: Handler) -> tuple[web.StreamResponse, bool]:
        """Return the response of the handler that a sound server has, as the steps change it, and whether they do."""
        if self._stopped:
            return RawResponse(GONE, request, self._sleep, self._stop), True
        # A request whose body was read cannot be cloned any more.
        exchange = Exchange(request, request.clone(), handler, self._asking_key(request))
        try:
            for number, step in enumerate(self._steps):
                names = await self._holds(number, step, exchange)
                if names is not None:
                    await self._apply(number, step, exchange, {**self._places(request), **names})
            if exchange.changed is None:
                return await exchange.answer(), exchange.is_touched
            return RawResponse(exchange.changed, request, self._sleep, self._stop), True
        except web.HTTPRequestEntityTooLarge as refused:
            return as_json(refused), True
        except EditError as error:
            log.error("the fault does not fit: %s", error)  # noqa: TRY400 - the text says it all
            return refusal(500, f"The fault does not fit: {error}.", "fault-does-not-fit").response(), True

    async def _holds(self, number: int, step: Step, exchange: Exchange) -> Names | None:
        """Return the named groups of the request where all of the step's conditions hold."""
        when, received = step.when, exchange.received
        found = when.path.fullmatch(received.raw_path.partition("?")[0]) and when.request.search(_head(received))
        if not found or when.key not in (None, exchange.key):
            return None
        if when.status and (await exchange.reply()).status not in when.status:
            return None
        within = when.body.search(_text(await received.read())) if when.body else found
        if not within:
            return None
        self._matched[number] += 1
        return {**found.groupdict(""), **within.groupdict("")} if when.is_turn(self._matched[number]) else None

    async def _apply(self, number: int, step: Step, exchange: Exchange, names: Names) -> None:
        fill = filler(names)
        self._applied[number] += 1
        exchange.is_touched |= bool(step.wait) or step.answer_as is not None
        if step.wait:
            await self._sleep(step.wait)
        if step.answer_as is not None:
            exchange.ask_as(fill(step.answer_as), self._usage)
        if step.recall is not None:
            exchange.changed = self._slots.get(fill(step.recall), exchange.changed)
        if step.changes != Changes():
            exchange.changed = _changed(await exchange.reply(), step.changes.filled(fill), self._applied[number])
        if step.store is not None:
            self._keep(fill(step.store), await exchange.reply())

    def _keep(self, slot: str, reply: Reply) -> None:
        """Store an answer, behind all others; a slot of a connection that has gone would otherwise stay for ever."""
        self._slots.pop(slot, None)
        self._slots[slot] = reply
        if len(self._slots) > SLOTS:
            del self._slots[next(iter(self._slots))]

    def _asking_key(self, request: web.Request) -> str:
        return ", ".join(request.headers.getall(self._usage.key_header, []))

    def _places(self, request: web.Request) -> Names:
        """Name what a slot may belong to."""
        number = self._connections.setdefault(request.protocol, next(self._numbers))
        return {"connection": f"connection {number}", "target": f"target {request.raw_path}"}

    def _stop(self, _: web.Request) -> None:
        self._stopped = True
        self._stop_listening()


def _changed(reply: Reply, changes: Changes, turn: int) -> Reply:
    body = patched(reply.body, changes.patch, turn) if changes.patch else reply.body
    status = changes.status or reply.status
    return replace(
        reply,
        status=status,
        reason=reason_of(status) if changes.status else reply.reason,
        fields=_fields(reply.fields, changes),
        body=edited(body, changes.body),
        head=(*reply.head, *changes.head),
        message=(*reply.message, *changes.message),
        framing=changes.framing or reply.framing,
        drip=changes.drip or reply.drip,
        end=changes.end or reply.end,
    )


def _fields(fields: Fields, changes: Changes) -> Fields:
    new, more = changes.headers.get("set", {}), changes.headers.get("add", {})
    gone = {name.lower() for name in (*changes.headers.get("remove", ()), *new)}
    kept = tuple((name, value) for name, value in fields if name.lower() not in gone)
    return (*kept, *new.items(), *more.items())


def _head(request: web.Request) -> str:
    """Return a request's line, and its fields as they were spelt, as text."""
    version = f"HTTP/{request.version.major}.{request.version.minor}"
    fields = [f"{_text(name)}: {_text(value)}" for name, value in request.raw_headers]
    return "\n".join([f"{request.method} {request.raw_path} {version}", *fields])


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
