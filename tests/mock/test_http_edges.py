"""Edges of HTTP: versions, targets without a path, half-closed connections, encoded paths, and names in domains."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mock_server import FixtureError, UsageMock, load_deployment, make_app
from mock_server.fixtures.files import shipped_fixtures
from mock_server.options import MockOptions
from tests.support.control_api import Api
from tests.support.wire import TIMEOUT, address, send, send_request, usage
from usage_contract import Contract

FIELDS = b"Host: localhost\r\nX-API-Key: demo-busy\r\n"


@pytest.fixture
def mock(contract: Contract) -> Iterator[UsageMock]:
    with UsageMock(make_app(contract, MockOptions(rate_limit=False))) as mock:
        yield mock


def exchange_half_closed(mock: UsageMock, requests: bytes) -> bytes:
    """Send requests, half-close the connection, and return all bytes until the server closes it."""
    with socket.create_connection(address(mock.url), TIMEOUT) as client:
        client.sendall(requests)
        client.shutdown(socket.SHUT_WR)
        return client.makefile("rb").read()


@pytest.mark.parametrize(
    "version", [b"", b" HTTP/0.9", b" HTTP/2.0", b" HTTP/1.2", b" HTTP/3.0", b" http/1.1", b" H/1.1"]
)
@pytest.mark.parametrize("path", [b"/usage", b"/healthz", b"/nowhere", b"/__mock__/state"])
def test_an_unsupported_version_is_malformed(mock: UsageMock, path: bytes, version: bytes) -> None:
    response = send(mock.url, b"GET %b%b\r\n%b\r\n" % (path, version, FIELDS))
    assert (response.status, response.headers["Mock-Reason"]) == (400, "malformed-request")
    assert [entry.reason for entry in mock.requests] == ["malformed-request"]


@pytest.mark.parametrize("version", [b" HTTP/0.9", b" HTTP/2.0"])
def test_a_response_to_an_unsupported_version_has_a_version_of_the_server(mock: UsageMock, version: bytes) -> None:
    assert exchange_half_closed(mock, b"GET /usage%b\r\n%b\r\n" % (version, FIELDS)).startswith(
        b"HTTP/1.1 400 Bad Request\r\n"
    )


@pytest.mark.parametrize(
    "target", ["http://localhost", "http://localhost?a=b", "HTTP://localhost", "http://localhost/"]
)
def test_an_absolute_target_without_a_path_is_the_root(mock: UsageMock, target: str) -> None:
    assert send_request(mock.url, target).json == send_request(mock.url, "/").json
    assert mock.requests[0].target == target


def test_a_half_closed_client_gets_its_response(mock: UsageMock) -> None:
    head, _, body = exchange_half_closed(mock, b"GET /usage HTTP/1.1\r\n%b\r\n" % FIELDS).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert json.loads(body)["api_key"] == "demo-busy"
    assert [entry.status for entry in mock.requests] == [200]


def test_a_half_closed_client_gets_all_responses_to_pipelined_requests(mock: UsageMock) -> None:
    request = b"GET /usage?%d HTTP/1.1\r\n%b\r\n"
    received = exchange_half_closed(mock, b"".join(request % (number, FIELDS) for number in range(10)))
    assert len(re.findall(rb"HTTP/1\.1 200 OK", received)) == len(mock.requests) == 10


def test_a_half_closed_client_gets_a_delayed_and_a_dripping_response(mock: UsageMock) -> None:
    mock.delay("0.05")
    assert exchange_half_closed(mock, b"GET /usage HTTP/1.1\r\n%b\r\n" % FIELDS).startswith(b"HTTP/1.1 200 OK\r\n")
    request = b"GET /usage HTTP/1.1\r\n%bPrefer: fault=body-is-null\r\n\r\n" % FIELDS
    assert exchange_half_closed(mock, request).endswith(b"\r\n\r\nnull")


def test_a_half_closed_client_gets_the_refusal_of_a_malformed_request(mock: UsageMock) -> None:
    assert exchange_half_closed(mock, b"GET /usage HTTP/1.1\r\nHost localhost\r\n\r\n").startswith(b"HTTP/1.0 400 ")


def test_a_half_closed_client_of_the_control_api_gets_its_response(mock: UsageMock) -> None:
    request = b"GET /__mock__/clock HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert exchange_half_closed(mock, request).startswith(b"HTTP/1.1 200 OK\r\n")


JSON = b"Host: localhost\r\nContent-Type: application/json\r\n"

WITHOUT_AN_END = {
    "an incomplete head": b"GET /usage HTTP/1.1\r\nHost: loc",
    "an incomplete body": b"POST /__mock__/verify HTTP/1.1\r\n%bContent-Length: 9\r\n\r\n{" % JSON,
    "a stream of events": b"GET /__mock__/events HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a response that is never sent": b"GET /usage HTTP/1.1\r\n%bPrefer: fault=response-is-never-sent\r\n\r\n" % FIELDS,
    "a body that never ends": b"GET /usage HTTP/1.1\r\n%bPrefer: fault=body-never-ends\r\n\r\n" % FIELDS,
}


@pytest.mark.parametrize("case", WITHOUT_AN_END)
def test_a_half_closed_connection_without_a_response_to_finish_is_closed(mock: UsageMock, case: str) -> None:
    assert exchange_half_closed(mock, WITHOUT_AN_END[case]).count(b"HTTP/1.1 ") <= 1  # without a close this times out


def test_a_half_closed_client_does_not_prevent_a_close() -> None:
    mock = UsageMock(delay=3600).start()
    with socket.create_connection(address(mock.url), TIMEOUT) as client:
        client.sendall(b"GET /usage HTTP/1.1\r\n%b\r\n" % FIELDS)
        client.shutdown(socket.SHUT_WR)
        assert send_request(mock.url, "/healthz").status == 200
        mock.close()
        assert client.recv(1) == b""


@pytest.mark.parametrize(
    "path",
    [
        "/__mock__%2Fstate",
        "/__mock__%2fstate",
        "/%5F%5Fmock__/state",
        "/%5f_mock__%2Fstate",
        "//__mock__/state",
        "/.//__mock__/state",
    ],
)
def test_an_encoded_path_does_not_reach_the_control_api(mock: UsageMock, path: str) -> None:
    assert send_request(mock.url, path).status == 404
    assert "keys" not in send_request(mock.url, path).json
    assert len(mock.requests) == 2


def test_an_encoded_path_changes_nothing(mock: UsageMock) -> None:
    mock.answer(503)
    assert (
        send(mock.url, b"POST /__mock__%2Freset HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").status == 404
    )
    assert usage(mock.url, "demo-busy").status == 503


# Characters that control a terminal, end a line, or are invisible.
INVISIBLE = "\x00\x1b\x7f\x80\x85\x9b\xa0\u200b\u200e\u2028\u2029\u202e\u2066\ufeff\ud800\udcff"


def schema_pattern() -> str:
    schema = json.loads((shipped_fixtures() / "deployment.schema.json").read_bytes())
    return str(schema["$defs"]["domain"]["pattern"])


@pytest.mark.parametrize(("length", "is_valid"), [(253, True), (254, False)])
def test_a_domain_has_the_same_longest_length_everywhere(mock: UsageMock, length: int, is_valid: bool) -> None:
    domain = "a" * length
    calls: list[Callable[[], object]] = [
        lambda: mock.record(domain),
        lambda: mock.make_key(traffic={domain: {"fetch": {"requests": 1}}}),
        lambda: mock.make_key(growth={domain: {"fetch": {"requests": 1}}}),
    ]
    for call in calls:
        with nullcontext() if is_valid else pytest.raises(ValueError, match="at most 253 characters"):
            call()
    status = Api(mock.url).request("POST", "/traffic", {"key": "demo-busy", "domain": domain}).status
    assert status == (204 if is_valid else 422)


@pytest.mark.parametrize("character", INVISIBLE, ids=ascii)
def test_an_invisible_character_in_a_domain_is_rejected_everywhere(
    mock: UsageMock, tmp_path: Path, character: str
) -> None:
    domain = f"shop{character}.example"
    with pytest.raises(ValueError, match="invisible characters"):
        mock.record(domain)
    status, detail = Api(mock.url).refused("POST", "/traffic", {"key": "demo-busy", "domain": domain})
    assert status in (400, 422), detail
    (tmp_path / "deployments").mkdir()
    escaped = f"\\u{ord(character):04x}"
    text = f'description: d\nkeys: {{k: {{traffic: {{"shop{escaped}.example": {{fetch: {{requests: 1}}}}}}}}}}\n'
    (tmp_path / "deployments" / "default.yaml").write_text(text)
    with pytest.raises(FixtureError):
        load_deployment("default", tmp_path)
    assert usage(mock.url, "demo-busy").status == 200


@pytest.mark.parametrize(
    "domain", ["shop.example", "b\u00fccher.example", "xn--bcher-kva.example", "\u4f8b\u5b50.\u6d4b\u8bd5", "a_b"]
)
def test_a_domain_of_any_script_is_accepted(mock: UsageMock, domain: str) -> None:
    mock.record(domain, key="demo-fresh")
    Api(mock.url).do("POST", "/traffic", {"key": "demo-fresh", "domain": domain})
    assert usage(mock.url, "demo-fresh").json["top_domains"] == [{"domain": domain, "requests": 2}]


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=10))
def test_an_accepted_domain_is_printable_or_a_private_or_unassigned_character(domain: str) -> None:
    if re.search(schema_pattern(), domain):
        assert not re.search(r"[\x00-\x20\x7f-\x9f\u2028\u2029]", domain)
        assert len(domain.splitlines()) == 1


@pytest.mark.parametrize(
    ("request_bytes", "status", "reason"),
    [
        (b"GET /usage HTTP/1.1\r\nX-API-Key: demo-busy\r\n\r\n", 400, "malformed-request"),
        (b"FOO /usage HTTP/1.1\r\n%b\r\n" % FIELDS, 400, "malformed-request"),
        (b"GET /%b HTTP/1.1\r\n%b\r\n" % (b"x" * 70_000, FIELDS), 414, "target-is-too-long"),
    ],
    ids=["no host", "unknown method", "long target"],
)
def test_a_rejected_request_is_in_the_journal_and_in_the_metrics(
    mock: UsageMock, request_bytes: bytes, status: int, reason: str
) -> None:
    assert send(mock.url, request_bytes).status == status
    [entry] = mock.requests_of(reason=reason)
    assert (entry.method, entry.target, entry.key, entry.status) == ("UNKNOWN", "", "", status)
    assert (entry.request.headers, entry.request.is_complete) == ((), False)
    assert json.loads(entry.response.body)["detail"]
    [view] = Api(mock.url).get("/journal")["entries"]
    assert (view["curl"], view["reason_text"] != "") == ("", True)
    count = f'method="UNKNOWN",reason="{reason}",status="{status}"'
    assert count in send_request(mock.url, "/__mock__/metrics").body.decode()


def test_a_request_with_an_unsupported_version_is_in_the_journal(mock: UsageMock) -> None:
    send(mock.url, b"GET /usage HTTP/0.9\r\n%b\r\n" % FIELDS)
    assert [(entry.method, entry.target, entry.status) for entry in mock.requests] == [("GET", "/usage", 400)]
