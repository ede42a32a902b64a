"""The first request: a wrong address, key or proxy ends the run with exit code 4, evidence and the likely cause."""

from __future__ import annotations

import json
import re
import socket
import socketserver
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from mock_server import UsageMock, make_app
from mock_server.fixtures.faults import load_fault
from mock_server.options import MockOptions
from tests.support.gate import Respond, Run, http_response, serving_with
from usage_contract import load

RunGate = Callable[..., Run]
Serve = Callable[[Respond], str]
SECRET = "k3y-0f-a-very-secret-kind"
MAIN = {"CONTRACT_API_KEY": SECRET}
HTML = "Content-Type: text/html; charset=UTF-8"
PAGE = b"<!doctype html><html><head><title>%s</title></head><body>%s</body></html>"

WRONG_ADDRESSES: dict[str, tuple[bytes, str]] = {
    "unknown path": (
        http_response(b'{"detail":"Not Found"}', "404 Not Found"),
        "404; the path prefix in --base-url is wrong",
    ),
    "page of a proxy": (
        http_response(PAGE % (b"404", b"nginx"), "404 Not Found", HTML),
        "404; the path prefix in --base-url",
    ),
    "login": (http_response(b"", "302 Found", "Location: /login?next=/usage"), "302; it redirects to a login page"),
    "elsewhere": (
        http_response(b"", "308 Permanent Redirect", "Location: http://other.example/usage"),
        "308; --base-url must be the address that it redirects to",
    ),
    "https": (
        http_response(b"", "301 Moved Permanently", "Location: https://127.0.0.1/usage"),
        "301; is it https instead of http?",
    ),
    "https port": (
        http_response(b"<html>The plain HTTP request was sent to HTTPS port</html>", "400 Bad Request", HTML),
        "400; this port expects TLS; is it https instead of http?",
    ),
    "TLS alert": (b"\x15\x03\x01\x00\x02\x02\x46", "this port expects TLS; is it https instead of http?"),
    "SSH": (
        b"SSH-2.0-OpenSSH_9.2\r\n",
        r"the response is not HTTP; the server sends 'SSH-2.0-OpenSSH_9.2\r\n'; check host and port",
    ),
    "text": (b"hello\r\n\r\n", r"the server sends 'hello\r\n\r\n'; check host and port"),
    "gateway": (
        http_response(
            b'{"message":"Missing Authentication Token"}',
            "403 Forbidden",
            "Content-Type: application/json\r\nx-amzn-ErrorType: MissingAuthenticationTokenException",
        ),
        "403; the API gateway does not know this path; check the path prefix in --base-url",
    ),
    "challenge": (
        http_response(
            PAGE % (b"Just a moment...", b"Checking you"), "403 Forbidden", f"{HTML}\r\ncf-mitigated: challenge"
        ),
        "403; a bot challenge answers in front of the deployment",
    ),
    "challenge with 503": (
        http_response(
            PAGE % (b"Just a moment...", b""), "503 Service Unavailable", f"{HTML}\r\ncf-mitigated: challenge"
        ),
        "503; a bot challenge answers in front of the deployment",
    ),
    "login page": (
        http_response(PAGE % (b"Welcome", b'<input type="password">'), fields=HTML),
        "200; a login page is served at this address",
    ),
    "web site": (
        http_response(PAGE % (b"Welcome", b"Hello"), fields=HTML),
        "200; an HTML page is served at this address",
    ),
}


@pytest.mark.parametrize("how", WRONG_ADDRESSES)
def test_a_wrong_address_could_not_be_tested(how: str, run_gate: RunGate, serve: Serve) -> None:
    response, cause = WRONG_ADDRESSES[how]
    url = serve(lambda _: response)
    run = run_gate("--base-url", url, "--report-dir", "out", environment=MAIN)
    assert run.code == 4
    assert f"{url} could not be tested: the {'first ' if b'HTTP/1' in response else ''}response is " in run.output
    assert cause in run.output
    for text in (run.output, *(path.read_text() for path in (run.folder / "out").iterdir())):
        assert "GET /usage with the main key" in text
        assert "curl -isS --path-as-is" in text
        assert SECRET not in text
    report = json.loads((run.folder / "out" / "contract.json").read_text())
    assert (report["verdict"], report["exit_code"]) == ("could not be tested", 4)
    assert report["requests"] <= 2


def test_a_repeated_path_is_named(run_gate: RunGate, serve: Serve) -> None:
    url = serve(lambda _: http_response(b"{}", "404 Not Found")) + "/usage"
    run = run_gate("--base-url", url, environment=MAIN)
    assert run.code == 4
    assert "--base-url ends in /usage already; leave that out" in run.output


def test_a_health_check_distinguishes_a_missing_operation_from_a_wrong_prefix(run_gate: RunGate, serve: Serve) -> None:
    healthy = http_response(b'{"ok": true}')
    url = serve(lambda head: healthy if b"/healthz" in head else http_response(b"{}", "404 Not Found"))
    run = run_gate("--base-url", url, environment=MAIN)
    assert run.code == 4
    assert f"the first response is 404; {url}/healthz is served, and /usage is not" in run.output


REFUSALS = {"401 Unauthorized": "401", "403 Forbidden": "403", "407 Proxy Authentication Required": "(407)"}


@pytest.mark.parametrize("status", REFUSALS)
def test_a_refused_main_key_shows_the_response(status: str, run_gate: RunGate, serve: Serve) -> None:
    run = run_gate("--base-url", serve(lambda _: http_response(b'{"detail": "no"}', status)), environment=MAIN)
    assert run.code == 4
    assert REFUSALS[status] in run.output
    assert f"response: {status}, application/json, 16 bytes" in run.output
    assert 'body: {"detail": "no"}' in run.output
    assert "curl -isS --path-as-is" in run.output


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_refused_key_in_quotes_is_described(quote: str, run_gate: RunGate, serve: Serve) -> None:
    environment = {"CONTRACT_API_KEY": f"{quote}{SECRET}{quote}"}
    run = run_gate("--base-url", serve(lambda _: http_response(b"{}", "403 Forbidden")), environment=environment)
    assert "does the key belong to this deployment?; it begins and ends with a quote" in run.output
    assert SECRET not in run.output


def test_a_refused_second_key_in_quotes_is_described(run_gate: RunGate) -> None:
    keys = {"CONTRACT_API_KEY": "demo-busy", "CONTRACT_API_KEY_2": "'demo-modest'"}
    with UsageMock(rate_limit=False) as mock:
        run = run_gate("--base-url", mock.url, "-k", "missing_key", environment=keys)
    assert f"{REJECTED}; it begins and ends with a quote" in run.output


class Resetting(socketserver.BaseRequestHandler):
    """Resets a connection after its first bytes, as some servers do where they expect TLS."""

    def handle(self) -> None:
        self.request.recv(65536)
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.request.close()


class Closing(socketserver.BaseRequestHandler):
    """Closes a connection after its first bytes."""

    def handle(self) -> None:
        self.request.recv(65536)


@pytest.mark.parametrize("handler", [Resetting, Closing])
def test_a_connection_that_ends_without_a_byte_suggests_https(
    handler: type[socketserver.BaseRequestHandler], run_gate: RunGate
) -> None:
    with serving_with(handler) as url:
        run = run_gate("--base-url", url, environment=MAIN)
    assert run.code == 4
    assert re.search("could not be tested: no response: .*; does this port expect https\\?", run.output)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('{"ok": true, "data": [{"id": 1}]}', 4),
        ("{}", 0),
        ('{"id": 1, "total": 1}', 0),
        ('{"data": {"total": 1}}', 0),
        ('{"usageTotal": 1}', 0),
        ('{"error": "not available"}', 0),
    ],
)
def test_an_object_without_a_documented_member_is_of_another_api(
    body: str, code: int, run_gate: RunGate, serve: Serve
) -> None:
    url = serve(lambda _: http_response(body.encode()))
    run = run_gate("--base-url", url, "-k", "valid_key_is_200", "--max-rate", "1000", environment=MAIN)
    assert run.code == code
    expected = "the body of the first response has no documented member; is it another API? Check --base-url"
    assert (expected in run.output, body in run.output) == (code == 4, code == 4)


BROKEN_RESPONSES = {
    "JSON of something else": http_response(b"{", "200 OK"),
    "server error with a page": http_response(PAGE % (b"502", b"Bad Gateway"), "502 Bad Gateway", HTML),
    "not acceptable": http_response(b"{}", "406 Not Acceptable"),
}


@pytest.mark.parametrize("how", BROKEN_RESPONSES)
def test_an_invalid_response_of_the_deployment_breaks_a_rule(how: str, run_gate: RunGate, serve: Serve) -> None:
    run = run_gate("--base-url", serve(lambda _: BROKEN_RESPONSES[how]), "-k", "body_is_json", environment=MAIN)
    assert run.code == 1


def run_with_a_wrong_second_key(run_gate: RunGate, *arguments: str) -> Run:
    keys = {"CONTRACT_API_KEY": "demo-busy", "CONTRACT_API_KEY_2": "not-a-key-here"}
    with UsageMock(rate_limit=False) as mock:
        return run_gate("--base-url", mock.url, "--max-rate", "1000", *arguments, environment=keys)


REJECTED = "not tested: key 2 (CONTRACT_API_KEY_2) was rejected with 403 and is not used"


@pytest.mark.parametrize("chosen", ["missing_key", "only_the_header or valid_key_is_200"])
def test_a_rejected_second_key_is_reported_by_number_variable_and_status(chosen: str, run_gate: RunGate) -> None:
    run = run_with_a_wrong_second_key(run_gate, "-k", chosen, "--report-dir", "out")
    assert run.code == 0
    assert REJECTED in run.output
    assert "the result is partial" in run.output
    report = json.loads((run.folder / "out" / "contract.json").read_text())
    assert report["verdict"] == "partial"
    assert any("CONTRACT_API_KEY_2" in shortfall for shortfall in report["shortfalls"])


def test_a_rejected_second_key_is_not_a_complete_run(run_gate: RunGate) -> None:
    assert run_with_a_wrong_second_key(run_gate, "-k", "missing_key", "--require-complete").code == 4


def test_a_second_key_that_is_rejected_once_is_a_defect(run_gate: RunGate, tmp_path: Path) -> None:
    (tmp_path / "faults").mkdir()
    (tmp_path / "faults" / "once.yaml").write_text(
        "description: The first request with a second key is refused.\nbreaks: [auth/valid-key-is-200]\n"
        "do: [{ when: { status: [200], key: demo-modest, first: 1 }, as: nobody }]\n"
    )
    keys = {"CONTRACT_API_KEY": "demo-busy", "CONTRACT_API_KEY_2": "demo-modest"}
    with UsageMock(
        make_app(load("documented"), MockOptions(rate_limit=False), fault=load_fault("once", tmp_path))
    ) as mock:
        run = run_gate("--base-url", mock.url, "-k", "valid_key_is_200", environment=keys)
    assert run.failed == {"auth/valid-key-is-200"}


@pytest.mark.parametrize("name", ["CONTRACT_API_KEY", "CONTRACT_API_KEY_2", "CONTRACT_API_KEY_FILE"])
@pytest.mark.parametrize("value", [SECRET, ""])
def test_a_key_in_the_environment_without_a_base_url_is_refused(name: str, value: str, run_gate: RunGate) -> None:
    run = run_gate("-k", "missing_key", environment={name: value})
    assert run.code == 4
    assert f"ERROR: {name}: a key needs a base URL. Give --base-url, or unset the variable" in run.output


@pytest.mark.parametrize("option", ["--rules", "--collect-only"])
def test_a_run_that_sends_nothing_needs_no_base_url(option: str, run_gate: RunGate) -> None:
    assert run_gate(option, "-k", "missing_key", environment=MAIN).code == 0
