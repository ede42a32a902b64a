"""The command, as a process where it serves and in this one where it only speaks."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mock_server import load_deployment
from mock_server.cli import main

from .wire import address, ask, send, usage

FINE = "description: d\nkeys: {k: {}}\n"


@contextmanager
def serving(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command on a free port; give the process and its base URL, and stop it at the end."""
    command = [sys.executable, "-m", "mock_server", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            listening, _, url = process.stdout.readline().strip().partition(" ")
            assert listening == "LISTENING"
            yield process, url
        finally:
            process.terminate()


def test_the_first_line_says_where_it_listens() -> None:
    with serving() as (_, url):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        assert usage(url, "demo-busy").status == 200


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")
def test_an_ipv6_address_is_told_in_brackets() -> None:
    with serving("--host", "::1") as (_, url):
        assert re.fullmatch(r"http://\[::1\]:\d+", url)
        assert ask(url, "/healthz").status == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_peace(number: signal.Signals) -> None:
    with serving() as (process, url):
        ask(url)
        process.send_signal(number)
        assert process.wait(5) == 0


def test_no_key_is_ever_printed() -> None:
    with serving() as (process, url):
        assert usage(url, "demo-busy").status == 200
        assert usage(url, "some-secret").status == 403
        assert send(url, b"GET /usage HTTP/1.1\r\nHost: x\r\nX-API-Key: some\0secret\r\n\r\n").status == 400
        process.terminate()
        assert process.communicate(timeout=5) == ("", "")


def test_options_choose_the_deployment_the_status_and_the_limit(deployments: Path) -> None:
    limit = "rate_limit: {rps: 1, burst: 1}"
    (deployments / "other.yaml").write_text(f"description: d\n{limit}\nkeys: {{k: {{}}}}\n")
    chosen = ["--fixtures", str(deployments.parent), "--deployment", "other"]
    with serving(*chosen, "--no-rate-limit", "--unknown-key-status", "401") as (_, url):
        assert [usage(url, "k").status for _ in range(5)] == [200] * 5
        assert usage(url, "demo-busy").status == 401


def test_a_port_in_use_is_told_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["--port", port]) == 4
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(rf"usage-mock: cannot listen on 127\.0\.0\.1 port {port}: .*address already in use\n", err)


@pytest.mark.parametrize("host", ["host.invalid", "x" * 70, "a b", "256.256.256.256", "a\0b"])
def test_a_host_that_is_none_is_told_in_one_line(capfd: pytest.CaptureFixture[str], host: str) -> None:
    assert main(["--host", host, "--port", "0"]) == 4
    _, err = capfd.readouterr()
    assert err.startswith(f"usage-mock: cannot listen on {host} port 0: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("port", ["-1", "65536", "http", ""])
def test_a_port_that_is_none_is_refused(capsys: pytest.CaptureFixture[str], port: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--port", port])
    assert caught.value.code == 2
    assert "argument --port" in capsys.readouterr().err


def test_an_unknown_deployment_is_told_with_the_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--deployment", "defualt"]) == 4
    assert "did you mean 'default'? the deployments are default" in capsys.readouterr().err


def test_a_bad_fixture_keeps_it_from_starting_with_a_line_for_each_problem(
    deployments: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = deployments / "default.yaml"
    path.write_text("descripton: d\nkeys: {k: {trafic: {}}}\n")
    assert main(["--fixtures", str(deployments.parent)]) == 4
    assert capsys.readouterr().err.splitlines() == [
        f"usage-mock: {path}:1: 'description' is missing",
        f"usage-mock: {path}:1 /descripton: is not a name that is known here; did you mean 'description'?",
        f"usage-mock: {path}:2 /keys/k/trafic: is not a name that is known here; did you mean 'traffic'?",
    ]


def test_check_says_how_many_deployments_are_fine(deployments: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (deployments / "one.yaml").write_text(FINE)
    (deployments / "two.yaml").write_text(FINE)
    assert main(["check", str(deployments.parent)]) == 0
    assert capsys.readouterr().out == "2 of 2 deployments are fine\n"


def test_check_tells_every_problem_of_every_deployment(deployments: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (deployments / "one.yaml").write_text("keys: {}\n")
    (deployments / "three.yaml").write_text("")
    (deployments / "two.yaml").write_text(FINE)
    assert main(["check", str(deployments.parent)]) == 4
    out, err = capsys.readouterr()
    assert out == "1 of 3 deployments are fine\n"
    assert len(err.splitlines()) == 3


def test_check_without_a_folder_checks_that_of_fixtures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--fixtures", str(tmp_path), "check"]) == 4
    assert main(["check"]) == 0
    assert "holds no deployment" in capsys.readouterr().err


def test_help_waits_for_nothing_that_is_slow_to_import() -> None:
    code = (
        "import sys, mock_server.cli\n"
        "try: mock_server.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print({'aiohttp', 'asyncio', 'jsonschema', 'ruamel'} & {name.partition('.')[0] for name in sys.modules})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_the_command_serves_what_the_package_loads() -> None:
    with serving() as (_, url):
        key = next(iter(load_deployment().keys))
        assert usage(url, key).json["api_key"] == key
        assert address(url)[1] > 0
