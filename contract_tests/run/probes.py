"""The requests of a rule, as data: the rule yields them, and the scheduler sends them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from contract_tests.run.findings import Finding
from contract_tests.wire.messages import Exchange, Request

T = TypeVar("T")

Delivery = Literal["in turn", "concurrent", "pipelined", "awaiting close", "beside abandoned"]


@dataclass(frozen=True)
class Batch:
    """Requests that the scheduler sends together.

    `in turn` requests are sent one after the other. `concurrent` ones are sent at the same time, each on its own
    connection. `pipelined` ones are sent in one write, `ahead` bytes of it before the rest. `awaiting close` sends one
    request on a new connection, and waits for the server to close it. `beside abandoned` abandons all requests but the
    last one, see `Transport.send_beside_abandoned`. `pause` is a time in seconds without any request before the first
    one. A batch that is not paced does not wait for the pace of its keys.
    """

    requests: tuple[Request, ...]
    delivery: Delivery = "in turn"
    is_paced: bool = True
    ahead: int = 0
    pause: float = 0.0


# A generator that yields batches and findings, receives the exchanges of each batch, and returns a value.
Probing = Generator[Batch | Finding, Sequence[Exchange], T]


def send(request: Request) -> Probing[Exchange]:
    """Send one request, and return its exchange."""
    (exchange,) = yield Batch((request,))
    return exchange


def send_in_turn(requests: Iterable[Request]) -> Probing[Sequence[Exchange]]:
    """Send requests one after the other; fewer exchanges are returned where the run ends in between."""
    return (yield Batch(tuple(requests)))


def send_concurrently(requests: Iterable[Request], *, is_paced: bool = True) -> Probing[Sequence[Exchange]]:
    """Send requests at the same time, each on its own connection."""
    return (yield Batch(tuple(requests), "concurrent", is_paced=is_paced))


def send_pipelined(requests: Iterable[Request], *, ahead: int = 0) -> Probing[Sequence[Exchange]]:
    """Send requests in one write on a new connection, `ahead` bytes of it before the rest."""
    return (yield Batch(tuple(requests), "pipelined", ahead=ahead))


def send_and_await_close(request: Request) -> Probing[Exchange]:
    """Send a request on a new connection; the exchange states whether the server closed that after its response."""
    (exchange,) = yield Batch((request,), "awaiting close")
    return exchange


def send_beside_abandoned(abandoned: Iterable[Request], request: Request) -> Probing[Exchange]:
    """Send a request while other requests are abandoned before their response or their end; return its exchange."""
    *_, exchange = yield Batch((*abandoned, request), "beside abandoned")
    return exchange


def report(findings: Iterable[Finding]) -> Probing[bool]:
    """Yield findings; return whether there are any."""
    found = list(findings)
    yield from found
    return bool(found)


def pause(seconds: float) -> Probing[None]:
    """Send nothing for some seconds."""
    yield Batch((), pause=seconds)


def confirm(tries: int, check: Callable[[int], Probing[Finding | None]]) -> Probing[bool]:
    """Yield a finding only if every try has one: other users of the deployment may explain a single one.

    `check` receives the number of the try, from 0, and returns its finding, or None where the promise is kept.
    Returns whether the finding is confirmed.
    """
    finding: Finding | None = None
    for attempt in range(tries):
        finding = yield from check(attempt)
        if finding is None:
            return False
    if finding:
        yield finding
    return finding is not None
