"""The mock inside the caller's own event loop: `async with AsyncUsageMock() as mock: ...`."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, get_args, get_origin, get_type_hints

from aiohttp import web

from mock_server.app import make_app
from mock_server.fixtures.deployments import MOST, PROTOCOLS, Calls, Deployment, load_deployment
from mock_server.fixtures.faults import load_fault
from mock_server.simulation.clock import END_OF_TIME, MockClock
from mock_server.simulation.journal import Entry
from mock_server.simulation.overrides import FaultUse
from mock_server.simulation.simulator import Simulator
from mock_server.suggestions import UnknownNameError, advice
from mock_server.web.dispatcher import Front
from mock_server.web.preferences import code_of
from mock_server.web.server import FRONT, GRACE_SECONDS, listening
from usage_contract import Contract, load

if TYPE_CHECKING:
    import ssl
    from typing import Unpack


NOT_YET = "the mock is not served yet; enter its context first"
OVER = "this mock was served already, and serves once; make another one"
FAILED = "this mock could not be served ({}); make another one"

# What fixtures/deployment.schema.json says of a domain.
DOMAIN = r"[^\s/:@?#]+"


class AppOptions(TypedDict, total=False):
    """What a mock pretends from the start; see the options of the command, whose names these are."""

    deployment: str | Deployment
    fixtures: Path | str | None
    scenario: str | None
    fault: str | None
    delay: float | str | None
    seed: int
    rate_limited: bool
    unknown_key_status: Literal[401, 403]
    cors: bool


class Options(AppOptions, total=False):
    """All of them: `tls` is a certificate and its key (PEM files), `grace` the seconds for answers in flight."""

    host: str
    port: int
    tls: tuple[Path | str, Path | str] | None
    grace: float


class AsyncUsageMock:
    """Serves an app on a free port of 127.0.0.1 while the context lasts.

    Without an app: the documented contract and what the options say. One object serves once.
    A name that nothing has is an UnknownNameError (a LookupError), which says what may have been meant.
    """

    def __init__(
        self,
        app: web.Application | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: tuple[Path | str, Path | str] | None = None,
        grace: float = GRACE_SECONDS,
        **options: Unpack[AppOptions],
    ) -> None:
        if not host:
            raise ValueError("host is empty; 0.0.0.0 listens on every address")
        _check_types({"host": host, "port": port, "tls": tls, "grace": grace, **options})
        if app is not None and not (isinstance(app, web.Application) and FRONT in app):
            raise TypeError(f"app is what make_app returns, not {app!r}; an option has a name: deployment='default'")
        if app is not None and options:
            raise TypeError(f"an app that is there already takes no {', '.join(options)}; give them to make_app")
        self._app = app or _app(**options)
        self._listener = listening(self._app, host, port, tls=_context(tls) if tls else None, grace=grace)
        self._stack = AsyncExitStack()
        #: The base URL, such as `http://127.0.0.1:40123`, once it is served.
        self.url = ""
        #: Why it cannot be served any more, once it was tried.
        self.why_not = ""
        self._is_served = False

    async def __aenter__(self) -> AsyncUsageMock:
        if self.why_not:
            raise RuntimeError(self.why_not)
        self.why_not = OVER
        try:
            self.url = (await self._stack.enter_async_context(self._listener)).url
        except BaseException as error:
            self.why_not = FAILED.format(error)
            raise
        self._is_served = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_served = False
        await self._stack.aclose()

    @property
    def _simulator(self) -> Simulator:
        return self._app[FRONT].simulator

    @property
    def _front(self) -> Front:
        if not self._is_served:
            raise RuntimeError(self.why_not or NOT_YET)
        return self._app[FRONT]

    @property
    def _served(self) -> Simulator:
        return self._front.simulator

    @property
    def keys(self) -> tuple[str, ...]:
        """The API keys: the deployment's in the fixture's order, then those that were made."""
        return tuple(self._simulator.keys)

    @property
    def api_key(self) -> str:
        """The first API key."""
        return self.keys[0]

    @property
    def requests(self) -> tuple[Entry, ...]:
        """What was asked and answered since the last reset, oldest first; the last 1,000 of it."""
        return tuple(self._simulator.journal.entries)

    def requests_of(self, key: str) -> tuple[Entry, ...]:
        """Return what was asked with one key."""
        return tuple(entry for entry in self.requests if entry.key == key)

    async def use(self, scenario: str | None, key: str | None = None) -> None:
        """Put one key, or everybody, into a scenario; "none" ends it, None takes it back."""
        await self._served.switch(key, scenario=None if scenario is None else _text("scenario", scenario))

    async def fail(self, fault: str | None, key: str | None = None, after: int = 0, times: int | None = None) -> None:
        """Switch a fault on: `after` requests pass, then it acts on `times` of them (None: on all).

        "none" ends it, None takes it back. Raises ValueError for counts that cannot be.
        """
        _check_whole(0, after=after)
        if times is not None:
            _check_whole(1, times=times)
        use = None if fault is None else FaultUse(_fault_name(fault), after, times)
        await self._served.switch(key, fault=use)

    async def answer(self, code: int | None, key: str | None = None) -> None:
        """Answer with one status, whatever is asked; None ends it.

        Raises ValueError for a status that is neither documented nor 400 to 599.
        """
        wanted = None if code is None else code_of(str(code), self._app[FRONT].codes)
        await self._served.switch(key, code=wanted)

    async def delay(self, seconds: float | str | None, key: str | None = None) -> None:
        """Hold every answer back: 0.2, "0.1..0.5" (evenly spread), "0.1~2" (a long tail), or "none".

        None takes it back.
        """
        await self._served.switch(key, delay=None if seconds is None else _delay(seconds))

    async def freeze(self) -> None:
        """Let the mock's time stand still."""
        await self._served.turn(MockClock.freeze)

    async def resume(self) -> None:
        """Let the mock's time pass again."""
        await self._served.turn(MockClock.resume)

    async def advance(self, seconds: float) -> None:
        """Move the mock's time: buckets fill up and accounts grow as if it had passed.

        Raises ValueError for seconds that are no time to pass, or lead to where there are no dates.
        """
        if not 0 <= _number("time", seconds) <= END_OF_TIME:
            raise ValueError(f"time advances by 0 to {END_OF_TIME} seconds, not by {seconds}")
        await self._served.turn(lambda clock: clock.advance(seconds))

    async def record(
        self,
        domain: str,
        protocol: str = "fetch",
        requests: int = 1,
        failures: int = 0,
        bytes: int = 0,  # noqa: A002 - the fixtures' name
        key: str | None = None,
    ) -> None:
        """Count traffic of one key (default: the first).

        Raises ValueError for figures that cannot be, such as more failures than requests, and RevokedKeyError.
        """
        if protocol not in PROTOCOLS:
            raise UnknownNameError("protocol", protocol, PROTOCOLS)
        _check_whole(0, requests=requests, failures=failures, bytes=bytes)
        if not re.fullmatch(DOMAIN, _text("domain", domain)):
            raise ValueError(f"a domain is a host name without scheme, port or path, not {domain!r}")
        if failures > requests or (bytes and protocol != "fetch"):
            raise ValueError("traffic needs failures <= requests, and bytes of fetch only")
        await self._served.record(
            self.api_key if key is None else key, {domain: {protocol: Calls(requests, failures, bytes)}}
        )

    async def make_key(self, scenario: str | None = None) -> str:
        """Make a key of one's own, never used or in a scenario, and return it; a reset takes it away."""
        key = f"made-{secrets.token_hex(8)}"
        await self._served.make_key(key, scenario)
        return key

    async def reset(self, key: str | None = None) -> None:
        """Put one key, or everything, back to what it was at the start: figures, faults, time and journal."""
        await self._front.reset(key)


def _text(what: str, value: str) -> str:
    """Return a text; TypeError for what is none, where no type checker has seen it."""
    if not isinstance(value, str):
        raise TypeError(f"a {what} is a text, not {value!r}")
    return value


def _check_whole(least: int, **numbers: int) -> None:
    """Raise ValueError for what is no whole number, or less than one may be, or more than JSON is exact for."""
    for name, number in numbers.items():
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= MOST:
            raise ValueError(f"{name} is a whole number from {least} to {MOST}, not {number!r}")


def _number(what: str, value: float) -> float:
    if not _fits(value, float):
        raise TypeError(f"a {what} is a number of seconds, not {value!r}")
    return value


def _delay(seconds: float | str) -> str:
    return seconds if isinstance(seconds, str) else f"{_number('delay', seconds):.6f}"


def _fault_name(text: str) -> str:
    name, at, _ = _text("fault", text).partition("@")
    if at:
        raise ValueError(
            f"{text!r} is for the command only; use fail({name!r}, after=2, times=1) for its third request"
        )
    return name


def _check_types(options: Mapping[str, object]) -> None:
    """Raise TypeError for an option that does not exist, or is given as what it is not."""
    hints = get_type_hints(Options)
    for name, value in options.items():
        if name not in hints:
            raise TypeError(f"{name!r} is no option; {advice(name, hints)}")
        if not _fits(value, hints[name]):
            kind = getattr(hints[name], "__name__", hints[name])
            raise TypeError(f"{name} is a {kind}, not {value!r}")


def _fits(value: object, hint: Any) -> bool:
    kinds = get_args(hint)
    if get_origin(hint) is Literal:
        return value in kinds
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and len(value) == len(kinds) and all(map(_fits, value, kinds))
    if kinds:
        return any(_fits(value, kind) for kind in kinds)
    number = (int, float) if hint is float else hint
    return isinstance(value, number) and (hint is bool or not isinstance(value, bool))


def _app(
    *,
    deployment: str | Deployment = "default",
    fixtures: Path | str | None = None,
    fault: str | None = None,
    scenario: str | None = None,
    delay: float | str | None = None,
    seed: int = 0,
    rate_limited: bool = True,
    unknown_key_status: Literal[401, 403] = 403,
    cors: bool = True,
) -> web.Application:
    folder = None if fixtures is None else Path(fixtures)
    return make_app(
        _contract(),
        _deployment(deployment, folder) if isinstance(deployment, str) else deployment,
        rate_limited=rate_limited,
        unknown_key_status=unknown_key_status,
        fault=load_fault(_fault_name(fault), folder) if fault else None,
        scenario=scenario,
        delay=None if delay is None else _delay(delay),
        seed=seed,
        fixtures=folder,
        cors=cors,
    )


def _context(tls: tuple[Path | str, Path | str]) -> ssl.SSLContext:
    from mock_server.web.tls import server_context  # few want it, and it takes its time

    return server_context(*map(Path, tls))


@cache  # a test suite starts many
def _contract() -> Contract:
    return load("documented")


def _deployment(name: str, folder: Path | None) -> Deployment:
    return _shipped(name) if folder is None else load_deployment(name, folder)


@cache
def _shipped(name: str) -> Deployment:
    return load_deployment(name)
