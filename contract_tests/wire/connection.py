"""One connection: it sends bytes unaltered, keeps all received bytes, and bounds every wait.

h11 parses responses. Opening, deadlines and limits are ours: ordinary clients re-encode targets, merge repeated
header fields, and drop bytes that follow a response.
"""

from __future__ import annotations

import re
import select
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice

import h11

from contract_tests.wire.clock import REAL_TIME, Clock
from contract_tests.wire.limits import KEPT, LARGEST_BODY
from contract_tests.wire.messages import Abridged, Ending, Exchange, Request
from contract_tests.wire.target import Target

LARGEST_HEAD = 256 * 1024
LONGEST_LINE = 80  # bytes of a proxy's status line that are shown
MOST_FIELDS = 1000  # Python's own client takes 100
UNKNOWN_CA = {18, 19, 20, 21}  # OpenSSL's numbers: self-signed, or signed by a CA that this machine does not know


class UnreachableError(Exception):
    """No connection, or no TLS on it: the deployment cannot be judged."""


@dataclass(frozen=True)
class Timeouts:
    """Bounds in seconds: to connect, to the next byte, for a whole response, for bytes after it, for its end."""

    connect: float
    read: float
    total: float
    grace: float = 0.1
    closing: float = 3.0

    @classmethod
    def of(cls, seconds: float) -> Timeouts:
        """Derive the bounds from the time that a first byte may take."""
        return cls(
            connect=min(seconds, 5.0),
            read=seconds,
            total=1.5 * seconds,
            grace=min(seconds / 10, 0.1),
            closing=min(seconds, 3.0),
        )

    def within(self, seconds: float) -> Timeouts:
        """Return the same bounds, none of them longer than `seconds`."""
        bounds = (self.connect, self.read, self.total, self.grace, self.closing)
        return Timeouts(*(min(bound, seconds) for bound in bounds))


@dataclass
class Connection:
    """An open connection to the target.

    `reusable` states whether it may carry another request, and `early` are bytes that arrived before the request.
    """

    sock: socket.socket
    proxied: bool
    reusable: bool = True
    clock: Clock = REAL_TIME
    early: bytes = b""

    def close(self) -> None:
        """Close it; closing twice is harmless."""
        self.reusable = False
        self.sock.close()

    def ends(self, seconds: float) -> bool:
        """Whether the other side closes it within some time."""
        until = self.clock.now() + seconds
        try:
            while (left := until - self.clock.now()) > 0:
                self.sock.settimeout(left)
                if not self.sock.recv(65536):
                    return True
        except TimeoutError:
            return False
        except OSError:  # closed the hard way, by either side
            return True
        return False

    def is_closed(self) -> bool:
        """Whether the server has closed it while it was idle, without waiting for that."""
        if not select.select([self.sock], [], [], 0)[0]:
            return False
        self.sock.settimeout(0)
        try:
            data = self.sock.recv(65536)
        except (BlockingIOError, ssl.SSLWantReadError):  # a part of TLS arrived, and nothing else
            return False
        except OSError:
            return True
        self.early += data
        return not data

    def begin(self, request: Request, origin: str, timeouts: Timeouts, part: float = 1.0) -> str:
        """Send the beginning of a request; return the reason of a failure, or an empty text.

        `part` is its part of the whole request, for example 0.5 for the first half of its bytes.
        """
        data = wire(request, origin if self.proxied else "")
        return self._send(data[: int(part * len(data))], timeouts, ahead=0)

    def exchange(self, request: Request, origin: str, timeouts: Timeouts, room: int = LARGEST_BODY) -> Exchange:
        """Send one request and read its response; a failure is an exchange as well."""
        return self.pipeline([request], origin, timeouts, room=room)[0]

    def pipeline(
        self, requests: Sequence[Request], origin: str, timeouts: Timeouts, ahead: int = 0, room: int = LARGEST_BODY
    ) -> list[Exchange]:
        """Send requests in one write, and read responses until the connection ends.

        `ahead` bytes go first, by themselves. Of a body of more than `room` bytes only the beginning is kept.
        """
        data = b"".join(wire(request, origin if self.proxied else "") for request in requests)
        started = self.clock.now()
        problem = self._send(data, timeouts, ahead)
        exchanges: list[Exchange] = []
        early, self.early = self.early, b""
        for number, request in enumerate(requests, 1):
            reader = _Reader(self.sock, self.clock, request, timeouts, started, problem, early, room)
            exchange = reader.exchange()
            early = exchange.extra
            is_last = number == len(requests)
            exchanges.append(exchange if is_last else replace(exchange, extra=b""))
            if not reader.reusable or (is_last and early):
                self.reusable = False
                break
        return exchanges

    def _send(self, data: bytes, timeouts: Timeouts, ahead: int) -> str:
        """Send the bytes; return the reason of a failure, or an empty text."""
        try:
            self.sock.settimeout(timeouts.read)
            if ahead:
                self.sock.sendall(data[:ahead])
                self.clock.sleep(timeouts.grace)
            self.sock.sendall(data[ahead:])
        except OSError as error:
            return f"the request could not be sent: {error.strerror or error}"
        return ""


def wire(request: Request, origin: str = "") -> bytes:
    """Return the request's bytes, without a body that awaits an interim response.

    With an origin a path becomes a target in absolute form, as a proxy needs it.
    """
    target = origin.encode() + request.target if request.target.startswith(b"/") else request.target
    lines = [b" ".join([request.method.encode("latin-1"), target, request.version.encode()])]
    lines += [name + request.separator_of(value) + value for name, value in request.fields]
    return b"\r\n".join([*lines, b"", b"" if request.awaits_continue else request.body])


def connect(
    target: Target, proxy: Target | None, tls: ssl.SSLContext | None, timeouts: Timeouts, clock: Clock = REAL_TIME
) -> Connection:
    """Open a connection, through the proxy if there is one.

    Raises UnreachableError: name, port, proxy or TLS failed.
    """
    first = proxy or target
    try:
        sock = clock.timed(socket.create_connection((first.host, first.port), timeouts.connect))
    except UnicodeError:
        raise UnreachableError(f"no connection to {first.authority}: it is not a host name") from None
    except OSError as error:
        raise UnreachableError(f"no connection to {first.authority}: {_why(error)}") from None
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if proxy and tls:
            _tunnel(sock, target, timeouts.connect, clock)
            sock.settimeout(timeouts.connect)
        if tls:
            sock = tls.wrap_socket(sock, server_hostname=target.host)
    except OSError as error:
        sock.close()
        raise UnreachableError(f"no TLS with {target.authority}: {_why(error)}") from None
    return Connection(sock, proxied=proxy is not None and tls is None, clock=clock)


def _tunnel(sock: socket.socket, target: Target, seconds: float, clock: Clock) -> None:
    until = clock.now() + seconds
    authority = f"{target.authority}:{target.port}" if target.port == 443 else target.authority
    sock.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        sock.settimeout(max(until - clock.now(), 0.001))
        data = sock.recv(4096)
        head += data
        if not data or len(head) > LARGEST_HEAD:
            break
    if head.split(b" ")[1:2] != [b"200"]:
        line = head.split(b"\r")[0]  # whole or not at all: a cut may leave a part of a secret
        shown = repr(line.decode("latin-1")) if len(line) <= LONGEST_LINE else f"a line of {len(line)} bytes"
        raise OSError(f"the proxy answered {shown}")


def _why(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        advice = "; give its CA with --ca-file" if error.verify_code in UNKNOWN_CA else ""
        return f"its certificate is not trusted ({error.verify_message}){advice}"
    if isinstance(error, ssl.SSLError) and error.reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}:
        return "it does not speak TLS; is it http instead of https?"
    return str(error.strerror or error)


def _head_of(start: bytearray) -> bytes:
    """Return what was received up to the first empty line, without the body behind it."""
    head = re.match(rb"[\r\n]*(?s:.*?)\n\r?\n", start)
    return head[0] if head else bytes(start)


class _Reader:
    """Reads one answer: h11 says what the bytes mean, the clock and the caps say when to stop."""

    def __init__(
        self,
        sock: socket.socket,
        clock: Clock,
        request: Request,
        timeouts: Timeouts,
        started: float,
        problem: str = "",
        early: bytes = b"",
        room: int = LARGEST_BODY,
    ) -> None:
        self.sock, self.clock, self.request, self.timeouts = sock, clock, request, timeouts
        self.started = started
        self.received = len(early)
        self.problem = problem
        self.ending: Ending = "complete"
        self.head: h11.Response | None = None
        self.start = bytearray(early)
        self.body = bytearray()
        self.room, self.size = room, 0
        self.digest = sha256()
        self.unsent = request.body if request.awaits_continue else b""
        self.parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST_HEAD)
        method = "HEAD" if request.method == "HEAD" else "GET"
        self.parser.send(h11.Request(method=method, target="/", headers=[("Host", "any")]))
        self.parser.send(h11.EndOfMessage())
        if early:
            self.parser.receive_data(early)
        self.reusable = False

    def exchange(self) -> Exchange:
        """Read to the end, or to the first bound that is met."""
        try:
            while not self._step():
                pass
        except h11.RemoteProtocolError as error:
            self._stop("malformed" if self.received else "closed", str(error))
        exchange = Exchange(
            self.request,
            payload=bytes(self.body),
            ending=self.ending,
            problem=self.problem,
            received=self.received,
            seconds=self.clock.now() - self.started,
            extra=self._extra(),
            start=_head_of(self.start),
            abridged=Abridged(self.size, self.digest.hexdigest()) if self.size > len(self.body) else None,
        )
        self.reusable = self._may_be_reused()
        if self.head is None:
            return exchange
        raw_fields = self.head.headers.raw_items()
        return replace(
            exchange,
            status=self.head.status_code,
            reason=self.head.reason.decode("latin-1"),
            version=self.head.http_version.decode("latin-1"),
            fields=tuple((name.decode("latin-1"), value) for name, value in islice(raw_fields, MOST_FIELDS)),
        )

    def _step(self) -> bool:
        """Handle one event; return whether the response is over."""
        event = self.parser.next_event()
        if event is h11.NEED_DATA:
            return not self._receive()
        if isinstance(event, h11.Response):
            self.head = event
            if len(event.headers) > MOST_FIELDS:
                self._stop("too large", f"the head has {len(event.headers)} fields")
                return True
        elif isinstance(event, h11.InformationalResponse) and event.status_code == 100:
            return not self._send_body()
        elif isinstance(event, h11.Data):
            return not self._add(event.data)
        return not isinstance(event, h11.Response | h11.Data | h11.InformationalResponse)

    def _send_body(self) -> bool:
        """Send the body that has awaited this interim response."""
        body, self.unsent = self.unsent, b""
        try:
            self.sock.sendall(body)
        except OSError as error:
            return self._stop("reset", f"the body could not be sent: {error.strerror or error}")
        return True

    def _add(self, data: bytes | bytearray) -> bool:
        """Add to the body, or to its digest alone once the room is used up."""
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
            return self._stop("reset", str(error.strerror or error))
        self.received += len(data)
        if self.head is None:
            self.start += data
        if not data and not self.received:
            return self._stop("closed", self.problem or "the connection was closed without a byte")
        if not data and self._lacks_bytes():
            return self._stop("truncated", "the connection was closed before the end of the response")
        if left <= 0:
            return self._stop("deadline", f"the response was not complete after {self.timeouts.total:g} s")
        self.parser.receive_data(data)
        return True

    def _lateness(self, left: float) -> tuple[Ending, str]:
        if self.received and left <= self.timeouts.read:
            return "deadline", f"the response was not complete after {self.timeouts.total:g} s"
        return "timeout", f"no byte for {self.timeouts.read:g} s"

    def _lacks_bytes(self) -> bool:
        if self.head is None:
            return True
        names = {name for name, _ in self.head.headers}
        return bool(names & {b"content-length", b"transfer-encoding"})

    def _stop(self, ending: Ending, problem: str) -> bool:
        self.ending, self.problem = ending, problem
        return False

    def _extra(self) -> bytes:
        """Return the bytes that followed the response; wait a moment where a body may have been taken for a request."""
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
        closing = any(
            name.lower() == b"connection" and value.lower() == b"close" for name, value in self.request.fields
        )
        return (
            self.ending == "complete"
            and not closing
            and not self.unsent
            and {self.parser.their_state, self.parser.our_state} == {h11.MUST_CLOSE if self._is_1_0 else h11.DONE}
        )

    @property
    def _is_1_0(self) -> bool:
        """Whether the connection is kept for HTTP/1.0 (RFC 9112, appendix C.2.2), which h11 does not know."""
        fields = self.head.headers if self.head and self.head.http_version == b"1.0" else ()
        return self.request.version == "HTTP/1.0" and any(
            name == b"connection" and value.lower() == b"keep-alive" for name, value in fields
        )
