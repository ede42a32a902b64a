"""Mutations: an operator and a condition make a deployment that is broken by construction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from mock_server.web.raw_response import RawMessage
from tests.support.search.served import PATH, Admit, Behaviour, Change, Received

Holds = Callable[[Received], bool]
# Returns other usage metrics for those of a key.
Metrics = Callable[[dict[str, Any], "Turn"], Any]


@dataclass(frozen=True)
class Turn:
    """The place of a response in a run: its key, and the number of the key's responses from 1."""

    key: str
    number: int
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Condition:
    """The requests that an operator applies to; `build` returns a test with a memory of its own."""

    name: str
    build: Callable[[], Holds]


@dataclass(frozen=True)
class Mutation:
    """One deployment.

    Attributes:
        name: The name: its group, the operator, and the condition.
        group: The promise that the deployment breaks, or the kind of behaviour where it is correct.
        build: Returns its behaviour.
        is_correct: Whether it breaks no promise.
        metrics: Returns the change of the usage metrics, where nothing else is changed.
        style: The form of its keys.
        is_intrusive: Only an intrusive run can show the behaviour.
    """

    name: str
    group: str
    build: Callable[[], Behaviour]
    is_correct: bool = False
    metrics: Callable[[], Metrics] | None = None
    style: str = "words"
    is_intrusive: bool = False


def condition(name: str, holds: Holds) -> Condition:
    """Return a condition without a memory."""
    return Condition(name, lambda: holds)


def counted(name: str, is_turn: Callable[[int], bool]) -> Condition:
    """Return a condition on the number of the requests that an operator could apply to."""

    def build() -> Holds:
        count = 0

        def holds(_: Received) -> bool:
            nonlocal count
            count += 1
            return is_turn(count)

        return holds

    return Condition(name, build)


ALWAYS = condition("always", lambda _: True)
SECOND_TIME = counted("every second time", lambda count: count % 2 == 0)
THIRD_TIME = counted("every third time", lambda count: count % 3 == 0)
FIFTH_TIME = counted("every fifth time", lambda count: count % 5 == 0)
ONCE = counted("once", lambda count: count == 3)
LATER = counted("from the third time on", lambda count: count > 2)
REUSED = condition("on a connection with an earlier request", lambda received: received.connection.requests > 1)
FRESH = condition("on a new connection", lambda received: received.connection.requests == 1)
AFTER_A_KEY = condition(
    "on a connection with an earlier valid key", lambda received: bool(received.connection.last_key)
)
BROWSER = condition("for browsers", lambda received: "Mozilla" in received.header("User-Agent"))
WITH_QUERY = condition("with a query", lambda received: bool(received.query))
WITH_COMPRESSION = condition("with gzip accepted", lambda received: "gzip" in received.header("Accept-Encoding"))
WITH_ORIGIN = condition("with Origin", lambda received: bool(received.header("Origin")))
OLD_HTTP = condition("with HTTP/1.0", lambda received: received.request.version.minor == 0)
MAIN_KEY = condition("for the first key", lambda received: received.key == received.keys[0])
SECOND_KEY = condition("for the second key", lambda received: received.key == received.keys[1])
OTHER_KEYS = condition("for all keys but the first", lambda received: received.key in received.keys[1:])
OK_CONDITIONS = (ALWAYS, SECOND_TIME, FIFTH_TIME, ONCE, SECOND_KEY, WITH_QUERY, WITH_COMPRESSION, OLD_HTTP)
ERROR_CONDITIONS = (ALWAYS, SECOND_TIME, LATER)
REFUSALS = (401, 403)


def admitting(
    group: str,
    operator: str,
    admit: Admit,
    conditions: Iterable[Condition],
    *,
    style: str = "words",
    reads_body: bool = False,
) -> Iterator[Mutation]:
    """Yield a deployment for each condition on which requests are admitted that must be rejected.

    Condition counts only the requests that the operator admits.
    """

    def build_for(when: Condition) -> Callable[[], Behaviour]:
        def build() -> Behaviour:
            holds = when.build()

            def conditionally(received: Received) -> str | None:
                key = admit(received)
                return key if key is not None and holds(received) else None

            return Behaviour(conditionally, reads_body=reads_body)

        return build

    for when in conditions:
        yield Mutation(f"{group}: {operator}, {when.name}", group, build_for(when), style=style)


def changing(
    group: str,
    operator: str,
    change: Change,
    conditions: Iterable[Condition],
    *,
    applies: Callable[[RawMessage, Received], bool],
) -> Iterator[Mutation]:
    """Yield a deployment for each condition on which responses are changed, if the operator applies to them."""

    def build_for(when: Condition) -> Callable[[], Behaviour]:
        def build() -> Behaviour:
            holds = when.build()

            def conditionally(message: RawMessage, received: Received) -> RawMessage:
                return change(message, received) if applies(message, received) and holds(received) else message

            return Behaviour(change=conditionally)

        return build

    for when in conditions:
        yield Mutation(f"{group}: {operator}, {when.name}", group, build_for(when))


def is_ok(message: RawMessage, received: Received) -> bool:
    """Whether a response has usage metrics."""
    return message.status == 200 and received.path == PATH and received.is_valid


def having_status(status: int) -> Callable[[RawMessage, Received], bool]:
    """Return whether a response of the operation has this status."""
    return lambda message, received: message.status == status and received.path == PATH


def is_ok_to_get(message: RawMessage, received: Received) -> bool:
    """Whether a response to GET has usage metrics."""
    return is_ok(message, received) and received.method == "GET"


def changing_refusals(group: str, operator: str, change: Change) -> Iterator[Mutation]:
    """Yield deployments that change the responses with each status in REFUSALS, which takes the place of {}."""
    for status in REFUSALS:
        applies = having_status(status)
        yield from changing(group.format(status), operator, change, ERROR_CONDITIONS, applies=applies)
