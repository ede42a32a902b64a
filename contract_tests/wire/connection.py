"""One connection: it sends bytes unaltered, keeps all received bytes, and bounds every wait.

Ordinary clients re-encode targets, merge repeated header fields, and drop bytes that follow a response.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, replace

from contract_tests.wire.clock import REAL_TIME, Clock, Timeouts
from contract_tests.wire.limits import LARGEST_BODY, LARGEST_HEAD
from contract_tests.wire.messages import Exchange, Request
from contract_tests.wire.response_reader import ResponseReader
from contract_tests.wire.target import Target

LONGEST_LINE = 80  # bytes of a proxy's status line that are shown
UNKNOWN_CA = {18, 19, 20, 21}  # OpenSSL's numbers: self-signed, or signed by a CA that this machine does not know


class UnreachableError(Exception):
    """No connection, or no TLS on it: the deployment cannot be judged."""


@dataclass
class Connection:
    """An open connection to the target.

    `origin` begins the targets of requests in absolute form, as a proxy needs them; it is empty for other connections.
    `reusable` states whether it may carry another request, and `early` are bytes that arrived before the request.
    """

    sock: socket.socket
    origin: str = ""
    reusable: bool = True
    clock: Clock = REAL_TIME
    early: bytes = b""

    def close(self) -> None:
        """Close it; closing twice is harmless."""
        self.reusable = False
        self.sock.close()

    def ends(self, seconds: float) -> bool:
        """Whether the server closes it within some seconds."""
        until = self.clock.now() + seconds
        try:
            while (left := until - self.clock.now()) > 0:
                self.sock.settimeout(left)
                if not self.sock.recv(65536):
                    return True
        except TimeoutError:
            return False
        except OSError:  # reset, by either side
            return True
        return False

    def is_closed(self) -> bool:
        """Whether the server has closed it while it was idle; return at once."""
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

    def begin(self, request: Request, timeouts: Timeouts, part: float = 1.0) -> str:
        """Send the beginning of a request; return the reason of a failure, or an empty text.

        `part` is the share of its bytes that is sent, for example 0.5 for the first half.
        """
        data = request_bytes(request, self.origin)
        return self._send(data[: int(part * len(data))], timeouts)

    def exchange(self, request: Request, timeouts: Timeouts, room: int = LARGEST_BODY) -> Exchange:
        """Send one request and read its response; a failure is an exchange as well."""
        return self.pipeline([request], timeouts, ahead=0, room=room)[0]

    def pipeline(self, requests: Sequence[Request], timeouts: Timeouts, *, ahead: int, room: int) -> list[Exchange]:
        """Send requests in one write, and read responses until the connection ends.

        The first `ahead` bytes are sent separately, and so are the last two then. Only the beginning of a body of more
        than `room` bytes is kept.
        """
        data = b"".join(request_bytes(request, self.origin) for request in requests)
        problem = ""
        for piece in (data[:ahead], data[ahead:-2]) if ahead else ():
            problem = problem or self._send(piece, timeouts)
            self.clock.sleep(timeouts.grace)
        started = self.clock.now()  # after the gate's own pauses, which are not a part of the latency
        problem = problem or self._send(data[-2:] if ahead else data, timeouts)
        exchanges: list[Exchange] = []
        early, self.early = self.early, b""
        for number, request in enumerate(requests, 1):
            reader = ResponseReader(
                self.sock, self.clock, request, timeouts, started=started, problem=problem, early=early, room=room
            )
            exchange = reader.exchange()
            early = exchange.extra
            is_last = number == len(requests)
            exchanges.append(exchange if is_last else replace(exchange, extra=b""))
            if not reader.reusable or (is_last and early):
                self.reusable = False
                break
        return exchanges

    def _send(self, data: bytes, timeouts: Timeouts) -> str:
        """Send the bytes; return the reason of a failure, or an empty text."""
        try:
            self.sock.settimeout(timeouts.read)
            self.sock.sendall(data)
        except OSError as error:
            return f"the request could not be sent: {error.strerror or error}"
        return ""


def request_bytes(request: Request, origin: str = "") -> bytes:
    """Return the request's bytes, without a body that awaits an interim response.

    With an origin a path becomes a target in absolute form, as a proxy needs it.
    """
    target = origin.encode() + request.target if request.target.startswith(b"/") else request.target
    line = b" ".join([request.method.encode("latin-1"), target, request.version.encode()])
    lines = [request.preamble + line]
    lines += [name + request.separator_of(value) + value for name, value in request.fields]
    return b"\r\n".join([*lines, b"", b"" if request.awaits_continue else request.body])


def connect(
    target: Target,
    proxy: Target | None,
    tls: ssl.SSLContext | None,
    timeouts: Timeouts,
    clock: Clock = REAL_TIME,
    silent: set[str] | None = None,
) -> Connection:
    """Open a connection, through the proxy if there is one.

    `silent` are addresses that did not answer in time while another address of the same host did. They are tried last,
    and further ones are added.

    Raises UnreachableError: name, port, proxy or TLS failed.
    """
    first = proxy or target
    try:
        sock = clock.timed(_open_socket(first, timeouts.connect, set() if silent is None else silent))
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
    return Connection(sock, origin=target.origin if proxy and not tls else "", clock=clock)


def _open_socket(target: Target, seconds: float, silent: set[str]) -> socket.socket:
    """Connect to the first address of a host that answers; each may take some seconds."""
    found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    hosts = sorted(dict.fromkeys(str(address[0]) for *_, address in found), key=lambda host: host in silent)
    errors: dict[str, OSError] = {}
    for host in hosts:
        try:
            sock = socket.create_connection((host, target.port), seconds)
        except OSError as error:
            errors[host] = error
        else:
            silent.update(host for host, error in errors.items() if isinstance(error, TimeoutError))
            return sock
    raise next(iter(errors.values()))


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
        return "it did not answer in time; check the host, and whether this machine may connect to it"
    if isinstance(error, ConnectionRefusedError):
        return f"{error.strerror}; check that the server runs, and the port"
    if isinstance(error, socket.gaierror):
        return f"{error.strerror}; check the host"
    if isinstance(error, ssl.SSLCertVerificationError):
        advice = "; give its CA with --ca-file" if error.verify_code in UNKNOWN_CA else ""
        return f"its certificate is not trusted ({error.verify_message}){advice}"
    if isinstance(error, ssl.SSLError) and error.reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}:
        return "it does not speak TLS; is it http instead of https?"
    return str(error.strerror or error)
