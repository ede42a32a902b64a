"""The dispatcher of a mock with a shared state: no response depends on overrides that another process has changed."""

from __future__ import annotations

from contextlib import suppress

from aiohttp import web

from mock_server.fixtures.library import FIXTURE_ERRORS
from mock_server.simulation.clock import real_seconds
from mock_server.simulation.overrides import NO_OVERRIDE
from mock_server.simulation.state import StaleError, StateUnavailableError, UnreadableStateError
from mock_server.web.dispatcher import CONTROL_PREFIX, Dispatcher, is_control_path, normalize
from mock_server.web.fast_path import is_plain
from mock_server.web.responses import error_response

# In seconds; the time until the state is available again is unknown.
RETRY_AFTER = 1

UNAVAILABLE = "The state that this mock shares with other processes is unavailable; the mock recovers by itself."
MISSING = "Another process has switched on a scenario or fault that this one does not have"

# The request that replaces unreadable overrides.
RESET = ("POST", f"{CONTROL_PREFIX}/reset")

# The path that reports whether this process runs, regardless of the state.
HEALTH = f"{CONTROL_PREFIX}/health"


class SharedDispatcher(Dispatcher):
    """Responds by the latest overrides of all processes, or with 503.

    A plain request uses the overrides that this process knows. The command that takes its token also checks their
    version. If it is not the latest one, the request is handled again. Any other request reads the overrides first.
    """

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Respond to one request."""
        if request.rel_url.raw_path == HEALTH:
            return await self.control(normalize(request))
        started, received = real_seconds(), self.simulator.clock()
        try:
            if self._needs_only_its_bucket(request):
                with suppress(StaleError):
                    return await self.respond(request, self.simulator.state.version)
            try:
                await self.simulator.catch_up()
            except UnreadableStateError:
                if (request.method, request.rel_url.raw_path) != RESET:
                    raise
            if is_control_path(request.rel_url.raw_path):  # also while this process lacks a scenario or fault
                return await self.control(normalize(request))
            return await self.respond(request)
        except UnreadableStateError as error:
            reason, detail = "state-unreadable", str(error)
        except StateUnavailableError:
            reason, detail = "state-unavailable", UNAVAILABLE
        except FIXTURE_ERRORS as error:
            reason, detail = "unknown-name", f"{MISSING}: {error}"
        headers = {**self.mock.headers, "Retry-After": str(RETRY_AFTER)}
        response = error_response(503, detail, reason, headers=headers).response()
        await self.record(request, response, reason, NO_OVERRIDE, received=received, started=started)
        return response

    def _needs_only_its_bucket(self, request: web.Request) -> bool:
        usage = self.mock.routes.usage
        keys = request.headers.getall(usage.key_header, ())
        if len(keys) != 1 or not is_plain(request, usage):
            return False
        try:
            override, account = self.simulator.effective(keys[0]), self.simulator.account(keys[0])
        except FIXTURE_ERRORS:  # the override can be removed already
            return False
        return self.is_unmodified(override) and account is not None
