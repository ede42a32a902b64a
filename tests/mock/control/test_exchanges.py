"""The whole exchange in the journal: header fields and bodies, masked and bounded, and curl commands."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
from typing import Any

import pytest

from mock_server import UsageMock
from mock_server.journal.entry import MAX_MESSAGE, MAX_TEXT, Entry
from mock_server.masking import mask_key
from mock_server.web import recording
from mock_server.web.reasons import SENTENCES
from tests.support.control_api import Api
from tests.support.wire import KEY, TIMEOUT, address, send, send_request, usage

BUSY = "demo-busy"
HEAD = b"Host: x\r\nConnection: close\r\n"


def post(url: str, body: bytes, headers: dict[str, str] | None = None, method: str = "POST") -> int:
    with contextlib.closing(http.client.HTTPConnection(*address(url), timeout=TIMEOUT)) as connection:
        connection.request(method, "/usage", body, headers or {})
        response = connection.getresponse()
        response.read()
        return response.status


def test_an_entry_has_the_whole_exchange(limited: UsageMock) -> None:
    response = send_request(limited.url, headers=[(KEY, BUSY), ("X-Trace", "t-17"), ("x-trace", "t-18")])
    [entry] = limited.requests
    assert entry.request.values("X-Trace") == ["t-17", "t-18"]
    assert entry.request.values("x-api-key") == [BUSY]
    assert entry.response.body == response.body
    assert list(entry.response.headers) == response.headers.items()
    assert entry.request.is_complete and entry.response.is_complete


@pytest.mark.parametrize(
    "target", ["/usage/MY-SECRET-KEY-77", "/MY-SECRET-KEY-77?a=MY-SECRET-KEY-77", "/usage?my-Secret-key-77"]
)
def test_a_key_in_another_case_is_masked(limited: UsageMock, target: str) -> None:
    limited.make_key(key="my-secret-key-77")
    send_request(limited.url, target)
    [view] = Api(limited.url).get("/journal?number=1")["entries"]
    assert "secret-key" not in f"{view} {limited.requests}".lower()


def test_repeated_requests_have_complete_exchanges(limited: UsageMock) -> None:
    with contextlib.closing(http.client.HTTPConnection(*address(limited.url), timeout=TIMEOUT)) as connection:
        responses = []
        for key in (BUSY, BUSY, "demo-modest", "nobody"):
            connection.request("GET", "/usage", headers={KEY: key, "X-Trace": "t-17"})
            response = connection.getresponse()
            responses.append((response.getheaders(), response.read()))
    first, *others = limited.requests
    for entry, (headers, body) in zip((first, *others), responses, strict=True):
        assert (list(entry.response.headers), entry.response.body) == (headers, body)
        assert [name for name, _ in entry.request.headers] == [name for name, _ in first.request.headers]
        assert entry.request.values(KEY) == [entry.key]


@pytest.mark.parametrize("method", ["POST", "PUT", "GET"])
@pytest.mark.parametrize("body", [b"{}", bytes(range(256)), b"x" * MAX_MESSAGE * 3], ids=["text", "binary", "long"])
def test_the_body_of_a_request_is_kept_up_to_a_bound(limited: UsageMock, method: str, body: bytes) -> None:
    post(limited.url, body, {"Content-Type": "application/json"}, method)
    kept = limited.requests[-1].request
    assert body.startswith(kept.body)
    assert kept.is_complete == (kept.body == body)
    assert kept.is_complete or MAX_MESSAGE * 0.9 < len(kept.body) <= MAX_MESSAGE


def test_a_chunked_body_is_kept_without_its_framing(limited: UsageMock) -> None:
    head = b"POST /usage HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HEAD
    send(limited.url, head + b"\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
    assert limited.requests[-1].request.body == b"abc"


def test_a_body_that_does_not_arrive_is_incomplete(limited: UsageMock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "BODY_TIMEOUT", 0.01)
    assert send(limited.url, b"POST /usage HTTP/1.1\r\nContent-Length: 9\r\n" + HEAD + b"\r\nabc").status == 405
    assert limited.requests[-1].request.is_complete is False


def test_a_client_that_waits_for_the_response_receives_it_before_it_sends_the_body(limited: UsageMock) -> None:
    head = b"POST /usage HTTP/1.1\r\nExpect: something\r\nContent-Length: 9\r\n"
    assert send(limited.url, head + HEAD + b"\r\n").status == 417


def size(entry: Entry) -> int:
    """Return the bytes that an entry keeps of its exchange."""
    messages = (entry.request, entry.response)
    fields = sum(len(name) + len(value) for message in messages for name, value in message.headers)
    return len(entry.target) + len(entry.key) + fields + sum(len(message.body) for message in messages)


def test_the_size_of_an_entry_is_bounded(limited: UsageMock) -> None:
    long = "x" * 60_000
    for headers in ([(f"X-{number}", long) for number in range(9)], [(KEY, long)] * 9):
        send_request(limited.url, f"/usage?{long}", headers)
    limited.fail("body-is-very-large")
    usage(limited.url, BUSY)
    send_request(
        limited.url,
        "/usage",
        [("Origin", "x"), *[(f"Access-Control-Request-{name}", long) for name in ("Method", "Headers")]],
        "OPTIONS",
    )
    for entry in limited.requests:
        assert size(entry) <= 2 * (MAX_MESSAGE + MAX_TEXT)
        assert not (entry.request.is_complete and entry.response.is_complete)


FAULTS = {
    "body-is-shorter-than-content-length": 0,
    "gzip-body-is-json-in-a-string": 0,
    "connection-closes-without-a-response": 0,
    "chunk-size-is-not-a-number": 0,
    "content-type-is-text": 1000,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_response_of_a_fault_is_kept_as_it_was_sent(limited: UsageMock, fault: str) -> None:
    limited.fail(fault)
    with contextlib.suppress(http.client.HTTPException):
        usage(limited.url, BUSY)
    assert len(limited.requests[-1].response.body) >= FAULTS[fault]


def test_a_refusal_that_a_fault_has_changed_keeps_its_reason_and_its_header_fields(limited: UsageMock) -> None:
    limited.fail("lower-case-fields")
    response = send_request(limited.url)
    [entry] = limited.requests
    assert (entry.status, entry.reason) == (401, "missing-key")
    assert list(entry.response.headers) == response.headers.items()


def test_a_response_to_head_has_no_body(limited: UsageMock) -> None:
    usage(limited.url, BUSY, "HEAD")
    response = limited.requests[-1].response
    assert (response.body, response.values("Content-Length") != ["0"]) == (b"", True)


def entry_of(api: Api) -> Any:
    return api.get("/journal?limit=1")["entries"][0]


def test_each_reason_has_a_sentence(api: Api, limited: UsageMock) -> None:
    reasons = [
        *("missing-key", "key-in-authorization", "key-in-query", "key-is-repeated", "unknown-key", "key-is-quoted"),
        *("key-has-a-scheme", "key-has-spaces", "not-found", "method-not-allowed", "expectation-failed"),
        *("invalid-preference", "code-override", "malformed-request", "rate-limit-exceeded"),
    ]
    send_request(limited.url)
    send_request(limited.url, headers=[("Authorization", "Bearer x")])
    send_request(limited.url, "/usage?key=x")
    send_request(limited.url, headers=[(KEY, BUSY), (KEY, BUSY)])
    for key in ("nobody", "'x'", "Bearer x", "x y"):
        usage(limited.url, key)
    send_request(limited.url, "/nowhere")
    send_request(limited.url, method="DELETE")
    send_request(limited.url, headers=[("Expect", "x")])
    send_request(limited.url, headers=[("Prefer", "code=1")])
    send_request(limited.url, headers=[("Prefer", "code=503")])
    send(limited.url, b"GET /usage HTTP/1.1\r\n\r\n")
    for _ in range(11):
        usage(limited.url, BUSY)
    entries = [entry for entry in api.get("/journal")["entries"] if entry["status"] >= 400]
    assert [entry["reason"] for entry in entries] == reasons
    assert [entry["reason"] for entry in entries if not entry["reason_text"].endswith(".")] == []
    assert set(SENTENCES) - set(reasons) == {
        *("fault-not-applicable", "request-entity-too-large", "internal-error"),
        *("target-is-too-long", "field-is-too-long", "too-many-fields"),
        *("state-unavailable", "state-unreadable", "unknown-name"),
    }


def test_keys_are_masked_in_fields_and_bodies(api: Api, limited: UsageMock) -> None:
    made, other = limited.make_key(), limited.make_key()
    body = json.dumps({"key": made, "other": [other.upper()]}).encode()
    headers = {
        KEY: made,
        "Cookie": "session=unknown-secret",
        "Authorization": f"Bearer {other}",
        "X-Note": f"({other})",
    }
    post(limited.url, body, headers)
    usage(limited.url, made)
    shown = api.request("GET", "/journal").body.decode()
    assert not any(secret in shown.lower() for secret in (made, other, "unknown-secret"))
    assert f'"api_key\\":\\"{mask_key(made)}' in shown
    fields = {field["name"]: field["value"] for field in api.get("/journal")["entries"][0]["request"]["headers"]}
    assert fields["Authorization"] == f"Bearer {mask_key(other)}"
    assert fields["X-Note"] == f"({mask_key(other)})"


@pytest.mark.parametrize("cookies", ["session=a-secret; key={}", "key={}; session=a-secret", "a-secret;{}; "])
def test_every_cookie_beside_a_known_key_is_masked(api: Api, limited: UsageMock, cookies: str) -> None:
    send_request(limited.url, headers=[(KEY, BUSY), ("Cookie", cookies.format(BUSY))])
    entry = entry_of(api)
    shown = f"{entry['request']} {entry['curl']}"
    assert not any(secret in shown for secret in (BUSY, "a-secret"))


@pytest.mark.parametrize("body", [b"\xff\xfe", "demo-busy".encode("utf-16"), b"\x00"])
def test_a_body_that_is_not_a_text_is_not_shown(api: Api, limited: UsageMock, body: bytes) -> None:
    post(limited.url, body)
    request = entry_of(api)["request"]
    assert (request["body"], request["size"]) == (None, len(body))


def test_a_summary_has_no_messages(api: Api, limited: UsageMock) -> None:
    usage(limited.url, BUSY)
    [summary], [entry] = (api.get(f"/journal?detail={detail}")["entries"] for detail in ("summary", "full"))
    assert set(entry) - set(summary) == {"request", "response", "curl"}


REQUESTS: dict[str, tuple[str, list[tuple[str, str]], str, bytes]] = {
    "a baseline request": ("/usage", [(KEY, BUSY)], "GET", b""),
    "without a key": ("/usage", [("X-Note", 'it\'s "$HOME" `ls` \\n!')], "GET", b""),
    "a quoted key": ("/usage", [(KEY, f'"{BUSY}"')], "GET", b""),
    "a key as Bearer": ("/usage", [("Authorization", f"Bearer {BUSY}")], "GET", b""),
    "a key in the query": (f"/usage?api_key={BUSY}&a[1]={{2}}&c=it's", [("Accept", "*/*")], "GET", b""),
    "an unknown key": ("/usage/../x", [(KEY, "a-strangers-key"), ("X-Empty", "")], "GET", b""),
    "a HEAD request": ("/usage", [(KEY, BUSY), ("User-Agent", "app/1 (it's)")], "HEAD", b""),
    "a preference": ("/usage", [(KEY, BUSY), ("Prefer", 'code=503, x="1"')], "GET", b""),
    "a body in JSON": (
        "/usage",
        [(KEY, BUSY), ("Content-Type", "application/json")],
        "POST",
        b'{"k": "it\'s demo-busy"}',
    ),
    "a binary body": ("/usage", [("Content-Type", "x/y")], "PUT", bytes(range(256))),
    "a body of a GET": ("/usage", [(KEY, BUSY)], "GET", b"a\nb"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_curl_command_repeats_the_request(name: str, api: Api, limited: UsageMock) -> None:
    target, headers, method, body = REQUESTS[name]
    length = [("Content-Length", str(len(body)))] if body else []
    fields = [("Host", limited.url.partition("//")[2]), *headers, *length, ("Connection", "close")]
    lines = [f"{method} {target} HTTP/1.1", *(f"{field}: {value}" for field, value in fields), "", ""]
    with socket.create_connection(address(limited.url), TIMEOUT) as client:
        client.sendall("\r\n".join(lines).encode() + body)
        assert client.recv(5) == b"HTTP/"
    entry, sent = entry_of(api), limited.requests[-1]
    key = sent.key if sent.key == "a-strangers-key" else BUSY
    assert key not in entry["curl"]
    subprocess.run(
        ["bash", "-c", f"USAGE_KEY={key}; {entry['curl']}"], capture_output=True, timeout=TIMEOUT, check=True
    )
    again = limited.requests[-1]
    assert (again.number, again.method, again.target, again.status) == (2, sent.method, sent.target, sent.status)
    assert again.request.body == sent.request.body
    assert {(field.lower(), value) for field, value in again.request.headers} == {
        (field.lower(), value) for field, value in sent.request.headers
    }
