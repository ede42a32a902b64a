"""Ways around the key header that no rule looks for: no request of a run receives usage metrics without a valid key."""

from __future__ import annotations

from contract_tests.support.findings import Finding, Findings
from contract_tests.support.gate import Gate
from contract_tests.support.rules import KEY_NEEDED, documented
from contract_tests.wire.messages import SUCCESSES, Exchanges


@documented(
    KEY_NEEDED,
    repeats=[
        "auth/missing-key-is-401",
        "auth/empty-key-is-refused",
        "auth/unknown-key-is-refused",
        "auth/unknown-key-from-any-client-is-refused",
        "auth/similar-key-is-refused",
        "auth/key-with-one-edit-is-refused",
        "auth/wildcard-or-injection-is-refused",
        "auth/malformed-key-is-refused",
        "auth/repeated-wrong-key-is-refused",
        "bypass/key-in-the-query-is-not-accepted",
        "bypass/key-in-another-header-is-not-accepted",
        "bypass/wrong-key-is-not-replaced",
        "bypass/response-cookie-is-not-accepted",
        "bypass/key-in-path-or-body-is-not-accepted",
        "bypass/claims-do-not-authenticate",
        "bypass/other-spelling-of-the-path-needs-a-key",
        "bypass/other-route-needs-a-key",
        "bypass/other-method-needs-a-key",
        "bypass/connection-field-does-not-authenticate",
        "bypass/http-1-0-needs-a-key",
        "bypass/connection-does-not-authenticate",
        "keys/concurrent-clients-are-kept-apart",
        "keys/cached-response-is-not-shared",
        "http/split-and-pipelined-requests-are-separate",
        "robustness/malformed-requests-do-no-harm",
    ],
    reads=["unknown key"],
)
def test_metrics_need_a_valid_key(gate: Gate, journal: Exchanges) -> Findings:
    """A 2xx response MUST NOT be usage metrics unless the key header of its request contains a valid key.

    This holds for any method, path, time and other content of the request.
    """
    keys = gate.settings.keys
    for exchange in journal:
        request = exchange.request
        # Bytes around a valid key, and a second key header, are matters of other rules.
        sent = b"\n".join(value for name, value in request.fields if _is_like(name, gate.key_header))
        needs_key = not any(key.value in sent for key in keys) and not gate.is_public(request)
        is_read = exchange.status in SUCCESSES and not exchange.abridged
        # A page about the operation may have these names further inside.
        if needs_key and is_read and len(gate.members & exchange.object.keys()) > 1:
            yield Finding("the response to a request without a valid key contains usage metrics", exchange)


def _is_like(name: bytes, header: str) -> bool:
    return name.strip().lower().replace(b"_", b"-") == header.lower().encode()
