"""What stands before the application: `/__mock__/`, what was switched on or preferred, and the journal."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakSet

from aiohttp import web

from mock_server.control import Control
from mock_server.fixtures.edits import Edit
from mock_server.fixtures.library import UNUSABLE
from mock_server.simulation.overrides import NONE, NOTHING, SWITCHED_ON, Behaviour, FaultUse
from mock_server.simulation.simulator import Simulator
from mock_server.simulation.state import MemoryState
from mock_server.web.cors import CROSS_ORIGIN, preflight
from mock_server.web.fast_path import Repeat, Written, is_plain
from mock_server.web.fault_injector import Faulty, Sleep
from mock_server.web.preferences import PREFERRED, PreferenceError, behaviour, ignored, preferences
from mock_server.web.raw_response import RawResponse
from mock_server.web.responses import REASON, Answer, as_json, refusal
from mock_server.web.usage import HONOURED, SCENARIO, WANTED, Usage

if TYPE_CHECKING:
    from mock_server.web.server import Listener

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# The field in which the mock says that it serves older files than there are.
RELOAD = "Mock-Reload"

PREFERENCES = web.RequestKey("preferences", dict[str, str])

# The field in which the mock names what was probably meant for it, and is no preference that it knows.
IGNORED = "Mock-Ignored"


class Front:
    """Takes every request first; `handler` is the application's own way to an answer.

    `sleep` takes the seconds that a client is made to wait. With `cors` pages of other
    origins may ask, too. Requests to the paths of `probes` are never delayed.
    """

    def __init__(self, simulator: Simulator, usage: Usage, sleep: Sleep, cors: bool, probes: frozenset[str]) -> None:
        self.simulator, self.cors, self._probes = simulator, cors, probes
        self.headers: Mapping[str, str] = CROSS_ORIGIN if cors else {}
        self.handler: Handler
        self.control: Control
        self.servers: list[Listener] = []
        self._usage, self._sleep = usage, sleep
        self._faulties: dict[tuple[str, ...], Faulty] = {}
        #: The connections of which a fault has changed what was received.
        self.edited: WeakSet[object] = WeakSet()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer one request and write it down."""
        started = time.perf_counter()
        keys = request.headers.getall(self._usage.key_header, ())
        key = keys[0] if len(keys) == 1 else ", ".join(keys)
        wanted = self.simulator.standing(key)
        response: web.StreamResponse
        if self._leaves_it(wanted) and is_plain(request, self._usage.path):
            answer = await self._usage.decided(keys)
            response, reason = Written(answer, keys, self._usage), answer.reason
        elif self.control.owns(request.path):
            return await self.control(request)
        else:
            wanted, response = await self._ordinary(request, key)
            reason = response.headers.get(REASON, "") if response.status >= 400 else ""
        self._write_down(request.method, request.raw_path, keys, response.status, started, reason, wanted)
        return response

    def at_once(self, repeat: Repeat, data: bytes) -> Answer | None:
        """Answer bytes that were received, and write them down, if they are a plain request and nobody has to wait."""
        started = time.perf_counter()
        state, keys = self.simulator.state, repeat.api_keys(data)
        if repeat.usage is not self._usage or keys is None or not isinstance(state, MemoryState):
            return None
        wanted = self.simulator.standing(keys[0] if len(keys) == 1 else "")
        if not self._leaves_it(wanted):
            return None
        answer = self._usage.decided_now(keys, state)
        self._write_down("GET", repeat.usage.path or "", keys, answer.status, started, answer.reason, wanted)
        return answer

    def _leaves_it(self, wanted: Behaviour) -> bool:
        """Whether an answer is left as the account has it."""
        return wanted.is_quiet and not self.simulator.problem

    def _write_down(
        self, method: str, target: str, keys: Sequence[str], status: int, started: float, reason: str, wanted: Behaviour
    ) -> None:
        seconds = time.perf_counter() - started
        self.simulator.journal.add(self.simulator.clock(), method, target, keys, status, seconds, reason, wanted)

    async def _ordinary(self, request: web.Request, key: str) -> tuple[Behaviour, web.StreamResponse]:
        if self.cors and (answered := preflight(request)):
            return NOTHING, answered.response()
        try:
            wanted = self._wanted(request, key)
        except PreferenceError as error:
            return NOTHING, refusal(400, str(error), "unknown-preference", self.headers).response()
        if wanted == NOTHING:
            return NOTHING, await self._sound(request)
        return await self._as_wanted(request, key, wanted)

    @property
    def codes(self) -> list[int]:
        """The statuses that the document has."""
        return self._usage.codes

    @property
    def received(self) -> tuple[Edit, ...]:
        """The edits that faults make to whatever is received."""
        if self.simulator.settings.is_plain:
            return ()
        found: list[Edit] = []
        for use in self.simulator.settings.faults:
            with suppress(*UNUSABLE):  # the answer tells it
                found += self.simulator.library.fault(use.name).received
        return tuple(found)

    def _wanted(self, request: web.Request, key: str) -> Behaviour:
        simulator, fields = self.simulator, request.headers.getall("Prefer", ())
        if not fields:
            return simulator.standing(key)
        preferred = preferences(fields)
        own = behaviour(preferred, simulator.library, self._usage.codes)
        if own.scenario is not None:
            request[SCENARIO] = own.scenario
        request[PREFERENCES] = preferred
        request[HONOURED] = {"fault"} if preferred.get("fault") == NONE else set()
        return simulator.behaviour(key, own)

    async def _as_wanted(
        self, request: web.Request, key: str, wanted: Behaviour
    ) -> tuple[Behaviour, web.StreamResponse]:
        """Return what acted on this exchange, and the response."""
        request[WANTED] = wanted
        honoured = request[HONOURED] = request.get(HONOURED, set())
        if wanted.delay is not None and request.path not in self._probes:
            honoured.add("delay")
            if wanted.delay != NONE:
                await self._sleep(self.simulator.delay(wanted.delay))
        use, acts = wanted.fault, False
        if use and await self._is_turn(use):
            response, acts = await self._by_fault(use, request, key)
            acts = acts or self._fills_the_bucket(use, request, response, key)
        else:
            request[WANTED] = replace(wanted, fault=None)  # nor is it the turn of its buckets
            response = await self._sound(request)
        acted = Behaviour(
            scenario=wanted.scenario if request.path == self._usage.path else None,
            code=wanted.code if "code" in honoured else None,
            fault=use if acts or self._has_edited(use, request) else None,
            delay=wanted.delay if "delay" in honoured else None,
        )
        return acted, response

    async def _by_fault(self, use: FaultUse, request: web.Request, key: str) -> tuple[web.StreamResponse, bool]:
        honoured = request[HONOURED]
        honoured.add("fault")  # a response that it changes says so, or no longer can
        response, acts = await self._faulty(use, key).answer(request, self._sound)
        if not isinstance(response, RawResponse):
            honoured.remove("fault")
            self._acknowledge(request, response)
        return response, acts

    def _fills_the_bucket(self, use: FaultUse, request: web.Request, response: web.StreamResponse, key: str) -> bool:
        """Whether a response tells of a bucket that a fault gives to the key."""
        if request.path != self._usage.path or response.status not in (200, 429):
            return False
        account = self.simulator.account(key, request.get(SCENARIO)) if self.simulator.has(key) else None
        return account is not None and self.simulator.bucket(account, use) is not account.bucket

    def _has_edited(self, use: FaultUse | None, request: web.Request) -> bool:
        """Whether a fault has changed what was received of this request."""
        if use is None or request.protocol not in self.edited:
            return False
        self.edited.discard(request.protocol)
        return bool(self.simulator.library.fault(use.name).received)

    async def _sound(self, request: web.Request) -> web.StreamResponse:
        try:
            response = await self.handler(request)
        except web.HTTPException as refused:
            response = as_json(refused)
        response.headers.update(self.headers)
        self._acknowledge(request, response)
        if "Prefer" in request.headers and (names := ignored(request.headers.getall("Prefer"))):
            response.headers[IGNORED] = names
        return response

    def _acknowledge(self, request: web.Request, response: web.StreamResponse) -> None:
        """Name those preferences that were honoured (RFC 7240, section 3)."""
        preferred, honoured = request.get(PREFERENCES, {}), request.get(HONOURED, set())
        if applied := [f"{name}={value}" for name, value in preferred.items() if name in honoured]:
            response.headers["Preference-Applied"] = ", ".join(applied)
        else:
            response.headers.pop("Preference-Applied", None)

    async def _is_turn(self, use: FaultUse) -> bool:
        if use.name == NONE:
            return False
        return use.is_turn(await self.simulator.state.count(use.use)) if use.after or use.times else True

    def _faulty(self, use: FaultUse, key: str) -> Faulty:
        # What a preferred fault remembers is the key's own; unknown ones share, they could be any number.
        owner = key if use.use == PREFERRED and self.simulator.has(key) else ""
        place = (use.name, use.use, owner)
        if place not in self._faulties:
            self._forget_what_is_over()
            fault = self.simulator.library.fault(use.name)
            self._faulties[place] = Faulty(
                fault.at_once() if use.is_at_once else fault, self._usage, self._sleep, self.stop
            )
        return self._faulties[place]

    def _forget_what_is_over(self) -> None:
        uses = {each.use for each in self.simulator.settings.faults}
        for place in tuple(self._faulties):
            if place[1] not in uses and place[1].startswith(SWITCHED_ON):
                del self._faulties[place]

    async def reset(self, key: str | None = None) -> None:
        """Put a key, or everything (None), back to the start; a server that a fault has stopped listens again."""
        await self.simulator.reset(key)
        for place in tuple(self._faulties):
            if key in (None, place[2]):
                del self._faulties[place]
        for server in self.servers:
            await server.open()

    def renew(self, other: Front, handler: Handler) -> None:
        """Answer by other files, as another front would; what has happened so far stays, but for what faults remember.

        Raises what Simulator.renew raises; nothing is changed then.
        """
        self.simulator.renew(other.simulator.library)
        self._usage, self.handler, self._probes = other._usage, handler, other._probes
        self._usage.serve(self.simulator)
        self._faulties.clear()
        self.control.renew(self._usage.key_header, self._usage.codes)
        self.trouble(None)

    def trouble(self, problem: str | None, where: str = "") -> None:
        """Say in every answer that files at some place have changed and cannot be served, until there is no problem."""
        self.simulator.problem = problem
        own = {RELOAD: f"failed; {where}"} if problem else {}
        self.headers = {**(CROSS_ORIGIN if self.cors else {}), **own}

    def stop(self) -> None:
        """Stop listening, as a server does that has crashed."""
        for server in self.servers:
            server.close()
