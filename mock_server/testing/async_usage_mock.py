"""The mock in the event loop of the caller: `async with AsyncUsageMock() as mock: ...`."""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Sequence
from contextvars import ContextVar
from functools import cache
from typing import Any, Unpack

from aiohttp import web

from mock_server.app import make_app
from mock_server.fixtures.deployments import (
    PROTOCOLS,
    Calls,
    Deployment,
    FactsError,
    KeyFacts,
    check_facts,
    load_deployment,
)
from mock_server.journal.journal import Journal
from mock_server.options import MockOptions, UsageMockOptions, api_key, seconds_text
from mock_server.simulation.clock import MockClock
from mock_server.simulation.overrides import NO_OVERRIDE, FaultUse, Override, fault_uses
from mock_server.simulation.simulator import Simulator
from mock_server.simulation.unused import UnusedOverrideWarning, unused, unused_overrides
from mock_server.suggestions import UnknownNameError
from mock_server.testing.arguments import check_integers, check_number, check_seconds, check_text, check_turns
from mock_server.testing.mock_view import MockView
from mock_server.web.answers import Body, Fields, SequenceItem, answer_of, sequence_of
from mock_server.web.mock import MOCK, Mock
from mock_server.web.server import listening, server_context
from usage_contract import load
from usage_contract.suggestions import suggest

NOT_STARTED = "this mock is not running; enter its context first"
STOPPED = "this mock is closed and cannot be restarted; create a new one"
RUNS = "this mock runs already, at {}"
FAILED = "this mock could not be started ({}); create a new one"

# Takes the texts of the warnings of a call from another thread, which warns itself; None in the caller's event loop.
WARNINGS: ContextVar[list[str] | None] = ContextVar("WARNINGS", default=None)


class UsageMockArguments(UsageMockOptions, total=False):
    """The arguments of UsageMock: `deployment` can also be an object."""

    deployment: str | Deployment


class AsyncUsageMock(MockView):
    """A mock on a free port of 127.0.0.1, which runs while the context lasts.

    An object runs once. An unknown name is an UnknownNameError (a LookupError) with a suggestion.

    Args:
        app: An application of `make_app`, instead of one with the options.
        options: Members of MockOptions; `deployment` is a deployment, or the name of its file in the fixture folder.
    """

    def __init__(self, app: web.Application | None = None, **options: Unpack[UsageMockArguments]) -> None:
        settings, deployment = _options(options)
        if app is not None and not (isinstance(app, web.Application) and MOCK in app):
            kind = type(app).__name__  # its text could contain keys
            raise TypeError(f"app: a {kind} is not an application of make_app; an option has a name: deployment=…")
        unused = [name for name in options if name not in ("host", "port", "tls_cert", "tls_key", "grace")]
        if app is not None and unused:
            raise TypeError(f"{', '.join(unused)}: an existing application has its options; pass them to make_app")
        super().__init__(app or _app(settings, deployment))
        tls = server_context(*settings.tls_files) if settings.tls_files else None
        self._listener = listening(self._app, settings, tls)
        #: The base URL, such as `http://127.0.0.1:40123`, once the mock runs.
        self.url = ""
        #: Why the mock cannot be started again, once it was started.
        self.why_not = ""
        self._is_running = False

    async def __aenter__(self) -> AsyncUsageMock:
        if self.why_not:
            raise RuntimeError(RUNS.format(self.url) if self._is_running else self.why_not)
        self.why_not = STOPPED
        try:
            self.url = (await self._listener.__aenter__()).url
        except BaseException as error:
            self.why_not = FAILED.format(error)
            raise
        self._is_running = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_running = False
        await self._listener.__aexit__(None, None, None)

    def _journal(self) -> Journal:
        if not self.why_not:
            raise RuntimeError(NOT_STARTED)
        return super()._journal()

    @property
    def _running(self) -> Mock:
        if not self._is_running:
            raise RuntimeError(self.why_not or NOT_STARTED)
        return self._app[MOCK]

    @property
    def _simulator(self) -> Simulator:
        return self._running.simulator

    def _check_order(self, name: str, value: object, key: object) -> None:
        if isinstance(value, str) and isinstance(key, str) and self._simulator.has(value) > self._simulator.has(key):
            raise TypeError(f"{name}: is an API key; the key is the second argument")

    async def use(self, scenario: str | None, key: str | None = None) -> None:
        """Switch a scenario on for one key, or for all; "none" switches it off, None removes the override."""
        self._check_order("scenario", scenario, key)
        await self._simulator.switch(key, scenario=None if scenario is None else check_text("scenario", scenario))

    async def fail(
        self,
        fault: str | Sequence[str] | None,
        key: str | None = None,
        *,
        after: int = 0,
        times: int | None = None,
        file_conditions: bool = False,
    ) -> None:
        """Switch faults on for one key, or for all; "none" switches them off, None removes the override.

        Args:
            fault: The name of a fault, or names in the order in which the faults are applied.
            key: The key; None for all.
            after: The number of requests that pass before the faults act.
            times: The number of requests on which they act; None for all.
            file_conditions: The conditions `after`, `first`, `every` and `key` of their files apply, from now on.

        Raises:
            TypeError: An argument has another type.
            ValueError: A number is not valid, or None has other arguments.
        """
        if not isinstance(file_conditions, bool):
            raise TypeError(f"file_conditions: {file_conditions!r} is not True or False")
        self._check_order("fault", fault, key)
        check_turns(after, times)
        if fault is None and (after, times, file_conditions) != (0, None, False):
            raise ValueError("fail: None removes the override; it has no after, times and file_conditions")
        turns: dict[str, Any] = {"after": after, "times": times, "is_unconditional": not file_conditions}
        await self._replace(key, faults=None if fault is None else _fault_uses(fault, **turns))

    async def answer(
        self,
        code: int | Sequence[SequenceItem] | None,
        key: str | None = None,
        *,
        after: int = 0,
        times: int | None = None,
        body: Body = None,
        headers: Fields = None,
    ) -> None:
        """Respond with a status code, or with a sequence of responses; None removes the override.

        Args:
            code: The status code, or a list with one response for each request. Such a response is a status code, the
                name of a fault, or a mapping with `code`, `body`, `headers`, `fault` and `delay`.
            key: The key; None for all.
            after: The number of requests that pass first.
            times: The number of requests that then receive the status code; None for all.
            body: A text, or a mapping or a list that is sent as JSON; None for the body of the status code.
            headers: Header fields that replace those of the same name; None for a field to remove.

        Raises:
            ValueError: The status code is neither documented nor 400 to 599, or another argument is not valid.
        """
        if code is not None and (isinstance(code, bool) or not isinstance(code, int | list | tuple)):
            hint = f"; fail({code!r}) switches a fault on" if isinstance(code, str) and not code.isdecimal() else ""
            raise TypeError(f"code: {code!r} is not a status code such as 503 or a list of responses{hint}")
        check_turns(after, times)
        if code is None and (after, times, body, headers) != (0, None, None, None):
            raise ValueError("answer: None removes the override; it has no after, times, body and headers")
        answer, codes = None, self._running.routes.usage.status_codes
        if isinstance(code, list | tuple):
            if (times, body, headers) != (None, None, None):
                raise ValueError("answer: a list has one response for each request; it has no times, body and headers")
            answer = sequence_of(code, codes, self._simulator.library, after=after)
        elif code is not None:
            answer = answer_of(str(code), codes, after=after, times=times, body=body, headers=headers)
        await self._replace(key, answer=answer)

    async def delay(self, seconds: float | str | None, key: str | None = None) -> None:
        """Delay every response: 0.2, "0.1..0.5" (evenly distributed), "0.1~2" (a long tail), or "none".

        None removes the override.
        """
        if seconds is not None and not isinstance(seconds, str):
            check_number("delay", seconds)
        await self._simulator.switch(key, delay=None if seconds is None else seconds_text(seconds))

    async def freeze(self) -> None:
        """Freeze the mock's clock."""
        await self._simulator.adjust_clock(MockClock.freeze)

    async def resume(self) -> None:
        """Let the mock's clock run again."""
        await self._simulator.adjust_clock(MockClock.resume)

    async def advance(self, seconds: float) -> None:
        """Advance the mock's clock; buckets refill and accounts grow as if the time had passed.

        Raises:
            ValueError: The seconds are not valid, or the new time has no date.
        """
        check_seconds("seconds", seconds)
        await self._simulator.adjust_clock(lambda clock: clock.advance(seconds))

    async def record(
        self,
        domain: str,
        protocol: str = "fetch",
        *,
        requests: int = 1,
        failures: int = 0,
        bytes: int = 0,  # noqa: A002 - the name in fixtures
        key: str | None = None,
    ) -> None:
        """Record traffic of one key.

        Args:
            domain: The host name or the IP address of the target.
            protocol: "fetch", "ws" or "amqp".
            requests: The number of requests.
            failures: The number of failures among them.
            bytes: The number of transferred bytes, for fetch only.
            key: The key; None for the first one.

        Raises:
            ValueError: A value is not valid.
            RevokedKeyError: The scenario of the key revokes it.
        """
        if check_text("protocol", protocol) not in PROTOCOLS:
            raise UnknownNameError("protocol", protocol, PROTOCOLS)
        check_integers(0, requests=requests, failures=failures, bytes=bytes)
        try:
            check_facts({"traffic": {check_text("domain", domain): {"fetch": {"requests": 0}}}})
        except FactsError:
            problem = "is not a host name or an IP address of at most 253 characters"
            hint = "omit scheme, port, path and invisible characters"
            raise ValueError(f"domain: {domain!r} {problem}; {hint}") from None
        if failures > requests:
            raise ValueError(f"failures: {failures} exceeds requests: {requests}")
        if bytes and protocol != "fetch":
            raise ValueError(f"bytes: {bytes} is not valid for {protocol}; only fetch counts bytes")
        await self._simulator.record(
            self.api_key if key is None else key, {domain: {protocol: Calls(requests, failures, bytes)}}
        )

    async def make_key(
        self,
        scenario: str | None = None,
        *,
        key: str | None = None,
        fault: str | Sequence[str] | None = None,
        **facts: Unpack[KeyFacts],
    ) -> str:
        """Create a key and return it; a reset of everything removes it.

        Args:
            scenario: Its scenario.
            key: The key; None for a random one. An existing key restarts with the facts.
            fault: The name of its fault, or names in the order in which the faults are applied.
            facts: Its facts, as in a deployment file; without them the key is unused.

        Raises:
            FactsError: A deployment file must not have the facts (a ValueError).
            ValueError: A header cannot contain the key.
        """
        try:
            key = f"made-{secrets.token_hex(8)}" if key is None else api_key(check_text("key", key))
        except ValueError as error:
            raise ValueError(f"key: {error}") from None
        for name in facts:
            if name not in KeyFacts.__annotations__:
                raise TypeError(f"{name!r} is not a fact of a key; {suggest(name, KeyFacts.__annotations__)}")
        if scenario is not None:
            check_text("scenario", scenario)
        uses = None if fault is None else _fault_uses(fault, is_unconditional=True)
        await self._simulator.make_key(key, scenario, faults=uses, facts=facts)
        return key

    async def unused_overrides(self) -> list[str]:
        """Return a sentence for each call of `fail` and `answer` that has not acted, or on fewer requests than `times`.

        A call that was removed by None or by a reset is not listed.
        """
        return unused_overrides(self._simulator)

    async def _replace(self, key: str | None, **changes: Any) -> None:
        """Change the override of a key, and warn about an unused one that another one replaces."""
        old = self._simulator.overrides.override_for(key)
        replaced = Override(**{name: getattr(old, name) for name, value in changes.items() if value})
        texts = list(unused(self._simulator, key, replaced)) if replaced != NO_OVERRIDE else []
        await self._simulator.switch(key, **changes)
        texts = [f"{text} before this call replaced it" for text in texts]
        if (found := WARNINGS.get()) is not None:
            found += texts
            return
        for text in texts:
            warnings.warn(text, UnusedOverrideWarning, stacklevel=3)  # the caller of the method that calls this one

    async def reset(self, key: str | None = None) -> None:
        """Reset one key, or everything, to the start: usage metrics, faults, clock and journal."""
        await self._running.reset(key)


def _options(options: UsageMockArguments) -> tuple[MockOptions, Deployment | None]:
    """Return the options, whose default port is 0, and the deployment where it is an object.

    Raises:
        TypeError: An option is unknown, or has another type.
        ValueError: The value of an option is not valid.
    """
    accepted = UsageMockArguments.__annotations__
    for name in options:
        if name not in accepted:
            raise TypeError(f"{name!r} is not an option; {suggest(name, accepted)}")
    values: dict[str, Any] = {"port": 0, **options}
    deployment = values.pop("deployment") if isinstance(values.get("deployment"), Deployment) else None
    if not isinstance(values.get("deployment", ""), str):  # its text could contain keys
        kind = type(values["deployment"]).__name__
        raise TypeError(f"deployment: a {kind} is not valid; expected a name or a Deployment")
    return MockOptions(**values), deployment


def _app(options: MockOptions, deployment: Deployment | None) -> web.Application:
    if deployment is None and options.fixtures is None:
        deployment = _load_deployment_once(options.deployment)
    return make_app(_load_once("documented"), options, deployment=deployment)


# A test suite starts many mocks.
_load_once, _load_deployment_once = cache(load), cache(load_deployment)


def _fault_uses(fault: str | Sequence[str], **members: Any) -> tuple[FaultUse, ...]:
    names = fault if isinstance(fault, list | tuple) else [fault]
    uses = fault_uses([check_text("fault", name) for name in names], **members)
    for use in uses:
        name, at, _ = use.name.partition("@")
        if at:
            raise ValueError(
                f"fault: {use.name!r} is for options only; fail({name!r}, after=2, times=1) acts on request 3"
            )
    return uses
