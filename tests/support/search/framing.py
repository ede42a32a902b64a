"""Mutations of the framing of messages: malformed and incomplete ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from mock_server.fixtures.edits import End
from mock_server.web.raw_response import RawMessage
from tests.support.search.mutations import OK_CONDITIONS, Mutation, changing, changing_refusals, is_ok_to_get
from tests.support.search.served import Received, with_bytes

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


def framings() -> Iterator[Mutation]:
    """Yield deployments whose messages are malformed or incomplete."""
    for name, (write, end) in FRAMINGS.items():
        change = partial(_framed, write, end)
        yield from changing("http, the framing of 200", name, change, OK_CONDITIONS, applies=is_ok_to_get)
        yield from changing_refusals("http, the framing of {}", name, change)


def _framed(write: Bytes, end: End, message: RawMessage, received: Received) -> RawMessage:
    return with_bytes(replace(message, end=end), received, write)
