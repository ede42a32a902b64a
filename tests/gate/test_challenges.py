"""The authentication schemes that a WWW-Authenticate field names."""

from __future__ import annotations

import pytest

from contract_tests.wire.challenges import schemes


@pytest.mark.parametrize(
    ("challenge", "named"),
    [
        ("ApiKey", {"apikey"}),
        ('ApiKey realm="usage"', {"apikey"}),
        ('Basic realm="usage, metrics"', {"basic"}),
        ('Basic realm="a \\"quoted\\", name", charset="UTF-8"', {"basic"}),
        ('bearer realm = "usage", error="invalid_token", Negotiate', {"bearer", "negotiate"}),
        ("Negotiate YIIJvwYGKwYBBQUCoIIJszCCCa+=, NTLM", {"negotiate", "ntlm"}),
        ('Basic realm="x", ApiKey header="X-API-Key"', {"basic", "apikey"}),
        (" , Digest nonce=abc ,", {"digest"}),
        ("", set()),
    ],
)
def test_each_scheme_is_named_once(challenge: str, named: set[str]) -> None:
    assert schemes(challenge) == named
