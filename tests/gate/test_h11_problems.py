"""Problems of HTTP messages are plain sentences: no text of h11 reaches a user."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract_tests.wire.h11_problems import CLOSED_EARLY, OTHER, sentence
from contract_tests.wire.limits import LARGEST_HEAD

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
SENTENCES = {
    b"220 mail.example ESMTP\r\n\r\n": "the line '220 mail.example ESMTP' is not a status line",
    OK + b"Cache-Control : no-store\r\n\r\n": "the line 'Cache-Control : no-store' is not a header field",
    OK + b"A: it's\r\n b'x'\r\n: \xe9)\r\n\r\n": "the line ': \\xe9)' is not a header field",
    OK + b"no 'colon' or \"so\"\r\n\r\n": "the line 'no 'colon' or \"so\"' is not a header field",
    OK + b"{0}{x}\r\n\r\n": "the line '{0}{x}' is not a header field",
    OK + b" folded: first\r\n\r\n": "the first header line begins with white space",
    CHUNKED + b"zz\r\n": "the line 'zz' is not the size of a chunk",
    CHUNKED + b"2\r\n{}}\r\n0\r\n\r\n": "a chunk does not end where its size states",
    OK + b"Content-Length: two\r\n\r\n": "Content-Length is not a number of bytes",
    OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}": "several Content-Length values differ",
    OK + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n": "the response has several Transfer-Encoding fields",
    OK + b"Transfer-Encoding: gzip\r\n\r\n": "Transfer-Encoding is not `chunked`",
    b"\r\n\r\n" + OK: "the response does not begin with a status line",
    b"\x16\x03\x01": "the response does not begin with a status line",
    b"HTTP/1.1 099 Odd\r\n\r\n": "the status code 99 does not exist",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n": "status 101 switches the protocol, and no response follows",
    OK + b"x: y\r\n" * LARGEST_HEAD: f"the head, or the line of a chunk, is larger than {LARGEST_HEAD} bytes",
    OK + b"Content-Length: 3\r\n\r\n{}": CLOSED_EARLY,
    CHUNKED + b"2\r\n{}": CLOSED_EARLY,
    b"HTTP/1.1": CLOSED_EARLY,
}
# Pieces of responses, from which Hypothesis builds correct, odd and broken ones.
FIELDS = [b"Content-Length: 2\r\n", b"Content-Length: -1\r\n", b"Transfer-Encoding: chunked\r\n", b"A:b\r\n"]
HEADS = [
    OK,
    b"HTTP/1.0 204 \r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 Other\r\nUpgrade: h2c\r\n",
    b"HTTP/2 200\r\n",
]
PIECES = st.sampled_from([*HEADS, *FIELDS, b"\r\n", b" ", b"{}", b"2\r\n", b"0\r\n", b"\n", b"x"])


def problem(received: bytes) -> str:
    """Return the problem of a response on a connection that the server closes after it; empty without one."""
    parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST_HEAD)
    parser.send(h11.Request(method="GET", target="/", headers=[("Host", "any")]))
    parser.send(h11.EndOfMessage())
    try:
        for data in (received, b""):
            parser.receive_data(data)
            while (event := parser.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.EndOfMessage):
                    return ""
    except h11.RemoteProtocolError as error:
        return sentence(error)
    return ""


@pytest.mark.parametrize("received", SENTENCES)
def test_a_problem_of_a_message_is_a_plain_sentence(received: bytes) -> None:
    assert problem(received) == SENTENCES[received]


@given(st.sampled_from([b"", OK, CHUNKED]), st.lists(PIECES | st.binary(max_size=4), max_size=8).map(b"".join))
def test_every_problem_that_h11_finds_has_a_sentence(beginning: bytes, rest: bytes) -> None:
    assert problem(beginning + rest) != OTHER


def test_an_unknown_text_of_another_version_of_h11_is_not_shown() -> None:
    assert sentence(h11.RemoteProtocolError("can't handle event type Data when role=SERVER")) == OTHER
