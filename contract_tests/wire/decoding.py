"""Content codings of a body, undone."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from functools import partial

import brotli

from contract_tests.wire.limits import KEPT, LARGEST_BODY

GZIP_MEMBER = b"\x1f\x8b"  # RFC 1952, section 2.2: there may be several
MOST_MEMBERS = 100
ZSTD_MAGIC = re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")  # RFC 8878, sections 3.1.1 and 3.1.2
GZIP, DEFLATE = (31,), (15, -15)  # zlib's window bits: gzip; zlib, and the raw deflate that some servers send instead


def is_raw_deflate(data: bytes) -> bool:
    """Whether compressed bytes lack the zlib format that `deflate` has (RFC 9110, section 8.4.1.2)."""
    try:
        zlib.decompressobj().decompress(data, 1)
    except zlib.error:
        return True
    return False


def begins_as_zstd(data: bytes) -> bool:
    """Whether bytes begin like a zstd frame, which the gate does not decode."""
    return ZSTD_MAGIC.match(data) is not None


def _unbrotli(data: bytes) -> tuple[bytes, str]:
    decoder = brotli.Decompressor()
    try:
        body = decoder.process(data, output_buffer_limit=LARGEST_BODY + 1)
    except brotli.error as error:
        return data, str(error)
    if len(body) > LARGEST_BODY:
        return body[:KEPT], f"it unpacks to more than {LARGEST_BODY} bytes"
    return body, "" if decoder.is_finished() else "it is cut short"


def _inflate(data: bytes, formats: tuple[int, ...]) -> tuple[bytes, str]:
    for wbits in formats:
        try:
            return _inflated(data, wbits)
        except zlib.error as error:
            problem = str(error)
    return data, problem


def _inflated(data: bytes, wbits: int) -> tuple[bytes, str]:
    body = bytearray()
    for _ in range(MOST_MEMBERS):
        inflater = zlib.decompressobj(wbits)
        body += inflater.decompress(data, LARGEST_BODY + 1 - len(body))
        if len(body) > LARGEST_BODY:
            return bytes(body[:KEPT]), f"it unpacks to more than {LARGEST_BODY} bytes"
        if not inflater.eof:
            return bytes(body), "it is cut short"
        data = inflater.unused_data
        if wbits not in GZIP or not data.startswith(GZIP_MEMBER):
            return bytes(body), "more bytes follow its end" if data.strip(b"\0") else ""
    return bytes(body), f"it has more than {MOST_MEMBERS} members"


_gunzip = partial(_inflate, formats=GZIP)
# Functions that undo a content coding. Each returns the decoded body, and why it is incomplete, or an empty text.
DECODERS: Mapping[str, Callable[[bytes], tuple[bytes, str]]] = {
    "br": _unbrotli,
    "deflate": partial(_inflate, formats=DEFLATE),
    "gzip": _gunzip,
    "x-gzip": _gunzip,
}
