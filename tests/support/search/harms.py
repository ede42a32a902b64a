"""Mutations by which a valid request does harm: an error, no response, or the usage metrics of another key."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from urllib.parse import unquote

from mock_server.web.raw_response import RawMessage
from tests.support.search.mutations import Mutation, is_ok_to_get
from tests.support.search.served import PATH, Behaviour, Change, Received, with_json, with_status

Applies = Callable[[Received], bool]


def _has_field(name: str, received: Received) -> bool:
    return bool(received.header(name))


def _has_long_value(size: int, received: Received) -> bool:
    return any(len(value) > size for value in received.request.headers.values())


def _has_many_fields(count: int, received: Received) -> bool:
    return len(received.request.headers) > count


def _has_long_query(size: int, received: Received) -> bool:
    return len(received.query) > size


def _has_in_query(text: str, received: Received) -> bool:
    return text in unquote(received.query, "latin-1")


def _names(received: Received) -> list[bytes]:
    return [name for name, _ in received.request.raw_headers]


def _repeats_a_parameter(received: Received) -> bool:
    names = re.findall(r"(?:^|&)([^=&]*)", received.query)
    return len(names) > len(set(names))


TRIGGERS: dict[str, Applies] = {
    **{
        f"with {name}": partial(_has_field, name)
        for name in (
            "Cookie", "Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since",
            "Authorization", "Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Origin",
            "Referer",
            "Date", "TE", "Cache-Control", "Via", "Prefer", "X-Request-Id", "X-Requested-With", "Sec-Fetch-Site",
            "Upgrade",
            "Idempotency-Key", "traceparent", "baggage", "b3", "Accept-Charset", "Accept-Language", "Content-Type",
            "Pragma",
            "DNT", "Max-Forwards", "From", "Priority", "Save-Data", "Expect", "X-Correlation-Id", "tracestate",
            "Content-Language",
            "Access-Control-Request-Method", "X-Real-IP", "CDN-Loop", "Sec-Ch-Ua", "X-Amzn-Trace-Id",
            "Content-Encoding", "Content-MD5",
        )
    },
    **{
        f"with a value of more than {size} characters": partial(_has_long_value, size)
        for size in (100, 200, 500, 1000, 2000, 4000)
    },
    **{
        f"with more than {count} headers": partial(_has_many_fields, count)
        for count in (8, 20, 30, 64, 100)
    },
    **{
        f"with a query of more than {size} characters": partial(_has_long_query, size)
        for size in (0, 100, 250, 1000, 2000, 4000, 8000)
    },
    **{
        f"with {text!r} in the query": partial(_has_in_query, text)
        for text in ("'", '"', "<", ">", ";", "[", "]", "{", "\0", "\xc3", "\xff", "..", "%", "&&", "=&", "#", "`",
        "$", "\\", "\n", "(", "|", "*")
    },
    "with a repeated parameter": _repeats_a_parameter,
    "with a non-ASCII value": lambda received: any(not value.isascii() for value in received.request.headers.values()),
    "with an empty value": lambda received: "" in received.request.headers.values(),
    "with a repeated header": lambda received: len(_names(received)) > len({name.lower() for name in _names(received)}),
    "without User-Agent": lambda received: not received.header("User-Agent"),
    "without Accept": lambda received: "Accept" not in received.request.headers,
    "without Accept-Encoding": lambda received: "Accept-Encoding" not in received.request.headers,
    "with Accept */*": lambda received: received.header("Accept") == "*/*",
    "with a list in Accept": lambda received: "," in received.header("Accept"),
    "with a weight in Accept": lambda received: ";q=" in received.header("Accept"),
    "with a wildcard subtype in Accept": lambda received: "/*" in received.header("Accept").replace("*/*", ""),
    "with capitals in Accept": lambda received: received.header("Accept") != received.header("Accept").lower(),
    "with XML in Accept": lambda received: "xml" in received.header("Accept"),
    "with gzip in Accept-Encoding": lambda received: "gzip" in received.header("Accept-Encoding"),
    "with br in Accept-Encoding": lambda received: "br" in received.header("Accept-Encoding"),
    "with a weight in Accept-Encoding": lambda received: "q=" in received.header("Accept-Encoding"),
    "with HTTP/1.0": lambda received: received.request.version.minor == 0,
    "with a lower-case key header": lambda received: b"x-api-key" in _names(received),
    "with an upper-case key header": lambda received: b"X-API-KEY" in _names(received),
    "with the key header before Host": lambda received: _names(received)[0].lower() == b"x-api-key",
    "with a body": lambda received: bool(received.header("Content-Length")),
    "from Mozilla": lambda received: "Mozilla" in received.header("User-Agent"),
    "with Connection: close": lambda received: "close" in received.header("Connection"),
    "as the tenth request of a connection": lambda received: received.connection.requests == 10,
    "as the second request of a connection": lambda received: received.connection.requests == 2,
}  # fmt: skip
# A header that clients rarely send may be answered with a 4xx: this is not a broken promise except for 401.
HARMS: dict[str, Change] = {
    "500": lambda message, _: with_status(message, 500, "Internal Server Error"),
    "502": lambda message, _: with_status(message, 502),
    "401": lambda message, _: with_status(message, 401),
    "hang": lambda message, _: replace(message, message=({"op": "cut", "at": 0},), end="hang"),
    "an empty object": lambda message, _: with_json(message, {}),
    "an error as 200": lambda message, _: with_json(message, {"error": "bad request"}),
    "204": lambda message, _: replace(message, status=204, body=b""),
}


def harms() -> Iterator[Mutation]:
    """Yield deployments that fail on an unusual request with a valid key."""
    for trigger, applies in TRIGGERS.items():
        for harm, harmed in HARMS.items():
            if harm == "hang" and ("body" in trigger or "Expect" in trigger):
                continue  # the server may wait for the body
            group = f"robustness, a valid request gets {harm}"
            yield Mutation(f"{group}: {trigger}", group, partial(_harmed, applies, harmed))
        yield Mutation(
            f"keys, another key's metrics: {trigger}", "keys, another key's metrics", partial(_swapped, applies)
        )


def _harmed(applies: Applies, harmed: Change) -> Behaviour:
    def change(message: RawMessage, received: Received) -> RawMessage:
        return harmed(message, received) if is_ok_to_get(message, received) and applies(received) else message

    return Behaviour(change=change)


def _swapped(applies: Applies) -> Behaviour:
    def admit(received: Received) -> str | None:
        is_swapped = received.is_valid and received.path == PATH and received.method == "GET" and applies(received)
        return received.keys[1 if received.key == received.keys[0] else 0] if is_swapped else None

    return Behaviour(admit)
