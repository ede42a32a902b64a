"""Steps of a fault: the requests that they match, and their changes of the response."""

from __future__ import annotations

import gzip
import socket
from email.utils import parsedate_to_datetime

import pytest

from tests.support.control_api import Api
from tests.support.wire import KEY, TIMEOUT, address, response_bytes, send, send_request, usage

from .served import BUSY_TOTAL, MODEST_TOTAL, OK, Serve, modest_metrics, raw_response


def test_a_step_without_a_condition_matches_the_path_usage_only(serve: Serve) -> None:
    url = serve("status: 418")
    assert [send_request(url, path).status for path in ("/usage", "/usage?x", "/usage/", "/healthz", "/")] == [
        418, 418, 404, 200, 200,
    ]  # fmt: skip


def test_a_path_is_matched_completely_and_as_received(serve: Serve) -> None:
    url = serve("when: {path: '/us%61ge|//usage'}, status: 418")
    assert [send_request(url, path).status for path in ("/us%61ge", "//usage?x", "/usage", "/us%61ge/")] == [
        418,
        418,
        401,
        404,
    ]


@pytest.mark.parametrize(
    ("pattern", "request_head"),
    [
        (r"\AGET /usage\?a=%7[eE] HTTP/1\.1$", b"GET /usage?a=%7e HTTP/1.1\r\nHost: x\r\n"),
        (r"^(?-i:x-ODD): 1$", b"GET /usage HTTP/1.1\r\nHost: x\r\nx-ODD: 1\r\n"),
        (r"^b: 1\na: 2$", b"GET /usage HTTP/1.1\r\nHost: x\r\nb: 1\r\na: 2\r\n"),
        (r"\AHEAD .* HTTP/1\.0$", b"HEAD /usage HTTP/1.0\r\nHost: x\r\n"),
        (r"\APOST ", b"POST /usage HTTP/1.1\r\nHost: x\r\n"),
    ],
)
def test_a_request_is_matched_as_received(serve: Serve, pattern: str, request_head: bytes) -> None:
    url = serve(f"when: {{request: '{pattern}'}}, status: 418")
    assert b" 418 " in raw_response(url, request_head + b"\r\n").split(b"\r\n")[0]
    assert send_request(url).status == 401


def test_a_body_that_arrives_late_is_matched(serve: Serve) -> None:
    url = serve("when: {body: '\"key\": \"(?P<key>.*?)\"'}, as: '{key}'")
    with socket.create_connection(address(url), TIMEOUT) as connection:
        connection.sendall(b"GET /usage HTTP/1.1\r\nHost: x\r\nContent-Length: 22\r\n\r\n")
        assert send_request(url, "/healthz").status == 200
        connection.sendall(b'{"key": "demo-modest"}')
        assert connection.recv(15) == b"HTTP/1.1 200 OK"


def test_a_body_that_cannot_be_matched_is_not_a_server_error(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    url = serve("when: {body: x}, status: 418")
    head = b"POST /usage HTTP/1.1\r\nHost: x\r\n"
    assert response_bytes(url, head + b"Content-Length: 9\r\n\r\nabc") == b""
    assert send(url, head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n").status == 400
    assert caplog.records == []


def test_a_body_that_is_too_long_to_be_matched_is_rejected_and_recorded(serve: Serve) -> None:
    url = serve("when: {body: x}, status: 418")
    head = b"POST /usage HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n"
    assert send(url, head + bytes(1048577)).status == 413
    assert [entry["status"] for entry in Api(url).get("/journal")["entries"]] == [413]


def test_a_condition_matches_the_key_and_status_after_earlier_steps(serve: Serve) -> None:
    url = serve(
        "when: {key: demo-busy}, as: demo-modest",
        "when: {key: demo-busy}, status: 418",
        "when: {key: demo-modest, status: [200]}, status: 203",
        "when: {status: [203]}, headers: {set: {X-Seen: 'yes'}}",
    )
    response = usage(url, "demo-busy")
    assert (response.status, response.headers["X-Seen"]) == (203, "yes")


def test_a_step_counts_the_requests_that_match_its_other_conditions(serve: Serve) -> None:
    url = serve(
        "when: {key: demo-modest, after: 1, first: 4, every: 2}, headers: {add: {X-Odd: '1'}}",
    )
    keys = ["demo-modest", "demo-busy"] * 8
    marks = [usage(url, key).headers["X-Odd"] for key in keys]
    assert marks[1::2] == [None] * 8
    assert marks[::2] == [None, None, "1", None, "1", None, None, None]


def test_a_response_that_matches_no_step_takes_no_token(serve: Serve) -> None:
    url = serve("when: {request: x-twice}, as: demo-modest")
    for _ in range(3):
        left = send_request(url, headers=[(KEY, "demo-modest"), ("X-Twice", "1")]).json["rate_limit"]["remaining"]
    assert left == 7.0


@pytest.mark.parametrize(
    ("patch", "pointer", "value"),
    [
        ("{op: replace, path: /total, value: [1, {a: null}]}", "total", [1, {"a": None}]),
        ("{op: move, from: /fail, path: /total}", "total", 59),
        ("{op: multiply, path: /total, by: 0.5}", "total", 1730),
        ("{op: multiply, path: /success_rate, by: 0.01}", "success_rate", 0.9829),
        ("{op: increase, path: /fail, by: -60}", "fail", -1),
        ("{op: drift, path: /total, by: 5}", "total", MODEST_TOTAL + 5),
        ("{op: replace, path: '', value: {a: 1}}", "a", 1),
    ],
)
def test_a_patch_changes_the_json_body(serve: Serve, patch: str, pointer: str, value: object) -> None:
    assert modest_metrics(serve(f"{OK}, patch: [{patch}]"))[pointer] == value


def test_a_drift_grows_with_each_response_of_the_step(serve: Serve) -> None:
    url = serve(f"{OK}, patch: [{{op: drift, path: /total, by: -2}}]")
    assert [modest_metrics(url)["total"] - MODEST_TOTAL for _ in range(3)] == [-2, -4, -6]


@pytest.mark.parametrize(
    ("edits", "body"),
    [
        ("{op: set, text: é}", "é".encode()),
        ("{op: set, base64: AP8=}", b"\x00\xff"),
        ("{op: set, text: ab, times: 3}, {op: prepend, text: x}, {op: append, text: y, times: 2}", b"xabababyy"),
        ("{op: set, text: abcd}, {op: cut, at: -1}", b"abc"),
        ("{op: set, text: abcd}, {op: cut, at: 1}", b"a"),
        ("{op: set, text: 'a1b2'}, {op: replace, pattern: '([a-z])(.)', with: '\\2\\1'}", b"1a2b"),
        ("{op: set, text: é}, {op: encode, charset: latin-1}", b"\xe9"),
        ("{op: set, text: é}, {op: encode, charset: utf-16-le}", b"\xe9\x00"),
        ("{op: set, text: é}, {op: compress, coding: gzip}", gzip.compress("é".encode(), mtime=0)),
    ],
)
def test_an_edit_changes_the_bytes_of_the_body_and_the_length_follows(serve: Serve, edits: str, body: bytes) -> None:
    assert usage(serve(f"body: [{edits}]"), "demo-modest").body == body


def test_edits_of_head_and_message_change_the_sent_bytes(serve: Serve) -> None:
    url = serve(
        "body: [{op: set, text: abc}]",
        "head: [{op: replace, pattern: '^Content-Length: .*?$', with: 'content-LENGTH: 99'}]",
        'message: [{op: prepend, text: "HTTP/1.1 103 Early Hints\\r\\n\\r\\n"}, {op: append, text: zz}]',
    )
    message = raw_response(url)
    assert message.startswith(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert message.endswith(b"\r\n\r\nabczz")
    assert b"content-LENGTH: 99" in message


def test_a_changed_status_has_its_standard_reason_phrase_or_none(serve: Serve) -> None:
    url = serve("when: {first: 1}, status: 503", "when: {after: 1}, status: 999")
    assert [raw_response(url).split(b"\r\n")[0] for _ in range(2)] == [
        b"HTTP/1.1 503 Service Unavailable",
        b"HTTP/1.1 999 ",
    ]


def test_header_fields_can_be_removed_set_and_added(serve: Serve) -> None:
    url = serve("headers: {remove: [DATE], set: {content-type: a}, add: {Content-Type: b}}")
    headers = usage(url, "demo-modest").headers
    assert (headers.get_all("Content-Type"), headers["Date"]) == (["a", "b"], None)


def test_texts_can_contain_named_groups_and_dates_and_other_braces_stay(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.0)
    url = serve(
        "when: {request: '^x-api-key: (?P<key>.*)$'}, headers: {set: {Retry-After: '{date+2}', X-Key: '{key}{}{x}'}}"
    )
    headers = usage(url, "demo-modest").headers
    late = parsedate_to_datetime(headers["Retry-After"]) - parsedate_to_datetime(headers["Date"])
    assert headers["X-Key"] == "demo-modest{}{x}"
    assert late.total_seconds() == 2


def test_a_step_can_return_the_response_of_another_key(serve: Serve) -> None:
    url = serve(
        r"when: {request: '\?key=(?P<key>\S+)'}, as: '{key}'",
        "when: {path: /nowhere}, as: demo-busy",
        "when: {key: demo-fresh}, as: ''",
    )
    assert send_request(url, "/usage?key=demo-modest").json["total"] == MODEST_TOTAL
    assert send_request(url, "/nowhere", method="POST").json["total"] == BUSY_TOTAL
    assert [send_request(url, "/usage?key=x").status, usage(url, "demo-fresh").status] == [403, 401]


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        ("patch: [{op: replace, path: /nowhere, value: 1}]", "replace at '/nowhere'"),
        ("patch: [{op: increase, path: /api_key, by: 1}]", "/api_key is not a number"),
        ("patch: [{op: multiply, path: /total, by: 1.0e+308}]", "cannot convert float infinity to integer"),
        ("body: [{op: replace, pattern: nowhere, with: x}]", "the pattern 'nowhere' does not match"),
        ("head: [{op: replace, pattern: nowhere, with: x}]", "the pattern 'nowhere' does not match"),
        (r"body: [{op: replace, pattern: '(total)', with: '\2'}]", "is not a valid replacement"),
        ("body: [{op: set, text: …}, {op: encode, charset: latin-1}]", "cannot be encoded"),
    ],
)
def test_a_step_that_cannot_be_applied_is_a_500_with_the_reason(serve: Serve, step: str, problem: str) -> None:
    response = usage(serve(step), "demo-modest")
    assert response.status == 500
    assert response.json["detail"].startswith("The fault cannot be applied: ")
    assert problem in response.json["detail"]


def test_no_fault_applies_to_a_malformed_request(serve: Serve) -> None:
    assert send(serve("when: {path: '.*'}, status: 418"), b"BREW /usage HTTP/1.1\r\nHost: x\r\n\r\n").status == 400
