"""Bodies just below the gate's limit, and a deployment that sends them."""

from __future__ import annotations

import json
from itertools import cycle

from contract_tests.wire.limits import LARGEST_BODY
from tests.support.gate import Respond

ROOM = LARGEST_BODY - 2048  # for the other members
WHOLE = {"total": 4711, "success": 4700, "fail": 11, "rate_limit": {"rps": 1000, "burst": 1000, "remaining": 900.5}}


def filled(unit: str, start: str = "[", end: str = "]") -> bytes:
    """Return a JSON text of repeated units, of almost the largest size."""
    return (start + ",".join([unit] * ((ROOM - len(start + end)) // (len(unit) + 1))) + end).encode()


VALUES = {
    "objects": filled('{"":{}}'),
    "arrays": filled("[]"),
    "numbers": filled("0.5"),
    "texts": filled('"ab"'),
    "members": b"{" + b",".join(b'"%d":0' % number for number in range(ROOM // 10)) + b"}",
    "one text": filled("", '"' + "a" * (ROOM - 2), '"'),
    "deep": filled("[" * 400 + "]" * 400),
    "escapes": filled("", '"' + "%25" * (ROOM // 3 - 2), '"'),
    "line ends": filled("", '"' + "\\n" * (ROOM // 2 - 2), '"'),
}
ROWS = {
    "top_domains": filled('{"domain":"a.example","requests":1}'),
    "empty rows": filled("{}"),
    "wrong rows": filled('"not a row"'),
    "protocols": b"{" + b",".join(b'"p%d":1' % number for number in range(ROOM // 12)) + b"}",
}


def usage(name: str, value: bytes) -> bytes:
    return json.dumps(WHOLE).encode()[:-1] + b',"' + name.encode() + b'":' + value + b"}"


def response(body: bytes, status: bytes = b"200 OK", fields: bytes = b"") -> bytes:
    kind = b"Content-Type: application/json\r\nConnection: close\r\n" + fields
    return b"HTTP/1.1 " + status + b"\r\n" + kind + b"Content-Length: %d\r\n\r\n" % len(body) + body


def deployment(*good: bytes) -> Respond:
    """Return a deployment that sends these responses in turn, and rejects requests without the main key."""
    refusals = {
        b"401 Unauthorized": b'{"detail": "no", "more": ' + VALUES["objects"] + b"}",
        b"403 Forbidden": b'{"detail": "no", "more": ' + VALUES["texts"] + b"}",
    }
    turns = cycle(good)

    def respond(head: bytes) -> bytes:
        if b"main-key\r\n" in head:
            return next(turns)
        status = b"403 Forbidden" if b"x-api-key" in head.lower() else b"401 Unauthorized"
        return response(refusals[status], status)

    return respond
