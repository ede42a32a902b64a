"""Mutations of messages: framing, header fields, caching, error responses, and requests that do harm."""

from __future__ import annotations

import base64
import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import chain, product
from urllib.parse import unquote

from mock_server.fixtures.edits import End
from mock_server.web.raw_response import RawMessage
from tests.support.search.mutations import (
    ALWAYS,
    BROWSER,
    FIFTH_TIME,
    FRESH,
    LATER,
    OLD_HTTP,
    ONCE,
    OTHER_KEYS,
    REUSED,
    SECOND_KEY,
    SECOND_TIME,
    THIRD_TIME,
    WITH_COMPRESSION,
    WITH_QUERY,
    Condition,
    Mutation,
    changing,
    condition,
    having_status,
    is_ok,
)
from tests.support.search.served import (
    PATH,
    Behaviour,
    Change,
    Received,
    with_bytes,
    with_fields,
    with_json,
    with_status,
)

Bytes = Callable[[bytes, bytes], bytes]


def _in_head(pattern: bytes, new: bytes) -> Bytes:
    return lambda head, body: re.sub(pattern, new, head, count=1) + body


def _length(change: Callable[[int], str]) -> Bytes:
    def changed(head: bytes, body: bytes) -> bytes:
        new = b"Content-Length: " + change(len(body)).encode()
        return re.sub(rb"(?im)^content-length: \d+", new, head) + body

    return changed


def _field(line: bytes) -> Bytes:
    return lambda head, body: head[:-2] + line + b"\r\n\r\n" + body


def _chunks(write: Callable[[bytes], bytes], fields: bytes = b"Transfer-Encoding: chunked\r\n") -> Bytes:
    def changed(head: bytes, body: bytes) -> bytes:
        return re.sub(rb"(?im)^content-length: \d+\r\n", fields, head) + write(body)

    return changed


def _chunk(size: Callable[[int], bytes], end: bytes = b"\r\n", last: bytes = b"0\r\n\r\n") -> Callable[[bytes], bytes]:
    return lambda body: size(len(body)) + b"\r\n" + body + end + last


FRAMINGS: dict[str, tuple[Bytes, End]] = {
    "Content-Length one too small": (_length(lambda size: str(size - 1)), "keep"),
    "Content-Length one too large, then closed": (_length(lambda size: str(size + 1)), "close"),
    "Content-Length one too large, kept open": (_length(lambda size: str(size + 1)), "keep"),
    "Content-Length 100 too large, then closed": (_length(lambda size: str(size + 100)), "close"),
    "Content-Length half": (_length(lambda size: str(size // 2)), "keep"),
    "Content-Length 0": (_length(lambda _: "0"), "keep"),
    "Content-Length negative": (_length(lambda size: str(-size)), "close"),
    "Content-Length hexadecimal": (_length(hex), "close"),
    "Content-Length with a unit": (_length(lambda size: f"{size} bytes"), "close"),
    "Content-Length with a plus sign": (_length(lambda size: f"+{size}"), "close"),
    "Content-Length with a fraction": (_length(lambda size: f"{size}.0"), "close"),
    "Content-Length empty": (_length(lambda _: ""), "close"),
    "Content-Length as a list": (_length(lambda size: f"{size}, {size + 1}"), "close"),
    "Content-Length twice": (_length(lambda size: f"{size}\r\nContent-Length: {size}"), "keep"),
    "Content-Length twice, different": (_length(lambda size: f"{size}\r\nContent-Length: {size + 5}"), "close"),
    "Content-Length above 64 bits": (_length(lambda _: str(2**65)), "close"),
    "no length, kept open": (_in_head(rb"(?im)^content-length: \d+\r\n", b""), "hang"),
    "Content-Length beside chunks": (
        lambda head, body: head[:-2] + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body),
        "keep",
    ),
    "chunked in name only": (_chunks(lambda body: body), "close"),
    "chunk size one too large": (_chunks(_chunk(lambda size: b"%x" % (size + 1))), "close"),
    "chunk size one too small": (_chunks(_chunk(lambda size: b"%x" % (size - 1))), "close"),
    "chunk size in decimal": (_chunks(_chunk(lambda size: b"%d" % (size * 100))), "close"),
    "chunk size with 0x": (_chunks(_chunk(lambda size: b"0x%x" % size)), "close"),
    "chunk size negative": (_chunks(_chunk(lambda size: b"-%x" % size)), "close"),
    "chunk size empty": (_chunks(_chunk(lambda _: b"")), "close"),
    "chunk without its line end": (_chunks(_chunk(lambda size: b"%x" % size, end=b"")), "close"),
    "last chunk missing, then closed": (_chunks(_chunk(lambda size: b"%x" % size, last=b"")), "close"),
    "last chunk missing, kept open": (_chunks(_chunk(lambda size: b"%x" % size, last=b"")), "hang"),
    "last line missing, kept open": (_chunks(_chunk(lambda size: b"%x" % size, last=b"0\r\n")), "hang"),
    "bytes after the last chunk": (_chunks(_chunk(lambda size: b"%x" % size, last=b"0\r\n\r\nextra")), "keep"),
    "unknown transfer coding": (_chunks(lambda body: body, b"Transfer-Encoding: snappy\r\n"), "close"),
    "chunked twice": (
        _chunks(_chunk(lambda size: b"%x" % size), b"Transfer-Encoding: chunked, chunked\r\n"),
        "close",
    ),
    "a line break after the body": (lambda head, body: head + body + b"\r\n", "keep"),
    "ten bytes after the body": (lambda head, body: head + body + b"0123456789", "keep"),
    "a NUL after the body": (lambda head, body: head + body + b"\0", "keep"),
    "the response twice": (lambda head, body: (head + body) * 2, "keep"),
    "the body twice": (lambda head, body: head + body * 2, "keep"),
    "closed in the head": (lambda head, _: head[: len(head) // 2], "close"),
    "closed after the head": (lambda head, _: head, "close"),
    "closed in the body": (lambda head, body: head + body[: len(body) // 2], "close"),
    "closed before the last byte": (lambda head, body: head + body[:-1], "close"),
    "reset in the body": (lambda head, body: head + body[: len(body) // 2], "reset"),
    "closed without a byte": (lambda _, __: b"", "close"),
    "hanging without a byte": (lambda _, __: b"", "hang"),
    "hanging after the head": (lambda head, _: head, "hang"),
    "hanging before the last byte": (lambda head, body: head + body[:-1], "hang"),
    "a line break before the status line": (lambda head, body: b"\r\n" + head + body, "keep"),
    "a word before the status line": (lambda head, body: b"OK " + head + body, "keep"),
    "a byte order mark before the status line": (lambda head, body: b"\xef\xbb\xbf" + head + body, "keep"),
    "status line without a version": (_in_head(rb"HTTP/1\.\d ", b""), "close"),
    "status line with HTTP/1": (_in_head(rb"HTTP/1\.\d", b"HTTP/1"), "close"),
    "status line with HTTP/2.0": (_in_head(rb"HTTP/1\.\d", b"HTTP/2.0"), "close"),
    "status line in lower case": (_in_head(rb"HTTP", b"http"), "close"),
    "status line of ICY": (_in_head(rb"HTTP/1\.\d", b"ICY"), "close"),
    "status of two digits": (_in_head(rb"^(\S+ \d\d)\d", rb"\1"), "close"),
    "status of four digits": (_in_head(rb"^(\S+ \d\d\d)", rb"\g<1>0"), "close"),
    "status as a word": (_in_head(rb"^(\S+) \d+", rb"\1 OK"), "close"),
    "two spaces before the status": (_in_head(rb"^(\S+) ", rb"\1  "), "keep"),
    "tab before the status": (_in_head(rb"^(\S+) ", b"\\1\t"), "keep"),
    "no space after the status": (_in_head(rb"^(\S+ \d+)[^\r]*", rb"\1"), "keep"),
    "status line alone with a bare LF": (_in_head(rb"\r\n", b"\n"), "keep"),
    "all lines with a bare LF": (lambda head, body: head.replace(b"\r\n", b"\n") + body, "keep"),
    "one line with a bare LF": (_in_head(rb"\r\n(Content-Type)", rb"\n\1"), "keep"),
    "one line with a bare CR": (_field(b"X-Odd: a\rb\r\n"), "keep"),
    "one line with two CRs": (_in_head(rb"\r\nContent-Type", b"\r\r\nContent-Type"), "keep"),
    "empty line missing": (lambda head, body: head[:-2] + body, "close"),
    "a line without a colon": (_field(b"odd line\r\n"), "keep"),
    "a line with only a colon": (_field(b": value\r\n"), "keep"),
    "a space before a colon": (_in_head(rb"Content-Type:", b"Content-Type :"), "keep"),
    "a space in a name": (_field(b"X Odd: 1\r\n"), "keep"),
    "a non-ASCII name": (_field(b"X-\xc3\xa9: 1\r\n"), "keep"),
    "a NUL in a value": (_field(b"X-Odd: a\0b\r\n"), "keep"),
    "a control byte in a value": (_field(b"X-Odd: a\x01b\r\n"), "keep"),
    "a folded line": (_field(b"X-Odd: a\r\n  b\r\n"), "keep"),
    "a space before the first line": (_in_head(rb"\r\n", b"\r\n "), "keep"),
    "a header of 100,000 bytes": (_field(b"X-Long: " + b"a" * 100_000 + b"\r\n"), "keep"),
    "ten thousand headers": (_field(b"a: b\r\n" * 10_000), "keep"),
    "a 101 before the response": (
        lambda head, body: b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n" + head + body,
        "keep",
    ),
    "a 200 without a body before the response": (
        lambda head, body: b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + head + body,
        "keep",
    ),
    "TLS alert": (lambda _, __: b"\x15\x03\x01\x00\x02\x02\x28", "close"),
    "text alone": (lambda _, body: body, "close"),
}  # fmt: skip
OK_CONDITIONS = (ALWAYS, SECOND_TIME, FIFTH_TIME, ONCE, SECOND_KEY, WITH_QUERY, WITH_COMPRESSION, OLD_HTTP)
ERROR_CONDITIONS = (ALWAYS, SECOND_TIME, LATER)
REFUSALS = (401, 403)


def framings() -> Iterator[Mutation]:
    """Yield deployments whose messages are malformed or incomplete."""
    for name, (write, end) in FRAMINGS.items():
        change = partial(_framed, write, end)
        yield from changing("http, the framing of 200", name, change, OK_CONDITIONS, applies=_is_ok_to_get)
        yield from _changing_refusals("http, the framing of {}", name, change)


def _framed(write: Bytes, end: End, message: RawMessage, received: Received) -> RawMessage:
    return with_bytes(replace(message, end=end), received, write)


def _is_ok_to_get(message: RawMessage, received: Received) -> bool:
    return is_ok(message, received) and received.method == "GET"


def _changing_refusals(group: str, operator: str, change: Change) -> Iterator[Mutation]:
    """Yield deployments that change the responses with each status in REFUSALS, which takes the place of {}."""
    for status in REFUSALS:
        applies = having_status(status)
        yield from changing(group.format(status), operator, change, ERROR_CONDITIONS, applies=applies)


def _set(**fields: str | None) -> Mapping[str, str | None]:
    return {name.replace("_", "-"): value for name, value in fields.items()}


# Header fields that break a promise of RFC 9110 in any response.
FIELDS: dict[str, Mapping[str, str | None]] = {
    "Date in RFC 850 form": _set(Date="Sunday, 06-Nov-94 08:49:37 GMT"),
    "Date in asctime form": _set(Date="Sun Nov  6 08:49:37 1994"),
    "Date in ISO 8601": _set(Date="2027-01-15T08:00:00Z"),
    "Date with UTC": _set(Date="Fri, 15 Jan 2027 08:00:00 UTC"),
    "Date with an offset": _set(Date="Fri, 15 Jan 2027 08:00:00 +0000"),
    "Date as a number": _set(Date="1800000000"),
    "Date in German": _set(Date="Fr, 15 Jan 2027 08:00:00 GMT"),
    "Date without the day": _set(Date="15 Jan 2027 08:00:00 GMT"),
    "Date without seconds": _set(Date="Fri, 15 Jan 2027 08:00 GMT"),
    "Date with a one-digit hour": _set(Date="Fri, 15 Jan 2027 8:00:00 GMT"),
    "Date empty": _set(Date=""),
    "Last-Modified in ISO 8601": _set(Last_Modified="2027-01-15T08:00:00Z"),
    "Last-Modified as a number": _set(Last_Modified="1700000000"),
    "Last-Modified with an offset": _set(Last_Modified="Fri, 15 Jan 2027 08:00:00 +0100"),
    "Content-Encoding gzip of a plain body": _set(Content_Encoding="gzip"),
    "Content-Encoding br of a plain body": _set(Content_Encoding="br"),
    "Content-Encoding zstd of a plain body": _set(Content_Encoding="zstd"),
    "Content-Encoding deflate of a plain body": _set(Content_Encoding="deflate"),
    "Content-Encoding compress of a plain body": _set(Content_Encoding="compress"),
    "Content-Encoding utf-8": _set(Content_Encoding="utf-8"),
    "Content-Encoding none": _set(Content_Encoding="none"),
    "Content-Encoding aws-chunked": _set(Content_Encoding="aws-chunked"),
}
TYPES: dict[str, Mapping[str, str | None]] = {
    f"Content-Type {value!r}": _set(Content_Type=value)
    for value in (
        "text/plain", "text/html", "application/xml", "application/octet-stream", "text/json", "json", "",
        "application/x-json", "application/javascript", "application/json;charset=latin-1", "multipart/form-data",
        "application/json; charset=utf-16", "application/json, application/json", "application/jsonp", "*/*", None,
        "application/json; charset=ascii", "binary/octet-stream", "application/json; charset=iso-8859-1", "text/x-json",
    )
}  # fmt: skip
TAGS: dict[str, Mapping[str, str | None]] = {
    "ETag without quotation marks": _set(ETag="abc"),
    "ETag with apostrophes": _set(ETag="'abc'"),
    "ETag with a lower-case w": _set(ETag='w/"abc"'),
    "ETag with half a quotation mark": _set(ETag='"abc'),
    "ETag with a space": _set(ETag='"a b"'),
    "ETag empty": _set(ETag=""),
    "ETag W alone": _set(ETag="W/abc"),
    "ETag with -gzip outside": _set(ETag='"abc"-gzip'),
    "strong ETag of all bodies": _set(ETag='"always"'),
}
TWICE = ("Date", "Content-Type", "ETag", "Location", "Retry-After", "Last-Modified")


def fields() -> Iterator[Mutation]:
    """Yield deployments with header fields that are wrong."""
    everything: dict[str, Mapping[str, str | None]] = {**FIELDS, **TYPES, **TAGS}
    for name, changed in everything.items():
        change = _setting(changed)
        yield from changing("http, the header of 200", name, change, OK_CONDITIONS, applies=is_ok)
        if name not in TAGS:
            yield from _changing_refusals("http, the header of {}", name, change)
    for name in TWICE:
        repeated, operator = partial(_repeated, name), f"{name} twice"
        yield from changing("http, the header of 200", operator, repeated, OK_CONDITIONS, applies=is_ok)
        yield from changing("http, the header of 401", operator, repeated, ERROR_CONDITIONS, applies=having_status(401))


def _repeated(name: str, message: RawMessage, _: Received) -> RawMessage:
    value = dict(message.headers).get(name, DATES.get(name, "1"))
    return replace(message, headers=(*message.headers, (name, value), (name, value)))


DATES = {"ETag": 'W/"1"', "Last-Modified": "Fri, 01 Jan 2021 00:00:00 GMT", "Location": "/"}

# Each of these lets a shared cache store a response and send it to another client (RFC 9111, section 3).
SHARED: dict[str, Mapping[str, str | None]] = {
    f"Cache-Control: {value}": _set(Cache_Control=value)
    for value in (
        "public", "public, max-age=60", "max-age=1", "max-age=3600", "s-maxage=60", "max-age=0, s-maxage=60",
        "public, immutable", "must-revalidate, max-age=60", "max-age=60, stale-while-revalidate=60",
        "PUBLIC, MAX-AGE=60",
        'max-age="60"', "public,max-age=5", "proxy-revalidate, max-age=9", "max-age=60, no-transform", " max-age=60 ",
        "stale-if-error=60, max-age=60", "max-age=2147483648", "public, s-maxage=1, max-age=0", "foo, max-age=60",
    )
} | {
    "Expires in an hour": _set(Cache_Control=None, Expires="Fri, 15 Jan 2027 09:30:00 GMT"),
    "Expires in ten years": _set(Cache_Control=None, Expires="Thu, 31 Dec 2037 23:55:55 GMT"),
    "Expires with must-revalidate": _set(Cache_Control="must-revalidate", Expires="Thu, 31 Dec 2037 23:55:55 GMT"),
    "public with Vary on Accept-Encoding": _set(Cache_Control="public, max-age=9", Vary="Accept-Encoding"),
    "public with Vary on Authorization": _set(Cache_Control="public, max-age=9", Vary="Authorization"),
    "public with Vary on Origin and Cookie": _set(Cache_Control="public, max-age=9", Vary="Origin, Cookie"),
    "Cache-Control in two fields": _set(Cache_Control="public, max-age=9", cache_control="must-revalidate"),
    "CDN-Cache-Control": _set(Cache_Control="max-age=0, must-revalidate", CDN_Cache_Control="max-age=600"),
    "Surrogate-Control": _set(Cache_Control="max-age=0, must-revalidate", Surrogate_Control="max-age=600"),
}  # fmt: skip


def caching() -> Iterator[Mutation]:
    """Yield deployments that let caches share responses."""
    conditions = (ALWAYS, SECOND_TIME, FIFTH_TIME, SECOND_KEY, REUSED, FRESH)
    for name, changed in SHARED.items():
        change = _setting(changed)
        yield from changing("cache, 200 is shared", name, change, conditions, applies=is_ok)
        yield from _changing_refusals("cache, {} is shared", name, change)


def _setting(fields: Mapping[str, str | None]) -> Change:
    return lambda message, _: with_fields(message, fields)


CacheKey = Callable[[Received], object]
CACHE_KEYS: dict[str, CacheKey] = {
    "the target": lambda received: received.request.raw_path,
    "the path": lambda received: received.path,
    "the query": lambda received: received.query or received.connection.number,
    "the length of the key": lambda received: len(received.key),
    "the first letter of the key": lambda received: received.key[:1],
    "the last two letters of the key": lambda received: received.key[-2:],
    "the first five letters of the key": lambda received: received.key[:5],
    "the key without case": lambda received: received.key.lower(),
    "the key without punctuation": lambda received: re.sub(r"\W", "", received.key),
    "the host": lambda received: received.header("Host"),
    "the user agent": lambda received: received.header("User-Agent"),
    "the accepted coding": lambda received: received.header("Accept-Encoding"),
    "the connection": lambda received: received.connection.number,
    "the origin": lambda received: received.header("Origin") or received.connection.number,
    "whether there is a key": lambda received: bool(received.key),
}
CACHED_WHEN: tuple[Condition, ...] = (
    ALWAYS, WITH_QUERY, WITH_COMPRESSION, BROWSER, OLD_HTTP,
    condition("for static paths", lambda received: bool(re.search(r"\.(css|js|png|ico|txt)$", received.path))),
    condition("with max-stale", lambda received: "max-stale" in received.header("Cache-Control")),
    condition("with If-None-Match", lambda received: bool(received.header("If-None-Match"))),
    condition("with If-Modified-Since", lambda received: bool(received.header("If-Modified-Since"))),
    condition("with a range", lambda received: bool(received.header("Range"))),
)  # fmt: skip
STORED: dict[str, tuple[int, ...]] = {"200": (200,), "errors": (401, 403, 404), "all": (200, 401, 403, 404, 429)}


def shared_caches() -> Iterator[Mutation]:
    """Yield deployments behind a cache whose key lacks the API key."""
    group = "cache, a response is sent to another client"
    for name, stored, seconds in product(CACHE_KEYS, STORED, (1, 10, 3600)):
        for when in CACHED_WHEN if seconds == 10 and name in {"the target", "the path"} else (ALWAYS,):
            build = partial(_behind_cache, CACHE_KEYS[name], STORED[stored], seconds, when)
            yield Mutation(f"{group}: {stored} by {name} for {seconds} s, {when.name}", group, build)


def _behind_cache(key_of: CacheKey, statuses: tuple[int, ...], seconds: int, when: Condition) -> Behaviour:
    holds = when.build()
    cache: dict[object, tuple[float, RawMessage]] = {}

    def change(message: RawMessage, received: Received) -> RawMessage:
        if received.method != "GET" or not holds(received):
            return message
        place = key_of(received)
        since, hit = cache.get(place, (0.0, message))
        if received.now - since < seconds:
            return hit
        if message.status in statuses:
            cache[place] = (received.now, message)
        return message

    return Behaviour(change=change)


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
        return harmed(message, received) if _is_ok_to_get(message, received) and applies(received) else message

    return Behaviour(change=change)


def _swapped(applies: Applies) -> Behaviour:
    def admit(received: Received) -> str | None:
        is_swapped = received.is_valid and received.path == PATH and received.method == "GET" and applies(received)
        return received.keys[1 if received.key == received.keys[0] else 0] if is_swapped else None

    return Behaviour(admit)


Text = Callable[[bytes], bytes]
TEXTS: dict[str, Text] = {
    "empty": lambda _: b"",
    "null": lambda _: b"null",
    "a byte order mark before it": lambda body: b"\xef\xbb\xbf" + body,
    "in UTF-16": lambda body: body.decode().encode("utf-16"),
    "in UTF-32": lambda body: body.decode().encode("utf-32"),
    "in a list": lambda body: b"[" + body + b"]",
    "in a string": lambda body: json.dumps(body.decode()).encode(),
    "in JSONP": lambda body: b"callback(" + body + b");",
    "after an XSSI prefix": lambda body: b")]}',\n" + body,
    "twice": lambda body: body * 2,
    "with a log line": lambda body: body + b"\n2027-01-15 INFO done",
    "with a PHP notice before it": lambda body: b"<br />\n<b>Notice</b>: undefined" + body,
    "with a trailing comma": lambda body: body[:-1] + b",}",
    "with a comment": lambda body: body[:-1] + b"/* end */}",
    "with apostrophes": lambda body: body.replace(b'"', b"'"),
    "with NaN": lambda body: body[:-1] + b',"x":NaN}',
    "with Infinity": lambda body: body[:-1] + b',"x":-Infinity}',
    "with None": lambda body: body[:-1] + b',"x":None}',
    "with a leading plus sign": lambda body: body[:-1] + b',"x":+1}',
    "with a leading zero": lambda body: body[:-1] + b',"x":01}',
    "with a hexadecimal number": lambda body: body[:-1] + b',"x":0x1F}',
    "with a leading dot": lambda body: body[:-1] + b',"x":.5}',
    "with a trailing dot": lambda body: body[:-1] + b',"x":5.}',
    "with a thousands separator": lambda body: body[:-1] + b',"x":1,000}',
    "with an underscore in a number": lambda body: body[:-1] + b',"x":1_000}',
    "with a repeated member": lambda body: body[:-1] + b',"total":1}',
    "with a member without quotation marks": lambda body: body[:-1] + b",x:1}",
    "with a raw line break": lambda body: body[:-1] + b',"x":"a\nb"}',
    "with a raw tab": lambda body: body[:-1] + b',"x":"a\tb"}',
    "with an invalid escape": lambda body: body[:-1] + b',"x":"\\x41"}',
    "with a lone surrogate": lambda body: body[:-1] + b',"x":"\\ud800"}',
    "with invalid UTF-8": lambda body: body[:-1] + b',"x":"\xff"}',
    "with Latin-1": lambda body: body[:-1] + b',"x":"caf\xe9"}',
    "with an overlong encoding": lambda body: body[:-1] + b',"x":"\xc0\xaf"}',
    "with a NUL at the end": lambda body: body + b"\0",
    "with a form feed": lambda body: b"\x0c" + body,
    "without its last brace": lambda body: body[:-1],
    "without its first brace": lambda body: body[1:],
    "without its quotation marks": lambda body: body.replace(b'"', b""),
    "as YAML": lambda _: b"total: 1\n",
    "as XML": lambda _: b"<usage/>",
    "as HTML": lambda _: b"<!doctype html><p>usage</p>",
    "compressed and unlabelled": gzip.compress,
    "deflated and unlabelled": zlib.compress,
    "with very deep nesting": lambda body: body[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "with a huge number": lambda body: body[:-1] + b',"total":1e400}',
    "with a JSON-lines second line": lambda body: body + b'\n{"total":1}',
}
TEXTS_OF_ERRORS = {
    name: text for name, text in TEXTS.items() if name not in {"with a huge number", "with a repeated member"}
} | {
    "without detail": lambda _: b'{"message":"no"}',
    "with an empty detail": lambda _: b'{"detail":""}',
    "with a detail of null": lambda _: b'{"detail":null}',
    "with a detail that is a list": lambda _: b'{"detail":[{"msg":"no"}]}',
    "with a detail that is an object": lambda _: b'{"detail":{"msg":"no"}}',
    "with a detail that is a number": lambda _: b'{"detail":401}',
    "with a nested detail": lambda _: b'{"error":{"detail":"no"}}',
    "with Detail in capitals": lambda _: b'{"Detail":"no"}',
    "as a text": lambda _: b'"no"',
    "as false": lambda _: b"false",
}
DISCLOSURES: dict[str, Callable[[Received], str]] = {
    "the main key": lambda received: received.keys[0],
    "the second key": lambda received: received.keys[1],
    "all keys": lambda received: ", ".join(received.keys),
    "eight characters of the main key": lambda received: received.keys[0][:8],
    "the main key in base64": lambda received: base64.b64encode(received.keys[0].encode()).decode(),
    "the main key in hexadecimal": lambda received: received.keys[0].encode().hex(),
    "the main key in capitals": lambda received: received.keys[0].upper(),
    "the main key percent-encoded": lambda received: "".join(f"%{ord(letter):02x}" for letter in received.keys[0]),
    "a Python traceback": lambda _: (
        'Traceback (most recent call last):\n  File "/app/main.py", line 3, in get\nKeyError: 1'
    ),
    "a Java stack trace": lambda _: "java.lang.NullPointerException\n\tat com.example.Usage.get(Usage.java:42)",
    "a Node stack trace": lambda _: "TypeError: x\n    at get (/srv/app/usage.js:10:5)",
    "a Go panic": lambda _: "panic: runtime error\ngoroutine 1 [running]:\nmain.main()\n\t/app/main.go:3 +0x1d",
    "a Ruby backtrace": lambda _: "app/usage.rb:12:in `get': undefined method (NoMethodError)",
    "a PHP error": lambda _: "Fatal error: Uncaught Error in /var/www/html/usage.php:12",
    "a .NET stack trace": lambda _: (
        "System.NullReferenceException: x\n   at App.Usage.Get() in C:\\src\\Usage.cs:line 12"
    ),
    "a Rust panic": lambda _: (
        "thread 'main' panicked at src/main.rs:10:5:\ncalled `Option::unwrap()` on a `None` value"
    ),
    "an Elixir error": lambda _: (
        "** (KeyError) key :id not found\n    (app 0.1.0) lib/app/usage.ex:12: App.Usage.get/1"
    ),
    "a PostgreSQL error": lambda _: (
        'psycopg2.errors.UndefinedTable: relation "api_keys" does not exist\nLINE 1: SELECT'
    ),
    "a MySQL error": lambda _: (
        "You have an error in your SQL syntax; check the manual that corresponds to your MySQL server"
    ),
    "an SQLite error": lambda _: "sqlite3.OperationalError: no such table: api_keys",
    "an Oracle error": lambda _: "ORA-00942: table or view does not exist",
    "an SQL Server error": lambda _: "Unclosed quotation mark after the character string 'x'.",
    "a MongoDB error": lambda _: "MongoServerError: E11000 duplicate key error collection: prod.api_keys",
    "an SQL statement": lambda _: "SELECT * FROM api_keys WHERE api_key = 'x'",
    "a file of the server": lambda _: "cannot read /etc/usage/keys.json",
    "an environment": lambda _: "DATABASE_URL=postgres://app:s3cret@db.internal:5432/app",
}


def bodies() -> Iterator[Mutation]:
    """Yield deployments with bodies that are not well-formed."""
    conditions = (*OK_CONDITIONS, OTHER_KEYS)
    for name, text in TEXTS.items():
        yield from changing("schema, the body of 200", name, partial(_rewritten, text), conditions, applies=is_ok)
    for name, text in TEXTS_OF_ERRORS.items():
        yield from _changing_refusals("errors, the body of {}", name, partial(_rewritten, text))


def _rewritten(text: Text, message: RawMessage, _: Received) -> RawMessage:
    return replace(message, body=text(message.body))


def disclosures() -> Iterator[Mutation]:
    """Yield deployments that disclose a key or their internals in an error."""
    for name, text_of in DISCLOSURES.items():
        kind = "a key" if "key" in name else "internals"
        changes = {"body": partial(_in_detail, text_of)}
        if kind == "a key":
            changes["header"] = partial(_in_a_field, text_of)
        for status in (401, 403, 404, 405):
            for where, change in changes.items():
                yield from changing(
                    f"errors, a {status} discloses {kind}",
                    f"{name} in the {where}",
                    change,
                    ERROR_CONDITIONS[:2],
                    applies=partial(_has_status, status),
                )


def _has_status(status: int, message: RawMessage, _: Received) -> bool:
    return message.status == status


def _in_detail(text_of: Callable[[Received], str], message: RawMessage, received: Received) -> RawMessage:
    return with_json(message, {"detail": f"The request is refused: {text_of(received)}"})


def _in_a_field(text_of: Callable[[Received], str], message: RawMessage, received: Received) -> RawMessage:
    return with_fields(message, {"X-Trace": text_of(received)})


STATUS_CONDITIONS = (ALWAYS, SECOND_TIME, THIRD_TIME, FIFTH_TIME, ONCE, OTHER_KEYS, REUSED, FRESH)


OK_AS = (
    201, 202, 204, 206, 226, 300, 301, 302, 303, 304, 307, 400, 402, 404, 409, 418, 422, 500, 502, 503, 504, 599,
)  # fmt: skip
REFUSALS_AS = {
    401: (200, 204, 302, 303, 307, 400, 403, 404, 405, 407, 422, 429, 500, 503),
    403: (200, 204, 302, 400, 404, 407, 422, 500, 503),
}


def statuses() -> Iterator[Mutation]:
    """Yield deployments whose status is another one."""
    for status in OK_AS:
        change = partial(_with_other_status, status)
        yield from changing("auth, a valid key", f"gets {status}", change, STATUS_CONDITIONS, applies=is_ok)
    for old, others in REFUSALS_AS.items():
        what = "a missing key" if old == 401 else "an unknown key"
        for status in others:
            change = partial(_refused_with, status)
            applies = having_status(old)
            conditions = ERROR_CONDITIONS[: 1 if status == 429 else None]  # callers that guess keys may be throttled
            yield from changing(f"auth, {what}", f"gets {status}", change, conditions, applies=applies)


def _with_other_status(status: int, message: RawMessage, _: Received) -> RawMessage:
    return with_status(message, status) if status > 399 else replace(message, status=status, reason="")


def _refused_with(status: int, message: RawMessage, _: Received) -> RawMessage:
    changed = with_status(message, status)
    fields = {"Location": "/login" if 300 <= status < 400 else None, "Allow": "GET" if status == 405 else None}
    return replace(with_fields(changed, fields), body=b"" if status == 204 else changed.body)


def of_messages() -> Iterator[Mutation]:
    """Yield all mutations of messages."""
    return chain(framings(), fields(), caching(), shared_caches(), harms(), bodies(), disclosures(), statuses())
