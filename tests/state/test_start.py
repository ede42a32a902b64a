"""`--state` and `--workers`: rejected options, and the start and end of processes behind one port."""

from __future__ import annotations

import asyncio
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import trustme

from mock_server.command.cli import main
from mock_server.masking import mask_key
from mock_server.shared_state.redis_state import _unavailable
from tests.support.command import serving
from tests.support.control_api import Api
from tests.support.wire import usage

from .load import send_load
from .server import Redis
from .test_load import BURST

LINUX = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="needs Linux, which lists the children of a process"
)


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def test_an_error_without_a_text_is_reported_by_its_type() -> None:
    assert str(_unavailable(ConnectionResetError())).endswith("cannot be used: ConnectionResetError")


@pytest.mark.parametrize(
    "url", ["http://:s3cret@x", "redis:s3cret", "redis://:s3cret@x:port", "redis://:s3cret@x/?no=1", "s3cret"]
)
def test_an_invalid_url_is_reported_without_quoting_it(capfd: pytest.CaptureFixture[str], url: str) -> None:
    assert main(["--port", "0", "--state", url]) == 4
    out, err = capfd.readouterr()
    assert re.fullmatch(r"usage-mock: --state: .*redis://\[USER:PASSWORD@\]HOST.*\n", err)
    assert "s3cret" not in out + err


@pytest.mark.parametrize(
    "url", ["redis://:s3cret@127.0.0.1:{port}", "valkey://127.0.0.1:{port}/2#x", "unix:///no/where"]
)
def test_an_unreachable_state_is_reported_in_one_line(capfd: pytest.CaptureFixture[str], url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert main(["--port", "0", "--state", url.format(port=port)]) == 4
    out, err = capfd.readouterr()
    assert re.fullmatch(r"usage-mock: the shared state \(--state\) cannot be used: .+\n", err)
    assert "s3cret" not in out + err


def test_a_password_is_sent_and_a_wrong_one_is_reported_without_quoting_it(
    durable: Redis, capfd: pytest.CaptureFixture[str]
) -> None:
    durable.end()
    secured = Redis(durable.folder, "--requirepass", "s3cret")
    secured.start()
    try:
        right, wrong = (f"unix://:{word}@{durable.folder}/redis.sock" for word in ("s3cret", "wr0ng"))
        with serving("--state", right) as (_, url):
            assert usage(url, "demo-busy").status == 200
        assert main(["--port", "0", "--state", wrong]) == 4
    finally:
        secured.end()
        durable.start()
    assert "wr0ng" not in capfd.readouterr().err


def test_a_state_can_use_tls_and_needs_a_trusted_certificate(capfd: pytest.CaptureFixture[str]) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    with tempfile.TemporaryDirectory(prefix="redis") as folder, socket.create_server(("127.0.0.1", 0)) as free:
        ca, cert, key = (str(Path(folder) / name) for name in ("ca.pem", "cert.pem", "key.pem"))
        authority.cert_pem.write_to_path(ca)
        certificate.cert_chain_pems[0].write_to_path(cert)
        certificate.private_key_pem.write_to_path(key)
        port = free.getsockname()[1]
        free.close()
        of_tls = ("--tls-port", str(port), "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca)
        secured = Redis(Path(folder), *of_tls, "--tls-auth-clients", "no")
        secured.start()
        try:
            with serving("--state", f"rediss://localhost:{port}?ssl_ca_certs={ca}") as (_, url):
                assert usage(url, "demo-busy").status == 200
            assert main(["--port", "0", "--state", f"rediss://localhost:{port}"]) == 4
        finally:
            secured.end()
    assert "CERTIFICATE_VERIFY_FAILED" in capfd.readouterr().err


def test_workers_without_a_state_are_rejected_with_the_reason(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--port", "0", "--workers", "2"]) == 4
    assert "--workers: more than one process needs a shared state; add --state redis://HOST" in capfd.readouterr().err


@LINUX
def test_workers_share_one_state(deployments: Path, url: str) -> None:
    (deployments / "default.yaml").write_text(
        f"description: d\nrate_limit: {{rps: 10, burst: {BURST}}}\nkeys: {{k: {{}}}}\n"
    )
    options = ["--fixtures", str(deployments.parent), "--state", url, "--log", "none", "--workers", "2"]
    with serving(*options) as (process, base):
        Api(base).do("PATCH", "/clock", {"frozen": True})
        statuses = asyncio.run(send_load([base], "k", lambda statuses, _: statuses.total() >= 2 * BURST, clients=48))
        assert statuses == {200: BURST, 429: statuses.total() - BURST}
        assert len(workers_of(process)) == 2


@LINUX
def test_a_worker_that_dies_is_replaced_and_a_stop_ends_all_workers(url: str) -> None:
    with serving("--state", url, "--log", "none", "--workers", "2") as (process, base):
        first, second = workers_of(process)
        os.kill(first, signal.SIGKILL)
        assert process.stderr
        assert process.stderr.readline() == f"usage-mock: worker {first} was ended by SIGKILL; it is replaced\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert not Path(f"/proc/{second}").exists()
        with pytest.raises(ConnectionRefusedError):
            usage(base, "demo-busy")


@LINUX
def test_a_worker_that_dies_without_the_state_is_replaced_when_the_state_is_available(durable: Redis) -> None:
    with serving("--state", durable.url, "--log", "none", "--workers", "2") as (process, base):
        first, second = workers_of(process)
        durable.end(signal.SIGKILL)
        os.kill(first, signal.SIGKILL)
        assert process.stderr
        lines = [process.stderr.readline() for _ in range(3)]
        assert "it is replaced" in lines[0]
        assert "cannot be used" in "".join(lines)
        assert usage(base, "demo-busy").status == 503
        durable.start()
        while len(workers_of(process)) < 2:
            assert process.poll() is None
        assert second in workers_of(process)


@LINUX
def test_workers_end_when_their_parent_is_killed(url: str) -> None:
    with serving("--state", url, "--log", "none", "--workers", "2") as (process, _):
        pids = [os.pidfd_open(pid) for pid in workers_of(process)]
        process.kill()
        process.wait()
        for pid in pids:
            ended, _, _ = select.select([pid], [], [], 10)
            assert ended
            os.close(pid)


def test_several_workers_name_the_console_and_the_keys_once(url: str) -> None:
    with serving("--state", url, "--workers", "2", "--key", "secret-key") as (process, base):
        process.terminate()
        lines = process.communicate()[1].splitlines()
    masked = mask_key("secret-key")
    expected = f"console: {base}/__mock__/; 4 keys: demo-busy, demo-modest, demo-fresh, {masked}"
    assert [line.partition(" ")[2] for line in lines] == [expected]


def test_an_error_of_workers_is_reported_once(deployments: Path, url: str) -> None:
    command = [sys.executable, "-m", "mock_server", "--port", "0", "--state", url, "--workers", "3"]
    done = subprocess.run(
        [*command, "--fixtures", str(deployments.parent)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 4
    assert done.stdout == ""
    assert done.stderr.count("has no deployment") == 1
    assert "a worker exited before it was listening" in done.stderr


@LINUX
def test_the_port_of_other_workers_is_in_use(url: str) -> None:
    with serving("--state", url, "--log", "none", "--workers", "2") as (_, base):
        port = base.rpartition(":")[2]
        command = [sys.executable, "-m", "mock_server", "--port", port, "--state", url, "--workers", "2"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert re.fullmatch(
        rf"usage-mock: cannot listen on 127\.0\.0\.1 port {port}: Address already in use\n", done.stderr
    )
