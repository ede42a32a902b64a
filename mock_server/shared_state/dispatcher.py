"""Front for a state that several processes share: nobody is answered by settings that another process has changed."""

from __future__ import annotations

import time

from aiohttp import web

from mock_server.control.service import PREFIX
from mock_server.fixtures.library import UNUSABLE
from mock_server.shared_state.redis_state import ANY, GOES_BY, RedisState
from mock_server.simulation.overrides import NOTHING
from mock_server.simulation.state import StaleError, StateUnavailableError
from mock_server.web.dispatcher import Front
from mock_server.web.fast_path import is_plain
from mock_server.web.responses import refusal

# In seconds; the state recovers by itself, whenever that may be.
RETRY_AFTER = 1

AWAY = "The state that this mock shares with other processes is away; it answers again when that is back."
MISSING = "Another process has switched on what this one does not have"

# What says whether this process runs, whatever the state does.
HEALTH = f"{PREFIX}/health"


class SharedFront(Front):
    """Takes every request first, and answers by the latest settings or not at all.

    A plain request goes by the settings that this process knows: the very question that takes its token
    tells whether they are the latest, and if not it is answered anew. Any other asks for them first.
    """

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Answer one request and write it down."""
        if request.path == HEALTH:
            return await self.control(request)
        started = time.perf_counter()
        try:
            if self._goes_straight_to_its_bucket(request):
                return await self._unless_stale(request)
            return await self._by_the_latest(request)
        except StateUnavailableError:
            return self._unavailable(request, started, "state-unavailable", AWAY)
        except UNUSABLE as error:
            return self._unavailable(request, started, "unknown-name", f"{MISSING}: {error}")

    async def _unless_stale(self, request: web.Request) -> web.StreamResponse:
        state = self.simulator.state
        assert isinstance(state, RedisState)
        GOES_BY.set(state.version)
        try:
            return await super().__call__(request)
        except StaleError:
            return await self._by_the_latest(request)

    async def _by_the_latest(self, request: web.Request) -> web.StreamResponse:
        await self.simulator.catch_up()
        GOES_BY.set(ANY)
        if self.control.owns(request.path):
            return await self.control(request)
        return await super().__call__(request)

    def _goes_straight_to_its_bucket(self, request: web.Request) -> bool:
        keys = request.headers.getall(self._usage.key_header, ())
        if len(keys) != 1 or not is_plain(request, self._usage.path):
            return False
        simulator = self.simulator
        try:
            return simulator.standing(keys[0]).is_quiet and simulator.account(keys[0]) is not None
        except UNUSABLE:  # it may be switched off by now
            return False

    def _unavailable(self, request: web.Request, started: float, reason: str, detail: str) -> web.Response:
        answer = refusal(503, detail, reason, {**self.headers, "Retry-After": str(RETRY_AFTER)})
        keys = request.headers.getall(self._usage.key_header, ())
        seconds = time.perf_counter() - started
        now = self.simulator.clock()
        self.simulator.journal.add(now, request.method, request.raw_path, keys, 503, seconds, reason, NOTHING)
        return answer.response()
