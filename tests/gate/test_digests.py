"""Digests of bodies in header fields: only one that is not that of the body is reported."""

from __future__ import annotations

import base64
import gzip
import hashlib

import pytest

from contract_tests import test_http_fields as rules
from contract_tests.wire.messages import Exchange, Request

BODY = b'{"total": 1}'
SHA_256 = "RRLYPH0TQ9l1dNeTN7ZPPtTbHb67CHdMaqim7EDgZIQ="


def exchange_with(name: str, value: str, payload: bytes = BODY) -> Exchange:
    coding = (("Content-Encoding", b"gzip"),) if payload != BODY else ()
    fields = (("Content-Type", b"application/json"), *coding, (name, value.encode()))
    return Exchange(Request("GET", b"/usage", ()), 200, fields=fields, payload=payload, ending="complete")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Content-Digest", f"sha-256=:{SHA_256}:"),
        ("Repr-Digest", f"unixsum=:AAA=:, sha-256=:{SHA_256}:"),
        ("Digest", f"SHA-256={SHA_256},MD5=C7LClUc8iPQ5cEv6uOkX1A=="),
        ("Content-MD5", "C7LClUc8iPQ5cEv6uOkX1A=="),
    ],
)
def test_the_digest_of_the_body_is_accepted(name: str, value: str) -> None:
    assert list(rules.test_digests_match_the_body([exchange_with(name, value)])) == []


def test_a_digest_is_that_of_the_compressed_body() -> None:
    payload = gzip.compress(BODY, mtime=0)
    digest = base64.b64encode(hashlib.sha256(payload).digest()).decode()
    compressed = exchange_with("Content-Digest", f"sha-256=:{digest}:", payload)
    assert list(rules.test_digests_match_the_body([compressed])) == []
    both = exchange_with("Digest", f"SHA-256={digest},id-sha-256={SHA_256}", payload)
    assert list(rules.test_digests_match_the_body([both])) == []
    plain = exchange_with("Content-Digest", f"sha-256=:{SHA_256}:", payload)
    (finding,) = rules.test_digests_match_the_body([plain])
    assert (finding.problem, finding.expected) == ("Content-Digest is that of another body", digest)
