"""The errors of h11 as plain sentences: its own texts show Python objects and the states of its parser."""

from __future__ import annotations

import ast
import re

import h11

from contract_tests.wire.limits import LARGEST_HEAD

CLOSED_EARLY = "the connection was closed before the end of the response"
NO_STATUS_LINE = "the response does not begin with a status line"
OTHER = "the response is not valid HTTP/1.1"

# Complete texts of h11 0.16 for a response; a group is a Python literal of received bytes.
SENTENCES = {
    r"illegal status line: (.+)": "the line '{}' is not a status line",
    r"illegal header line: (.+)": "the line '{}' is not a header field",
    r"illegal chunk header: (.+)": "the line '{}' is not the size of a chunk",
    r"malformed chunk footer: .+": "a chunk does not end where its size states",
    r"continuation line at start of headers": "the first header line begins with white space",
    r"bad Content-Length": "Content-Length is not a number of bytes",
    r"conflicting Content-Length headers": "several Content-Length values differ",
    r"multiple Transfer-Encoding headers": "the response has several Transfer-Encoding fields",
    r"Only Transfer-Encoding: chunked is supported": "Transfer-Encoding is not `chunked`",
    r"illegal request line|no response line received": NO_STATUS_LINE,
    r"\w+ status_code should be in range .+, not (\d+)": "the status code {} does not exist",
    r"Receive buffer too long": f"the head, or the line of a chunk, is larger than {LARGEST_HEAD} bytes",
    r"Received server _SWITCH_UPGRADE event .+": "status 101 switches the protocol, and no response follows",
    r"peer (?:unexpectedly )?closed connection.*|can't handle event type ConnectionClosed .+": CLOSED_EARLY,
}


def sentence(error: h11.RemoteProtocolError) -> str:
    """Return the problem of a response without h11's wording, and with the received line where h11 quotes it."""
    for pattern, plain in SENTENCES.items():
        if match := re.fullmatch(pattern, str(error), re.DOTALL):
            return plain.format(*map(_received, match.groups()))
    return OTHER


def _received(literal: str) -> str:
    """Return the text of a Python literal: bytes, a `bytearray`, or a number."""
    value = ast.literal_eval(literal.removeprefix("bytearray(").removesuffix(")"))
    return value.decode("utf-8", "backslashreplace").rstrip("\r\n") if isinstance(value, bytes) else str(value)
