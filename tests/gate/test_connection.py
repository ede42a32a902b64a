"""Connections send the bytes of a request, and record the bytes of its response."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import count

import brotli
import pytest
import trustme

from contract_tests.wire.clock import Clock, Timeouts
from contract_tests.wire.connection import Connection, UnreachableError, connect, request_bytes
from contract_tests.wire.limits import LARGEST_BODY
from contract_tests.wire.messages import Credential, Ending, Exchange, Request
from contract_tests.wire.target import Target
from tests.support.transport import curl_of

PATIENT = Timeouts(connect=30.0, read=30.0, total=45.0)  # thousands of times what a peer on this machine takes
BRIEF = Timeouts(connect=30.0, read=0.2, total=0.5)  # for a peer that sends nothing more
LOCAL = Target("http", "127.0.0.1", 0, "")
PLAIN = Request("GET", b"/usage", ((b"Host", b"here"),))
Peer = Callable[[socket.socket], None]


@pytest.fixture
def peer() -> Iterator[Callable[[Peer], Connection]]:
    """Connect to a function that acts as the server at the other end of a socket pair."""
    threads: list[threading.Thread] = []
    connections: list[Connection] = []

    def play(behave: Peer) -> Connection:
        ours, theirs = socket.socketpair()

        def serve() -> None:
            with theirs:
                behave(theirs)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        connections.append(Connection(ours))
        return connections[-1]

    yield play
    for connection in connections:
        connection.close()
    for thread in threads:
        thread.join()


def sending(*pieces: bytes, then_wait: bool = False) -> Peer:
    """Return a server that reads a request, sends pieces, and closes the connection or waits until the client does."""

    def behave(sock: socket.socket) -> None:
        sock.recv(65536)
        for piece in pieces:
            sock.sendall(piece)
        if then_wait:
            sock.recv(1)

    return behave


def exchange(connection: Connection, request: Request = PLAIN, timeouts: Timeouts = PATIENT) -> Exchange:
    return connection.exchange(request, timeouts)


def test_odd_requests_are_sent_byte_for_byte() -> None:
    request = Request("gEt", b"/%zz/%75sage?\xff", ((b"x-aPi-KEY", b"\xe9"), (b"x-aPi-KEY", b"again")), b"body")
    assert (
        request_bytes(request) == b"gEt /%zz/%75sage?\xff HTTP/1.1\r\nx-aPi-KEY: \xe9\r\nx-aPi-KEY: again\r\n\r\nbody"
    )


def test_a_proxy_gets_the_absolute_form() -> None:
    assert request_bytes(PLAIN, "http://there").startswith(b"GET http://there/usage HTTP/1.1\r\n")
    absolute = replace(PLAIN, target=b"http://there/usage")
    assert request_bytes(absolute, "http://there").startswith(b"GET http://there/usage HTTP/1.1\r\n")
    assert "--request-target http://there/usage http://there" in curl_of(absolute, "http://there").replace("'", "")


def test_repeated_fields_and_their_case_are_kept(peer: Callable[[Peer], Connection]) -> None:
    response = exchange(peer(sending(b"HTTP/1.1 200 OK\r\nX-a: 1\r\nx-A: 2\r\nContent-Length: 0\r\n\r\n")))
    assert response.fields == (("X-a", b"1"), ("x-A", b"2"), ("Content-Length", b"0"))
    assert response.header("X-A") == "1, 2"


ENDINGS: dict[str, tuple[Peer, Ending]] = {
    "a length that is kept": (sending(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), "complete"),
    "an end by hanging up": (sending(b"HTTP/1.1 200 OK\r\n\r\n{}"), "complete"),
    "chunks": (sending(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"), "complete"),
    "an interim response": (
        sending(b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
        "complete",
    ),
    "hanging up at once": (sending(), "closed"),
    "hanging up in the head": (sending(b"HTTP/1.1 200 OK\r\nCont"), "truncated"),
    "hanging up in the body": (sending(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"), "truncated"),
    "hanging up between chunks": (
        sending(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"),
        "truncated",
    ),
    "broken chunks": (sending(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "malformed"),
    "two lengths": (sending(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"), "malformed"),
    "a length that is not a number": (sending(b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n{}"), "malformed"),
    "no HTTP at all": (sending(b"220 mail.example ESMTP\r\n\r\n"), "malformed"),
    "sending nothing": (sending(then_wait=True), "timeout"),
    "stopping in the body": (sending(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", then_wait=True), "timeout"),
    "a body without end": (sending(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * (LARGEST_BODY + 1)), "too large"),
    "a head without end": (sending(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * 60_000), "malformed"),
}


@pytest.mark.parametrize("how", ENDINGS)
def test_the_endings_of_a_response_are_distinguished(how: str, peer: Callable[[Peer], Connection]) -> None:
    behave, ending = ENDINGS[how]

    def survive(sock: socket.socket) -> None:
        try:
            behave(sock)
        except OSError:
            assert ending in {"too large", "malformed"}  # the gate closed the connection

    response = exchange(peer(survive), timeouts=BRIEF if ending == "timeout" else PATIENT)
    assert response.ending == ending
    assert (response.problem == "") == (ending == "complete")


@pytest.mark.parametrize("how", ["hanging up in the body", "stopping in the body"])
def test_an_incomplete_body_is_reported_with_its_size(how: str, peer: Callable[[Peer], Connection]) -> None:
    response = exchange(peer(ENDINGS[how][0]), timeouts=BRIEF)
    assert response.problem.endswith("after 2 of 9 bytes of the body")


SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


@pytest.mark.parametrize(
    ("fields", "status", "ending"),
    [
        ([(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")], 101, "complete"),
        ([(b"Upgrade", b"websocket")], None, "malformed"),  # without the connection option, a server ignores it
        ([], None, "malformed"),
    ],
)
def test_a_server_switches_protocols_only_on_request(
    fields: list[tuple[bytes, bytes]], status: int | None, ending: Ending, peer: Callable[[Peer], Connection]
) -> None:
    connection = peer(sending(SWITCHING + b"\x81\x02hi", then_wait=True))
    response = exchange(connection, replace(PLAIN, fields=(*PLAIN.fields, *fields)))
    assert (response.status, response.ending) == (status, ending)
    assert response.raw_head == SWITCHING
    assert not connection.reusable


@pytest.mark.parametrize(
    ("sent", "head"),
    [
        (b"HTTP/1.1 103 Early\r\nLink: <a>\r\n\r\nHTTP/1.1 200 OK\r\nX: 1\r\nContent-Length: 0\r\n\r\n", b"X: 1"),
        (b"HTTP/1.1 100 A\r\n\r\nHTTP/1.1 103 B\r\n\r\nHTTP/1.1 404 C\nX: 1\nContent-Length: 0\n\n", b"X: 1"),
    ],
)
def test_the_head_contains_those_of_interim_responses(
    sent: bytes, head: bytes, peer: Callable[[Peer], Connection]
) -> None:
    response = exchange(peer(sending(sent)))
    assert response.raw_head.startswith(sent[:20])
    assert head in response.raw_head


EXPECTING = replace(
    PLAIN, fields=((b"Host", b"here"), (b"Expect", b"100-continue"), (b"Content-Length", b"4")), body=b"body"
)
FINAL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"


def test_a_body_is_sent_after_the_interim_response(peer: Callable[[Peer], Connection]) -> None:
    def behave(sock: socket.socket) -> None:
        assert sock.recv(65536).endswith(b"\r\n\r\n")
        sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        sock.sendall(FINAL + sock.recv(65536))

    connection = peer(behave)
    assert exchange(connection, EXPECTING).body == b"body"
    assert connection.reusable


def test_a_connection_with_an_unsent_body_is_not_used_again(peer: Callable[[Peer], Connection]) -> None:
    connection = peer(sending(FINAL + b"done", then_wait=True))
    assert exchange(connection, EXPECTING).body == b"done"
    assert not connection.reusable


@pytest.mark.parametrize(
    ("version", "fields", "is_kept"),
    [("1.0", "Connection: keep-alive\r\n", True), ("1.0", "", False), ("1.1", "", True)],
)
def test_an_http_1_0_connection_is_kept_if_the_server_keeps_it(
    version: str, fields: str, is_kept: bool, peer: Callable[[Peer], Connection]
) -> None:
    request = replace(PLAIN, version="HTTP/1.0", fields=(*PLAIN.fields, (b"Connection", b"keep-alive")))
    response = f"HTTP/{version} 200 OK\r\n{fields}Content-Length: 2\r\n\r\n{{}}".encode()
    connection = peer(sending(response, then_wait=True))
    assert exchange(connection, request).ending == "complete"
    assert connection.reusable == is_kept


def test_a_drip_ends_at_the_deadline(peer: Callable[[Peer], Connection]) -> None:
    def drip(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        with suppress(OSError):  # the gate closes the connection
            while True:
                sock.sendall(b"x")

    connection = peer(drip)
    connection.clock = Clock(now=partial(next, count(step=0.1)))  # each reading advances the clock by 0.1 s
    response = exchange(connection, timeouts=BRIEF)
    connection.close()
    assert response.ending == "deadline"
    assert 0.5 <= response.seconds < 1


def test_a_body_after_head_is_recorded(peer: Callable[[Peer], Connection]) -> None:
    head = Request("HEAD", b"/usage", ((b"Host", b"here"),))
    response = exchange(
        peer(sending(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b"{}")), head, replace(PATIENT, grace=30.0)
    )
    assert (response.ending, response.extra) == ("complete", b"{}")


@pytest.mark.parametrize(
    ("method", "body", "ahead"),
    [("HEAD", b"", 0), ("GET", b"body", 0), ("GET", b"", 10)],
    ids=["head", "body", "split"],
)
def test_a_wait_of_the_gate_is_not_a_part_of_the_duration(
    method: str, body: bytes, ahead: int, peer: Callable[[Peer], Connection]
) -> None:
    def behave(sock: socket.socket) -> None:
        received = b""
        while not received.endswith(b"\r\n\r\n" + body):
            received += sock.recv(65536)
        sock.sendall(b"HTTP/1.1 204 No Content\r\n\r\n" if method == "HEAD" else FINAL + b"done")
        sock.recv(1)

    connection, request = peer(behave), replace(PLAIN, method=method, body=body)
    began = time.monotonic()
    (response,) = connection.pipeline([request], replace(PATIENT, grace=0.2), ahead=ahead, room=LARGEST_BODY)
    took = time.monotonic() - began
    connection.close()
    assert response.ending == "complete"
    assert response.seconds <= took - 0.19
    assert began <= response.started <= response.ended <= began + took


def test_bytes_after_a_response_are_recorded_and_end_the_connection(peer: Callable[[Peer], Connection]) -> None:
    connection = peer(sending(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}surplus", then_wait=True))
    assert exchange(connection).extra == b"surplus"
    assert not connection.reusable


def test_a_connection_is_reused_until_the_server_announces_its_end(peer: Callable[[Peer], Connection]) -> None:
    def twice(sock: socket.socket) -> None:
        for close in (b"", b"Connection: close\r\n"):
            sock.recv(65536)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + close + b"\r\n{}")

    connection = peer(twice)
    assert exchange(connection).body == b"{}"
    assert connection.reusable
    assert exchange(connection).body == b"{}"
    assert not connection.reusable


@pytest.mark.parametrize(
    ("coding", "payload"),
    [
        ("gzip", gzip.compress(b"{}", mtime=0)),
        ("deflate", zlib.compress(b"{}")),
        ("deflate", zlib.compress(b"{}", wbits=-15)),
    ],
)
def test_content_codings_are_decoded(coding: str, payload: bytes) -> None:
    response = Exchange(PLAIN, 200, fields=(("Content-Encoding", coding.encode()),), payload=payload)
    assert (response.body, response.coding_problem) == (b"{}", "")


@pytest.mark.parametrize(
    ("coding", "payload", "problem"),
    [
        ("gzip", b"{}", "is not the gzip"),
        ("gzip", gzip.compress(b"{}" * 99, mtime=0)[:-9], "cut short"),
        ("gzip", gzip.compress(b"0" * (LARGEST_BODY + 9), mtime=0), "unpacks to more than"),
        ("gzip", gzip.compress(b"0" * LARGEST_BODY, mtime=0) * 2, "unpacks to more than"),
        ("gzip", gzip.compress(b"", mtime=0) * 2000, "more than 100 members"),
        ("br", b"\x8b", "was not requested"),
    ],
)
def test_a_wrong_coding_is_a_problem(coding: str, payload: bytes, problem: str) -> None:
    response = Exchange(PLAIN, 200, fields=(("Content-Encoding", coding.encode()),), payload=payload)
    assert problem in response.coding_problem


def test_only_the_key_has_another_separator() -> None:
    key = Credential(b"the-secret", "the main key", "$CONTRACT_API_KEY")
    request = Request("GET", b"/", ((b"Host", b"h"), (b"X-API-Key", key.value)), credential=key, separator=b":\t")
    assert request_bytes(request) == b"GET / HTTP/1.1\r\nHost: h\r\nX-API-Key:\tthe-secret\r\n\r\n"


def test_a_connection_that_ends_is_distinguished_from_one_that_stays_open() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = Connection(ours)
        assert not connection.ends(0.01)
        theirs.close()
        assert connection.ends(30.0)


@pytest.mark.parametrize("frame", [b"\x28\xb5\x2f\xfd\x20\x02\x11\x00\x00{}", b"\x5f\x2a\x4d\x18\x00\x00\x00\x00"])
@pytest.mark.parametrize(
    ("accepted", "coding", "problem"),
    [
        (b"gzip, zstd", b"zstd", ""),
        (b"zstd", b"gzip, zstd", ""),
        (b"identity", b"zstd", "has the content coding 'zstd', which was not requested"),
    ],
)
def test_zstd_is_recognized(frame: bytes, accepted: bytes, coding: bytes, problem: str) -> None:
    request = Request("GET", b"/", ((b"Accept-Encoding", accepted),))
    response = Exchange(request, 200, fields=(("Content-Encoding", coding),), payload=frame)
    assert response.coding_problem == problem
    assert response.is_zstd == (not problem)


@pytest.mark.parametrize("accepted", [b"zstd", b"identity"])
@pytest.mark.parametrize("body", [b"", b"{}", b"\x1f\x8b", b"\x28\xb5\x2f"])
def test_bytes_that_are_not_zstd_are_a_problem_for_every_accept_encoding(accepted: bytes, body: bytes) -> None:
    request = Request("GET", b"/", ((b"Accept-Encoding", accepted),))
    response = Exchange(request, 200, fields=(("Content-Encoding", b"zstd"),), payload=body)
    assert response.coding_problem.startswith("is not the zstd that Content-Encoding announces")


@pytest.mark.parametrize(
    ("accepted", "problem"), [(b"br", ""), (b"identity", "has the content coding 'br', which was not requested")]
)
def test_brotli_is_decoded_if_it_was_requested(accepted: bytes, problem: str) -> None:
    request = Request("GET", b"/", ((b"Accept-Encoding", accepted),))
    response = Exchange(request, 200, fields=(("Content-Encoding", b"br"),), payload=brotli.compress(b"{}"))
    assert response.coding_problem == problem
    assert bool(problem) or response.body == b"{}"


def test_a_brotli_bomb_is_not_unpacked() -> None:
    request = Request("GET", b"/", ((b"Accept-Encoding", b"br"),))
    payload = brotli.compress(bytes(64 * LARGEST_BODY), quality=1)
    response = Exchange(request, 200, fields=(("Content-Encoding", b"br"),), payload=payload)
    assert "unpacks to more than" in response.coding_problem


def test_a_refused_port_is_reported() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(UnreachableError, match="Connection refused"):
            connect(Target("http", "127.0.0.1", unused.getsockname()[1], ""), None, None, PATIENT)


def test_tls_accepts_a_private_ca_only_if_it_is_configured() -> None:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    trusting, strict = ssl.create_default_context(), ssl.create_default_context()
    authority.configure_trust(trusting)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(2):
                raw, _address = listener.accept()
                try:
                    with server.wrap_socket(raw, server_side=True) as sock:
                        sending(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")(sock)
                except OSError:
                    raw.close()

        thread = threading.Thread(target=serve)
        thread.start()
        target = Target("https", "127.0.0.1", listener.getsockname()[1], "")
        connection = connect(target, None, trusting, PATIENT)
        assert exchange(connection).body == b"{}"
        connection.close()
        with pytest.raises(UnreachableError, match=r"certificate is not trusted.*--ca-file"):
            connect(target, None, strict, PATIENT)
        thread.join()
