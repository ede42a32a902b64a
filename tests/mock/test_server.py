"""Serving and stopping: TLS, IPv6, and responses in flight."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import signal
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from mock_server import UsageMock, make_app
from mock_server.command.cli import main
from mock_server.fixtures.deployments import Deployment, Key
from mock_server.options import MockOptions
from tests.support.command import serving
from tests.support.control_api import Api
from tests.support.wire import KEY, TIMEOUT, Response, address, send_request, usage
from usage_contract import Contract

needs_ipv6 = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for 127.0.0.1, its key, that key encrypted, and the key of another certificate."""
    folder = tmp_path_factory.mktemp("tls")
    ours = authority.issue_cert("127.0.0.1")
    authority.issue_cert("127.0.0.1").private_key_pem.write_to_path(str(folder / "other.key"))
    ours.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    ours.private_key_pem.write_to_path(str(folder / "plain.key"))
    key = load_pem_private_key(ours.private_key_pem.bytes(), None)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    (folder / "secret.key").write_bytes(secret)
    (folder / "junk").write_text("junk")
    return folder


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def usage_over_tls(url: str, context: ssl.SSLContext) -> int:
    connection = http.client.HTTPSConnection(*address(url), context=context, timeout=TIMEOUT)
    try:
        connection.request("GET", "/usage", headers={KEY: "demo-busy"})
        return connection.getresponse().status
    finally:
        connection.close()


def test_health_of_a_mock_with_tls(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tls = ["--tls-cert", str(files / "cert.pem"), "--tls-key", str(files / "plain.key")]
    with serving(*tls) as (_, url):
        port = ["--port", str(address(url)[1])]
        assert main([*tls, *port, "health"]) == 0
        assert main([*port, "health"]) == 4
    assert "does not respond" in capsys.readouterr().err


def test_the_command_serves_with_a_given_certificate(files: Path, trusting: ssl.SSLContext) -> None:
    with serving("--tls-cert", str(files / "cert.pem"), "--tls-key", str(files / "plain.key")) as (process, url):
        assert re.fullmatch(r"https://127\.0\.0\.1:\d+", url)
        assert usage_over_tls(url, trusting) == 200
        process.terminate()
        assert process.wait(TIMEOUT) == 0


def test_a_hosted_mock_serves_with_a_given_certificate(files: Path, trusting: ssl.SSLContext) -> None:
    with UsageMock(tls_cert=files / "cert.pem", tls_key=files / "plain.key") as mock:
        assert usage_over_tls(mock.url, trusting) == 200


def test_a_plaintext_client_does_not_affect_tls_clients(files: Path, trusting: ssl.SSLContext) -> None:
    with UsageMock(tls_cert=files / "cert.pem", tls_key=files / "plain.key") as mock:
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            send_request(mock.url)
        assert usage_over_tls(mock.url, trusting) == 200


@pytest.mark.parametrize(
    ("certificate", "key", "problem"),
    [
        ("nothing.pem", "plain.key", r"\S+nothing\.pem: cannot be read: No such file or directory"),
        ("cert.pem", "other.key", r"\S+other\.key: is not the key of the certificate in \S+cert\.pem"),
        ("cert.pem", "secret.key", r"\S+secret\.key: is encrypted; `openssl pkey .*"),
        ("junk", "plain.key", r"\S+junk and \S+plain\.key: must be a certificate and its private key in PEM"),
    ],
)
def test_an_unusable_certificate_is_reported_in_one_line(
    files: Path, capfd: pytest.CaptureFixture[str], certificate: str, key: str, problem: str
) -> None:
    assert main(["--port", "0", "--tls-cert", str(files / certificate), "--tls-key", str(files / key)]) == 4
    assert re.fullmatch(f"usage-mock: --tls-cert: {problem}\n", capfd.readouterr().err)


def test_a_certificate_without_its_key_is_reported_in_one_line(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--tls-cert", str(files / "cert.pem")]) == 4
    assert capsys.readouterr().err == "usage-mock: --tls-cert: --tls-key is missing; set both or neither\n"


@needs_ipv6
@pytest.mark.parametrize("host", ["::1", "::"])
def test_the_mock_listens_on_ipv6(host: str) -> None:
    with UsageMock(host=host) as mock:
        assert mock.url.startswith(f"http://[{host}]:")
        assert usage(mock.url, mock.api_key).status == 200


class Latch:
    """Delays responses until a test opens it; `reached` is set when a response waits."""

    def __init__(self) -> None:
        self.reached: Future[asyncio.AbstractEventLoop] = Future()
        self._opened = asyncio.Event()

    async def __call__(self, _: float) -> None:
        self.reached.set_result(asyncio.get_running_loop())
        await self._opened.wait()

    def open(self) -> None:
        self.reached.result(TIMEOUT).call_soon_threadsafe(self._opened.set)


@pytest.fixture
def latch() -> Latch:
    return Latch()


@pytest.fixture
def held(contract: Contract, latch: Latch) -> Iterator[UsageMock]:
    """A mock whose responses wait at the latch."""
    app = make_app(contract, MockOptions(delay="1"), deployment=Deployment("d", "", {"k": Key()}), sleep=latch)
    with UsageMock(app, grace=TIMEOUT) as mock:
        yield mock


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def test_a_close_finishes_a_response_in_flight(held: UsageMock, latch: Latch, threads: ThreadPoolExecutor) -> None:
    response: Future[Response] = threads.submit(usage, held.url, "k")
    latch.reached.result(TIMEOUT)
    closing: Future[Any] = threads.submit(held.close)
    while is_open(held.url):  # a close first stops accepting connections
        pass
    assert not closing.done()
    latch.open()
    assert response.result(TIMEOUT).status == 200
    closing.result(TIMEOUT)


def is_open(url: str) -> bool:
    try:
        socket.create_connection(address(url)).close()
    except (ConnectionRefusedError, ConnectionResetError):  # the listener is closed before or during the handshake
        return False
    return True


def test_a_close_does_not_wait_for_a_disconnected_client(held: UsageMock, latch: Latch) -> None:
    with socket.create_connection(address(held.url)) as connection:
        connection.sendall(b"GET /usage HTTP/1.1\r\nHost: x\r\nX-API-Key: k\r\n\r\n")
        latch.reached.result(TIMEOUT)
    assert send_request(held.url, "/__mock__/").status  # the mock has handled the disconnect by now
    held.close()  # although the latch is closed


def test_an_internal_error_is_a_500_in_json_and_in_the_log(
    contract: Contract, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: float) -> None:
        raise RuntimeError("broken")

    with UsageMock(
        make_app(contract, MockOptions(delay="1"), deployment=Deployment("d", "", {"k": Key()}), sleep=broken)
    ) as mock:
        response = usage(mock.url, "k")
    assert (response.status, response.headers["Mock-Reason"]) == (500, "internal-error")
    assert response.json == {"detail": "The mock failed; its log has the reason."}
    assert "RuntimeError: broken" in caplog.text


@pytest.mark.parametrize("fault", ["response-is-never-sent", "body-never-ends"])
def test_a_close_cuts_off_a_response_that_never_ends(fault: str) -> None:
    with UsageMock(grace=3600) as mock, socket.create_connection(address(mock.url), TIMEOUT) as connection:
        mock.fail(fault)
        connection.sendall(b"GET /usage HTTP/1.1\r\nHost: x\r\nX-API-Key: demo-busy\r\n\r\n")
        while not mock.requests:
            pass
        mock.close()  # without a wait for the grace period


def test_a_close_cuts_off_responses_after_the_grace_period() -> None:
    with UsageMock(delay="3600", grace=0) as mock, socket.create_connection(address(mock.url), TIMEOUT) as connection:
        connection.sendall(b"GET /usage HTTP/1.1\r\nHost: x\r\nX-API-Key: demo-busy\r\n\r\n")
        mock.fail("none")  # one iteration of the mock's event loop
        mock.close()
        assert connection.recv(1) == b""
        assert [entry.outcome for entry in mock.requests] == ["not-sent"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_finishes_a_response_in_flight_after_a_signal(number: signal.Signals, deployments: Path) -> None:
    (deployments / "default.yaml").write_text("description: d\nkeys: {k: {}}\n")
    (deployments.parent / "variants").mkdir()
    (deployments.parent / "variants" / "drips.yaml").write_text("description: d\nbreaks: []\ndo: [{drip: 2000}]\n")
    with serving("--fixtures", str(deployments.parent), "--fault", "drips") as (process, url):
        connection = http.client.HTTPConnection(*address(url), timeout=TIMEOUT)
        connection.request("GET", "/usage", headers={KEY: "k"})
        response = connection.getresponse()  # only its head has arrived
        process.send_signal(number)
        assert json.load(response)["api_key"] == "k"
        assert process.wait(TIMEOUT) == 0
        connection.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_the_grace_period(number: signal.Signals) -> None:
    with (
        serving("--delay", "3600", "--grace", "3600") as (process, url),
        socket.create_connection(address(url), TIMEOUT) as connection,
    ):
        connection.sendall(b"GET /usage HTTP/1.1\r\nHost: x\r\nX-API-Key: demo-busy\r\n\r\n")
        while not Api(url).get("/journal")["entries"]:
            pass
        try:
            process.send_signal(number)
            while is_open(url):
                pass
            assert process.poll() is None
            process.send_signal(number)
            assert process.wait(TIMEOUT) == 0
            assert connection.recv(1) == b""
        finally:
            process.kill()


def test_an_idle_connection_is_closed_at_once() -> None:
    with UsageMock(grace=3600) as mock:
        idle = http.client.HTTPConnection(*address(mock.url))
        idle.request("GET", "/healthz")
        idle.getresponse().read()
        mock.close()  # without a wait for the grace period
        assert idle.sock.recv(1) == b""
        idle.close()


def test_an_idle_tls_client_does_not_delay_a_close(files: Path, trusting: ssl.SSLContext) -> None:
    with UsageMock(tls_cert=files / "cert.pem", tls_key=files / "plain.key", grace=3600) as mock:
        idle = http.client.HTTPSConnection(*address(mock.url), context=trusting, timeout=TIMEOUT)
        idle.request("GET", "/healthz")
        idle.getresponse().read()
        mock.close()  # without a wait for the close_notify of the client
        idle.close()
