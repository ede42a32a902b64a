"""GET /usage over real sockets: keys, usage metrics and rate limits."""

from __future__ import annotations

import contextlib
import http.client
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mock_server import UsageMock, load_deployment, make_app
from mock_server.options import MockOptions
from tests.support.wire import KEY, TIMEOUT, Clock, address, send, send_request, usage
from usage_contract import Contract

VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=60)


def test_a_known_key_gets_its_usage_metrics(unlimited: UsageMock) -> None:
    response = usage(unlimited.url, "demo-modest")
    assert response.status == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.json["api_key"] == "demo-modest"
    assert response.json["total"] == 3459
    assert response.json["rate_limit"] == {"rps": 10.0, "burst": 10, "remaining": 10.0}


def test_the_usage_metrics_of_an_unused_key_are_zero(unlimited: UsageMock) -> None:
    metrics = usage(unlimited.url, "demo-fresh").json
    assert [metrics[name] for name in ("total", "success", "fail", "bytes_transferred")] == [0, 0, 0, 0]
    assert metrics["success_rate"] == 0.0
    assert metrics["by_protocol"] == {"fetch": 0, "ws": 0, "amqp": 0}
    assert metrics["top_domains"] == []


def test_a_request_does_not_change_the_counters(unlimited: UsageMock) -> None:
    assert usage(unlimited.url, "demo-busy").body == usage(unlimited.url, "demo-busy").body


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(KEY, "")],
        [(KEY, "   ")],
        [(KEY, "\t")],
        [(KEY, "\u00a0".encode())],
        [(KEY, "demo-busy"), (KEY, "demo-busy")],
        [(KEY, "demo-busy"), (KEY.lower(), "nobody")],
        [("Authorization", "demo-busy")],
        [("Authorization", "ApiKey demo-busy")],
        [("Authorization", "Bearer demo-busy")],
        [("Cookie", f"{KEY}=demo-busy")],
        [("X-API-Key-2", "demo-busy")],
        [("X_API_Key", "demo-busy")],
    ],
    ids=str,
)
def test_a_request_without_exactly_one_key_in_its_header_is_401(
    unlimited: UsageMock, headers: list[tuple[str, str | bytes]]
) -> None:
    response = send_request(unlimited.url, headers=headers)
    assert response.status == 401
    assert response.json == {"detail": "Missing or invalid API key."}
    assert response.headers["WWW-Authenticate"] == 'ApiKey realm="usage"'


REASONS: dict[str, tuple[str, list[tuple[str, str | bytes]], str]] = {
    "without a key": ("/usage", [], "missing-key"),
    "an empty key": ("/usage", [(KEY, "  ")], "missing-key"),
    "as Bearer in Authorization": ("/usage", [("Authorization", "Bearer demo-busy")], "key-in-authorization"),
    "in the query": ("/usage?api_key=demo-busy", [], "key-in-query"),
    "a known key in any parameter": ("/usage?x=demo-busy", [], "key-in-query"),
    "another parameter": ("/usage?page=2", [], "missing-key"),
    "twice": ("/usage", [(KEY, "demo-busy"), (KEY, "demo-busy")], "key-is-repeated"),
    "quoted": ("/usage", [(KEY, '"demo-busy"')], "key-is-quoted"),
    "quoted with typographic marks": ("/usage", [(KEY, "\u201cdemo-busy\u201d".encode())], "key-is-quoted"),
    "with Bearer before it": ("/usage", [(KEY, "Bearer demo-busy")], "key-has-a-scheme"),
    "with its name before it": ("/usage", [(KEY, "X-API-Key: demo-busy")], "key-has-a-scheme"),
    "with spaces": ("/usage", [(KEY, "demo -busy")], "key-has-spaces"),
    "with a no-break space": ("/usage", [(KEY, "demo-busy\u00a0".encode())], "key-has-spaces"),
    "unknown": ("/usage", [(KEY, "nobody")], "unknown-key"),
    "a valid key beside Authorization": ("/usage", [("Authorization", "Basic eDp5"), (KEY, "demo-busy")], ""),
}


@pytest.mark.parametrize("case", REASONS)
def test_the_reason_states_why_a_key_is_refused(unlimited: UsageMock, case: str) -> None:
    target, headers, reason = REASONS[case]
    for _ in range(2):
        assert send_request(unlimited.url, target, headers).headers.get("Mock-Reason", "") == reason


def test_the_reason_is_the_same_for_a_repeated_request(unlimited: UsageMock) -> None:
    with contextlib.closing(http.client.HTTPConnection(*address(unlimited.url), timeout=TIMEOUT)) as connection:
        for target, headers, reason in REASONS.values():
            for _ in range(3):
                connection.putrequest("GET", target)
                for name, value in headers:
                    connection.putheader(name, value)
                connection.endheaders()
                response = connection.getresponse()
                response.read()
                assert response.headers.get("Mock-Reason", "") == reason


@pytest.mark.parametrize("name", ["api_key", "X-API-Key", "x-api-key", "key"])
def test_a_key_in_the_query_does_not_authenticate(unlimited: UsageMock, name: str) -> None:
    assert send_request(unlimited.url, f"/usage?{name}=demo-busy").status == 401


@pytest.mark.parametrize(
    "key",
    [
        b"nobody",
        b"demo-bus",
        b"demo-busyy",
        b"Demo-Busy",
        b"demo-busy,demo-busy",
        b'"demo-busy"',
        b"demo busy",
        b"demo-busy\xff",
        "d\u00e9mo-busy".encode(),
        "\u2603".encode(),
        b"\x80\x81",
        b"null",
        b"' OR 1=1 --",
        b"../../etc/passwd",
        b"%64emo-busy",
        b"x" * 60_000,
    ],
    ids=lambda key: repr(key[:20]),
)
def test_an_unknown_key_is_403(unlimited: UsageMock, key: bytes) -> None:
    response = send_request(unlimited.url, headers=[(KEY, key)])
    assert response.status == 403
    assert response.json == {"detail": "Invalid API key."}


@settings(derandomize=True, deadline=None)
@given(VISIBLE)
def test_only_a_whole_key_is_known(unlimited: UsageMock, key: str) -> None:
    assert usage(unlimited.url, key).status == (200 if key in unlimited.keys else 403)


@pytest.mark.parametrize("name", ["x-api-key", "X-API-KEY", "x-Api-kEy"])
def test_the_name_of_the_header_is_case_insensitive(unlimited: UsageMock, name: str) -> None:
    assert send_request(unlimited.url, headers=[(name, "demo-busy")]).status == 200


def test_an_unknown_key_can_be_401_with_a_challenge(contract: Contract) -> None:
    with UsageMock(make_app(contract, MockOptions(unknown_key_status=401))) as mock:
        response = usage(mock.url, "nobody")
    assert response.status == 401
    assert "WWW-Authenticate" in response.headers


def test_no_response_of_usage_may_be_stored(limited: UsageMock) -> None:
    responses = [usage(limited.url, "demo-busy") for _ in range(11)]
    responses += [send_request(limited.url), usage(limited.url, "nobody")]
    responses += [usage(limited.url, "demo-fresh", method) for method in ("HEAD", "OPTIONS", "POST")]
    assert {response.status for response in responses} == {200, 204, 401, 403, 405, 429}
    assert {response.headers["Cache-Control"] for response in responses} == {"no-store"}


def test_each_request_takes_a_token_and_time_restores_them(limited: UsageMock, clock: Clock) -> None:
    def remaining() -> float:
        left: float = usage(limited.url, "demo-busy").json["rate_limit"]["remaining"]
        return left

    assert [remaining(), remaining()] == [9.0, 8.0]
    clock.now += 0.03
    assert remaining() == 7.3
    clock.now += 3600
    assert remaining() == 9.0


def test_head_takes_a_token_and_options_takes_none(limited: UsageMock) -> None:
    usage(limited.url, "demo-busy", "OPTIONS")
    usage(limited.url, "demo-busy", "HEAD")
    assert usage(limited.url, "demo-busy").json["rate_limit"]["remaining"] == 8.0


def test_over_the_limit_is_429_with_the_documented_headers(limited: UsageMock) -> None:
    responses = [usage(limited.url, "demo-busy") for _ in range(11)]
    assert [response.status for response in responses] == [200] * 10 + [429]
    refused = responses[-1]
    assert refused.json == {"detail": "Over the key's rate limit."}
    assert refused.headers["Retry-After"] == "1"
    assert refused.headers["X-RateLimit-Limit"] == "10"
    assert refused.headers["X-RateLimit-Remaining"] == "0"


def test_waiting_for_retry_after_is_enough(limited: UsageMock, clock: Clock) -> None:
    while (response := usage(limited.url, "demo-busy")).status == 200:
        pass
    clock.now += int(response.headers["Retry-After"])
    assert usage(limited.url, "demo-busy").status == 200


def test_each_key_has_a_separate_bucket(limited: UsageMock) -> None:
    while usage(limited.url, "demo-busy").status == 200:
        pass
    assert usage(limited.url, "demo-modest").json["rate_limit"]["remaining"] == 9.0


def test_a_refused_key_takes_no_token(limited: UsageMock) -> None:
    send_request(limited.url, headers=[(KEY, "demo-busy"), (KEY, "demo-busy")])
    usage(limited.url, "demo-busy ,")
    assert usage(limited.url, "demo-busy").json["rate_limit"]["remaining"] == 9.0


def test_the_bucket_stays_full_without_a_limit(unlimited: UsageMock) -> None:
    responses = [usage(unlimited.url, "demo-busy") for _ in range(30)]
    assert {(response.status, response.json["rate_limit"]["remaining"]) for response in responses} == {(200, 10.0)}


def test_a_bucket_that_never_refills_has_the_retry_after_of_the_vendor(contract: Contract, deployments: Path) -> None:
    (deployments / "dry.yaml").write_text("description: d\nkeys: {k: {rate_limit: {rps: 0, burst: 1}}}\n")
    with UsageMock(make_app(contract, deployment=load_deployment("dry", deployments.parent))) as mock:
        responses = [usage(mock.url, "k") for _ in range(2)]
    assert [response.status for response in responses] == [200, 429]
    assert responses[1].headers["Retry-After"] == "1"
    assert responses[1].headers["X-RateLimit-Limit"] == "0"


def test_a_fractional_limit_is_returned_with_its_fraction(contract: Contract, deployments: Path) -> None:
    (deployments / "slow.yaml").write_text("description: d\nkeys: {k: {rate_limit: {rps: 0.25, burst: 1}}}\n")
    with UsageMock(make_app(contract, deployment=load_deployment("slow", deployments.parent), clock=Clock())) as mock:
        usage(mock.url, "k")
        refused = usage(mock.url, "k")
    assert refused.headers["X-RateLimit-Limit"] == "0.25"
    assert refused.headers["Retry-After"] == "4"


def test_a_key_may_hold_any_visible_character(contract: Contract, deployments: Path) -> None:
    key = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ x"
    (deployments / "odd.yaml").write_text("description: d\nkeys: {'" + key.replace("'", "''") + "': {}}\n")
    with UsageMock(make_app(contract, deployment=load_deployment("odd", deployments.parent))) as mock:
        assert usage(mock.url, key).json["api_key"] == key


def test_spaces_around_a_key_are_not_part_of_the_key(unlimited: UsageMock) -> None:
    response = send(unlimited.url, b"GET /usage HTTP/1.1\r\nHost: x\r\nX-API-Key: \t demo-busy \t\r\n\r\n")
    assert response.status == 200
