"""Entries of the journal: exchanges between clients and the mock, as the dispatcher records them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, get_args

from mock_server.masking import mask_target, printable
from mock_server.simulation.overrides import Override

# The most bytes that an entry keeps of a request and of its response, and the most characters of its target and keys.
MAX_MESSAGE = 32 * 1024
MAX_TEXT = 16 * 1024

# The difference between the times of two entries that rounding can cause, in seconds.
ROUNDING = 0.001

# Whether a response was sent completely, in part or not at all, or the client had closed its connection before.
Outcome = Literal["sent", "cut", "not-sent", "client-gone"]
OUTCOMES: tuple[str, ...] = get_args(Outcome)


class Message(NamedTuple):
    """The header fields and the body of a request or a response.

    Attributes:
        headers: The names and the values, in order.
        body: The body as it was sent, with its content coding.
        is_complete: All of the message is kept.
    """

    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    is_complete: bool = True

    def __repr__(self) -> str:
        """Return the size of the message; its header fields and its body can contain a key."""
        return f"Message({len(self.headers)} header fields, {len(self.body)} bytes)"

    def values(self, name: str) -> list[str]:
        """Return the values of all header fields with a name, in order."""
        return [value for field, value in self.headers if field.lower() == name.lower()]


class ClientConnection:
    """A connection of a client.

    Attributes:
        opened: The number of requests in the journal when the connection was opened.
    """

    __slots__ = ("opened",)

    def __init__(self, opened: int) -> None:
        self.opened = opened


class RequestSource(Protocol):
    """A received request, from which the message is built when it is read: most messages are never read."""

    @property
    def connection(self) -> ClientConnection | None:
        """The connection of the request."""

    def message(self, keys: Sequence[str]) -> Message:
        """Return the request with its API keys."""


class ResponseSource(Protocol):
    """A response, from which the message is built when it is read."""

    @property
    def outcome(self) -> Outcome:
        """Whether the response was sent."""

    def message(self) -> Message:
        """Return the response."""


@dataclass(slots=True, eq=False)  # a named tuple, or a frozen object, costs more
class Entry:
    """One request and its response.

    Attributes:
        method: The request method.
        target: The request target.
        keys: The API keys as the client sent them; mask them before they are shown.
        status: The status code of the response.
        reason: The value of `Mock-Reason`, empty for a success.
        override: The overrides that acted on the exchange.
        received: The mock's time at which the request was received, in seconds since the Unix epoch.
        at: The mock's time of the response, in seconds since the Unix epoch.
        seconds: The real time from the request to the response, with its delay also if the client gives up before.
        request_source: The received request.
        response_source: The response.
        number: The number of the request, from 1; the journal sets it.
        known_keys: Returns the API keys of the mock; the journal sets it.
    """

    method: str
    target: str
    keys: Sequence[str]
    status: int
    reason: str
    override: Override
    received: float
    at: float
    seconds: float
    request_source: RequestSource
    response_source: ResponseSource
    number: int = 0
    known_keys: Callable[[], Iterable[str]] = tuple

    def __repr__(self) -> str:
        """Return the request and the status without a key, which must not be in the output of a test."""
        path = mask_target(self.target.partition("?")[0], (*self.known_keys(), self.key))
        words = (f"#{self.number}", self.method, printable(path), str(self.status), self.reason)
        return f"Entry({' '.join(filter(None, words))})"

    @property
    def key(self) -> str:
        """The API key as the client sent it; mask it before it is shown."""
        return ", ".join(self.keys)

    @property
    def applied(self) -> str:
        """The overrides that acted on the exchange, in words."""
        return str(self.override)

    @property
    def outcome(self) -> Outcome:
        """Whether the response was sent; a delayed response counts as sent while the client waits for it."""
        return self.response_source.outcome

    @property
    def connection(self) -> ClientConnection | None:
        """The connection of the request."""
        return self.request_source.connection

    @property
    def request(self) -> Message:
        """The request."""
        return self.request_source.message(self.keys)

    @property
    def response(self) -> Message:
        """The response as the mock has prepared it."""
        return self.response_source.message()
