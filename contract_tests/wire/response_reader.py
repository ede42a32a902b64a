"""One response as it arrives on a connection: all of its bytes, and how it ended."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice

import h11

from contract_tests.wire.clock import Clock, Timeouts
from contract_tests.wire.h11_problems import CLOSED_EARLY, sentence
from contract_tests.wire.limits import KEPT, LARGEST_BODY, LARGEST_HEAD
from contract_tests.wire.messages import Abridged, Ending, Exchange, Request

MOST_FIELDS = 1000  # Python's own client accepts 100
LATE_CLOSING = 5.0  # seconds: a firewall that refuses a request closes the connection sooner


def _head_of(start: bytearray) -> bytes:
    """Return the received bytes up to the empty line that ends the head; heads of interim responses precede it."""
    head = re.match(rb"(?s)(?>[\r\n]*HTTP/\d\.\d 1(?!01)\d\d\b.*?\n\r?\n)*+[\r\n]*.*?\n\r?\n", start)
    return head[0] if head else bytes(start)


def _fields_of(event: h11.Response | h11.InformationalResponse | h11.EndOfMessage) -> tuple[tuple[str, bytes], ...]:
    fields = islice(event.headers.raw_items(), MOST_FIELDS)
    return tuple((name.decode("latin-1"), value) for name, value in fields)


@dataclass
class ResponseReader:
    """Reads one response: h11 parses the bytes; the clock and the limits end the wait."""

    sock: socket.socket
    clock: Clock
    request: Request
    timeouts: Timeouts
    started: float
    problem: str
    early: bytes
    room: int
    ending: Ending = "complete"
    size: int = 0
    reusable: bool = False

    def __post_init__(self) -> None:
        request, early = self.request, self.early
        self.received = len(early)
        self.head: h11.Response | h11.InformationalResponse | None = None  # the latter switches protocols (101)
        self.trailers: h11.EndOfMessage | None = None
        self.start = bytearray(early)
        self.body = bytearray()
        self.digest = sha256()
        self.unsent = request.body if request.awaits_continue else b""
        self.parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST_HEAD)
        method = "HEAD" if request.method == "HEAD" else "GET"
        fields = [("Host", "any")]
        if any(b"upgrade" in value.lower() for value in request.values("Connection")):
            fields.append(("Upgrade", "any"))  # h11 accepts a 101 only then
        self.parser.send(h11.Request(method=method, target="/", headers=fields))
        self.parser.send(h11.EndOfMessage())
        if early:
            self.parser.receive_data(early)

    def exchange(self) -> Exchange:
        """Read until the end of the response, or until the first limit is reached."""
        try:
            while self._step():
                pass
        except h11.RemoteProtocolError as error:
            self._stop("malformed" if self.received else "closed", sentence(error))
        seconds = self.clock.now() - self.started
        extra = self._extra()
        exchange = Exchange(
            self.request,
            payload=bytes(self.body),
            ending=self.ending,
            problem=self.problem,
            received=self.received,
            started=self.started,
            seconds=seconds,
            extra=extra,
            head=_head_of(self.start),
            abridged=Abridged(self.size, self.digest.hexdigest()) if self.size > len(self.body) else None,
        )
        has_body = bool(extra) and self.request.method == "HEAD"
        self.reusable = self._may_be_reused() and not has_body
        if self.head is None:
            return exchange
        return replace(
            exchange,
            status=self.head.status_code,
            reason=self.head.reason.decode("latin-1"),
            version=self.head.http_version.decode("latin-1"),
            fields=_fields_of(self.head),
            trailers=_fields_of(self.trailers) if self.trailers else (),
        )

    def _step(self) -> bool:
        """Handle one event; like the methods for single events, return whether the response continues."""
        event = self.parser.next_event()
        if event is h11.NEED_DATA:
            return self._receive()
        if isinstance(event, h11.Response):
            self.head = event
            fields = len(event.headers)
            return fields <= MOST_FIELDS or self._stop("too large", f"the head has {fields} fields")
        if isinstance(event, h11.InformationalResponse) and event.status_code == 101:
            self.head = event
            return False
        if isinstance(event, h11.InformationalResponse):
            return event.status_code != 100 or self._send_body()
        if isinstance(event, h11.EndOfMessage):
            self.trailers = event
        return isinstance(event, h11.Data) and self._add(event.data)

    def _send_body(self) -> bool:
        """Send the body, which was held back until this interim response."""
        body, self.unsent = self.unsent, b""
        try:
            self.sock.sendall(body)
        except OSError as error:
            return self._stop("reset", f"the body could not be sent: {error.strerror or error}")
        return True

    def _add(self, data: bytes | bytearray) -> bool:
        """Add to the body, or only to its digest once the room is used up."""
        self.size += len(data)
        self.digest.update(data)
        if self.size == len(self.body) + len(data):
            self.body += data
        if self.size > self.room:
            del self.body[KEPT:]
        return self.size <= LARGEST_BODY or self._stop("too large", f"the body is larger than {LARGEST_BODY} bytes")

    def _receive(self) -> bool:
        left = self.started + self.timeouts.total - self.clock.now()
        try:
            self.sock.settimeout(max(0.001, min(self.timeouts.read, left)))
            data = self.sock.recv(65536)
        except TimeoutError:
            return self._stop(*self._lateness(left))
        except OSError as error:
            return self._stop_without_response("reset", str(error.strerror or error))
        self.received += len(data)
        if self.head is None:
            self.start += data
        if not data and not self.received:
            return self._stop_without_response("closed", self.problem or "the connection was closed without a byte")
        if not data and self._lacks_bytes():
            return self._stop("truncated", CLOSED_EARLY + self._progress())
        if left <= 0:
            return self._stop("deadline", f"the response was not complete after {self.timeouts.total:g} s")
        self.parser.receive_data(data)
        return True

    def _stop_without_response(self, ending: Ending, problem: str) -> bool:
        """Stop at a closed connection; a server that closes it only after some seconds has not refused the request."""
        waited = self.clock.now() - self.started
        if self.received or waited < LATE_CLOSING:
            return self._stop(ending, problem)
        return self._stop("timeout", f"no byte for {waited:.0f} s, and then the connection was closed")

    def _lateness(self, left: float) -> tuple[Ending, str]:
        if self.received and left <= self.timeouts.read:
            return "deadline", f"the response was not complete after {self.timeouts.total:g} s"
        return "timeout", f"no byte for {self.timeouts.read:g} s{self._progress()}"

    def _progress(self) -> str:
        """Return how much of the body has arrived, where the head states its length."""
        stated = [value.decode() for name, value in self.head.headers if name == b"content-length"] if self.head else []
        return f", after {self.size} of {stated[0]} bytes of the body" if stated else ""

    def _lacks_bytes(self) -> bool:
        if self.head is None:
            return True
        names = {name for name, _ in self.head.headers}
        return bool(names & {b"content-length", b"transfer-encoding"})

    def _stop(self, ending: Ending, problem: str) -> bool:
        self.ending, self.problem = ending, problem
        return False

    def _extra(self) -> bytes:
        """Return the bytes that followed the response; wait a moment where the server may read a body as a request."""
        if self.head is None or self.ending != "complete":
            return b""
        extra = self.parser.trailing_data[0]
        bodiless = self.request.method == "HEAD" or self.head.status_code in {204, 304}
        if extra or not (bodiless or self.request.body):
            return extra
        try:
            self.sock.settimeout(self.timeouts.grace)
            return self.sock.recv(65536)
        except OSError:
            return b""

    def _may_be_reused(self) -> bool:
        reusable_state = h11.MUST_CLOSE if self._is_kept_in_http_1_0 else h11.DONE
        return (
            self.ending == "complete"
            and not self.request.asks_to_close
            and not self.unsent
            and self.parser.their_state == self.parser.our_state == reusable_state
        )

    @property
    def _is_kept_in_http_1_0(self) -> bool:
        """Whether the server keeps a connection of HTTP/1.0 (RFC 9112, appendix C.2.2), which h11 does not know."""
        fields = self.head.headers if self.head and self.head.http_version == b"1.0" else ()
        return self.request.version == "HTTP/1.0" and any(
            name == b"connection" and value.lower() == b"keep-alive" for name, value in fields
        )
