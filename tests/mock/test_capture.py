"""`usage-mock capture`: the mock has the same usage metrics as the deployment that was captured."""

from __future__ import annotations

import copy
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import trustme
from hypothesis import strategies as st

from mock_server import UsageMock, load_deployment
from mock_server.command.capture import API_KEY, MADE_UP_KEY, CaptureError, capture, facts_of
from mock_server.command.cli import main
from mock_server.fixtures.deployments import Calls, Deployment, Key, RateLimit
from mock_server.simulation.accounts import Account
from tests.support.wire import usage
from usage_contract.sources import as_yaml

SECRET = "secret-key-1"

COMPARED = ("total", "success", "fail", "success_rate", "bytes_transferred", "by_protocol", "top_domains")

NAMES = st.from_regex(r"[a-z~][a-z0-9]{0,6}(\.[a-z]{2,4})?", fullmatch=True) | st.sampled_from(
    ["other-1.invalid", "zürich.example"]
)
CALLS = st.integers(0, 5000).flatmap(lambda requests: st.builds(Calls, st.just(requests), st.integers(0, requests)))
FETCHES = st.builds(
    lambda calls, size: Calls(calls.requests, calls.failures, size), CALLS, st.integers(0, 10**9)
).filter(lambda calls: calls.requests or not calls.bytes)
PROTOCOLS = st.fixed_dictionaries({}, optional={"fetch": FETCHES, "ws": CALLS, "amqp": CALLS})
KEYS = st.builds(
    Key,
    st.builds(RateLimit, st.integers(0, 100).map(float), st.integers(1, 100)),
    st.dictionaries(NAMES, PROTOCOLS, max_size=40),
)


def metrics_of(key: Key) -> dict[str, Any]:
    """Return the usage metrics that the mock has for a key."""
    return Account("", "k", key, now=0.0).usage_metrics(remaining=key.rate_limit.burst)


def served(text: str) -> dict[str, Any]:
    """Return the usage metrics of the key in a printed deployment file."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "deployments").mkdir()
        (Path(folder) / "deployments" / "default.yaml").write_text(text)
        return metrics_of(load_deployment("default", Path(folder)).keys[MADE_UP_KEY])


@hypothesis.settings(max_examples=200, deadline=None, derandomize=True, database=None)
@hypothesis.given(KEYS)
def test_the_mock_has_the_captured_usage_metrics(key: Key) -> None:
    metrics = metrics_of(key)
    facts, notes = facts_of(metrics)
    again = served(as_yaml({"description": "d", "keys": {MADE_UP_KEY: facts}}))
    assert {name: again[name] for name in COMPARED} == {name: metrics[name] for name in COMPARED}
    assert (again["rate_limit"], notes) == (metrics["rate_limit"] | {"remaining": again["rate_limit"]["burst"]}, [])


SOUND = metrics_of(Key(traffic={"a.example": {"fetch": Calls(10, 1, 500)}, "b.example": {"ws": Calls(6)}}))
FULL = metrics_of(Key(traffic={f"{number}.example": {"fetch": Calls(3)} for number in range(30)}))


def changed(*path: Any, to: Any, metrics: Any = SOUND) -> Any:
    """Return usage metrics with another value at a path."""
    copied = copy.deepcopy(metrics)
    part = copied
    for token in path[:-1]:
        part = part[token]
    part[path[-1]] = to
    return copied


CONTRADICTIONS = {
    "total is 17, but success and fail are 16": changed("total", to=17),
    "total is 16, but by_protocol is 17 in all": changed("by_protocol", "amqp", to=1),
    "success_rate is 15.0, but 15 of 16 are 93.75 %": changed("success_rate", to=15.0),
    "success_rate is 101, but a percentage is 0 to 100": changed("success_rate", to=101),
    "bytes_transferred is 500, but only fetch transfers bytes, and it is 0": changed(
        "by_protocol", to={"fetch": 0, "ws": 16, "amqp": 0}
    ),
    "top_domains has a domain twice": changed("top_domains", 1, "domain", to="a.example"),
    "top_domains is not sorted by requests": changed("top_domains", to=SOUND["top_domains"][::-1]),
    "total is 16, but top_domains is 17 in all": changed("top_domains", 0, "requests", to=11),
    "total is 16, but top_domains is 15 in all, and has only 2 domains with requests": changed(
        "top_domains", 0, "requests", to=9
    ),
}

OTHER_SHAPES = {
    "the response /total: must be a whole number, not text": changed("total", to="many"),
    "the response: 'fail' is missing": {name: value for name, value in SOUND.items() if name != "fail"},
    "the response /by_protocol/grpc: must not be 'grpc'": changed("by_protocol", "grpc", to=1),
    "the response /top_domains/0/domain: is not valid; expected a host name": changed(
        "top_domains", 0, "domain", to="http://a.example/"
    ),
    "the response /rate_limit/burst: must be at least 1, not 0": changed("rate_limit", "burst", to=0),
    "the response: must be a mapping, not a list": [],
}


@pytest.mark.parametrize("problem", CONTRADICTIONS)
def test_a_contradiction_is_reported(problem: str) -> None:
    with pytest.raises(CaptureError) as caught:
        facts_of(CONTRADICTIONS[problem])
    assert f"the usage metrics contradict each other: {problem}" in str(caught.value).splitlines()


@pytest.mark.parametrize("problem", OTHER_SHAPES)
def test_an_unexpected_shape_is_reported(problem: str) -> None:
    with pytest.raises(CaptureError) as caught:
        facts_of(OTHER_SHAPES[problem])
    assert problem in str(caught.value)


def test_every_contradiction_is_listed() -> None:
    with pytest.raises(CaptureError) as caught:
        facts_of(changed("total", to=20))
    assert len(str(caught.value).splitlines()) == 4


def test_too_many_domains_below_the_top_20_are_rejected() -> None:
    metrics = {**FULL, "total": 90_000, "success": 90_000, "by_protocol": {"fetch": 90_000}}
    with pytest.raises(CaptureError, match=r"a deployment file can have 10000 such domains, not 44970"):
        facts_of(metrics)


def test_differences_by_rounding_and_ties_are_notes() -> None:
    metrics = changed("success_rate", to=93.8)
    metrics["top_domains"].append({"domain": "unused.example", "requests": 0})
    assert facts_of(metrics)[1] == [
        "The mock rounds success_rate: 93.75 instead of 93.8.",
        "The mock lists no domain without requests.",
    ]
    rows = FULL["top_domains"][::-1]
    assert facts_of({**FULL, "top_domains": rows})[1] == [
        "The mock sorts domains with the same number of requests by name."
    ]


ECHO = """description: The server echoes the key as a domain.
breaks: []
do:
  - when: { request: '^x-api-key: (?P<key>.*)' }
    patch: [{ op: replace, path: /top_domains/0/domain, value: '{key}.example' }]
"""


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[UsageMock]:
    """A deployment to capture, whose key is in the environment."""
    (tmp_path / "faults").mkdir()
    (tmp_path / "faults" / "echo.yaml").write_text(ECHO)
    monkeypatch.setenv(API_KEY, SECRET)
    keys = {name.replace("demo-busy", SECRET): key for name, key in load_deployment().keys.items()}
    with UsageMock(deployment=Deployment("d", "d", keys), fixtures=tmp_path) as mock:
        yield mock


def run(capsys: pytest.CaptureFixture[str], url: str) -> tuple[int, str, str]:
    """Return the exit code and the output of the command, which never contains the key."""
    code = capture(url, os.environ)
    out, err = capsys.readouterr()
    assert SECRET not in (out + err).lower()
    return code, out, err


def test_a_deployment_is_captured_with_one_request(real: UsageMock, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, real.url)
    assert (code, err, [entry.method for entry in real.requests]) == (0, "", ["GET"])
    expected = usage(real.url, SECRET).json
    assert {name: served(out)[name] for name in COMPARED} == {name: expected[name] for name in COMPARED}


def test_the_command_prints_the_captured_deployment(real: UsageMock, capsys: pytest.CaptureFixture[str]) -> None:
    _, expected, _ = run(capsys, real.url)
    assert main(["capture", "--base-url", f"{real.url}/"]) == 0
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize("key", ["", "a\nb", " a"])
def test_an_api_key_in_the_environment_is_required(
    real: UsageMock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    monkeypatch.setenv(API_KEY, key)
    assert main(["capture", "--base-url", real.url]) == 4
    assert capsys.readouterr().err == "usage-mock: capture: CONTRACT_API_KEY: is not set to an API key\n"
    assert real.requests == ()


@pytest.mark.parametrize(
    "url", ["", "a.example", "ftp://a.example", "https://", "https://me:pw@a.example", "http://a:b"]
)
def test_an_invalid_base_url_is_rejected_without_being_quoted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    monkeypatch.setenv(API_KEY, SECRET)
    expected = "--base-url: is not a base URL; expected http://HOST[:PORT][/PATH] or https://…"
    assert run(capsys, url) == (4, "", f"usage-mock: capture: {expected}\n")


def test_capture_needs_a_base_url(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["capture"]) == 4
    assert capsys.readouterr().err == "usage-mock: capture: --base-url is missing; expected capture --base-url URL\n"


@pytest.mark.parametrize("arguments", [["--base-url", "http://a.example"], ["--base-url", "x", "health"]])
def test_the_base_url_belongs_to_capture(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 4
    expected = "--base-url: belongs to the command capture; expected capture --base-url URL"
    assert capsys.readouterr().err == f"usage-mock: {expected}\n"


PROBLEMS = {
    "second-key-is-redirected": "the response has status 302, not 200",
    "body-never-ends": "the response is longer than 1048576 bytes",
    "response-is-never-sent": "no complete response within 0.2 s",
    "body-is-sent-slowly": "no complete response within 0.2 s",
    "connection-closes-without-a-response": "the server has closed the connection without a response",
    "body-is-shorter-than-content-length": "the request failed: ",
    "body-has-a-trailing-comma": "the response is not valid JSON: ",
    "total-is-a-text": "the response /total: must be a whole number, not text",
    "total-omits-a-protocol": "the usage metrics contradict each other: total is ",
    "echo": "the response has the API key in a domain; nothing is printed",
}


@pytest.mark.parametrize("fault", PROBLEMS)
def test_a_problem_is_reported_without_the_key(
    real: UsageMock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    real.fail(fault)
    if "0.2 s" in PROBLEMS[fault]:
        monkeypatch.setattr("mock_server.command.capture.TIMEOUT", 0.2)
    code, out, err = run(capsys, real.url)
    assert (code, out) == (4, "")
    assert err.startswith(f"usage-mock: capture: {PROBLEMS[fault]}")
    assert len(real.requests) <= 1


def test_an_untrusted_certificate_is_rejected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv(API_KEY, SECRET)
    certificate, authority = trustme.CA().issue_cert("127.0.0.1"), tmp_path / "server.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(authority)
    with UsageMock(tls_cert=authority, tls_key=authority) as mock:
        code, out, err = run(capsys, mock.url)
        assert (code, out, err.count("\n"), mock.requests) == (4, "", 1, ())
    assert "cannot be reached: " in err
    assert "CERTIFICATE_VERIFY_FAILED" in err
    assert "<ssl." not in err


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_closed_port_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], scheme: str
) -> None:
    monkeypatch.setenv(API_KEY, SECRET)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        code, out, err = run(capsys, f"{scheme}://127.0.0.1:{port}")
    assert (code, out) == (4, "")
    assert re.fullmatch(
        rf"usage-mock: capture: 127\.0\.0\.1 port {port} cannot be reached: Connection refused\n", err
    ), err


def test_serving_does_not_import_the_client_of_capture() -> None:
    code = "import sys, mock_server.command.serve; print('mock_server.command.capture' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
