"""A run in an environment that the gate does not support ends with exit code 4 and a message."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mock_server import UsageMock
from tests.support.forked_gate import GATE
from tests.support.gate import Run
from tests.support.projects import SECRET, run_pytest

RunGate = Callable[..., Run]
WITH_TLS = ("--base-url", "https://127.0.0.1:1", "--api-key", SECRET)
BLOCKS_SOCKETS = """
import socket

class SocketBlockedError(RuntimeError):
    pass

def refuse(*args, **kwargs):
    raise SocketBlockedError("A test tried to use socket.socket.")

def pytest_runtest_setup(item):
    socket.create_connection = refuse
"""
KNOWS_FORKED = "def pytest_addoption(parser):\n    parser.addoption('--forked', action='store_true', dest='forked')\n"


def test_a_plugin_that_blocks_sockets_is_reported(
    run_gate: RunGate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "blocking.py").write_text(BLOCKS_SOCKETS)
    monkeypatch.syspath_prepend(tmp_path)
    with UsageMock() as mock:
        run = run_gate("--base-url", mock.url, "--api-key", mock.api_key, "-p", "blocking")
    assert run.code == 4
    reason = (
        "could not be tested: a pytest plugin blocks its connections (blocking): A test tried to use socket.socket."
    )
    assert reason in run.output
    assert "Traceback" not in run.output


def test_a_process_for_each_rule_is_rejected(
    run_gate: RunGate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "forking.py").write_text(KNOWS_FORKED)
    monkeypatch.syspath_prepend(tmp_path)
    run = run_gate("-p", "forking", "--forked")
    assert run.code == 4
    assert "ERROR: --forked: the rules share one process" in run.output


def test_a_key_log_that_cannot_be_written_is_reported(run_gate: RunGate) -> None:
    run = run_gate(*WITH_TLS, environment={"SSLKEYLOGFILE": "/nowhere/keys.log"})
    assert run.code == 4
    assert "ERROR: SSLKEYLOGFILE: /nowhere/keys.log cannot be written: No such file or directory." in run.output


def test_a_key_log_is_not_needed_without_tls(run_gate: RunGate) -> None:
    assert run_gate("-k", "missing_key", environment={"SSLKEYLOGFILE": "/nowhere/keys.log"}).code == 0


def test_disabled_plugin_autoloading_is_reported(tmp_path: Path) -> None:
    run = run_pytest("--pyargs", "contract_tests", folder=tmp_path, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert run.returncode == 4
    assert "ERROR: the gate's plugin is not loaded. Leave pytest's plugin autoloading on" in run.stderr
    assert "Traceback" not in run.stdout + run.stderr


FULL = "No space left on device"
LOST_OUTPUT = {
    ">/dev/full": (4, FULL),
    "-s >/dev/full": (4, FULL),
    "--base-url http://127.0.0.1:1 --api-key any-key >/dev/full": (4, FULL),
    ">/dev/full 2>&1": (4, ""),
    ">&-": (0, ""),
    "-s >&- 2>&-": (0, ""),
    "--level no-such-level >&-": (4, "argument --level: invalid choice: 'no-such-level'"),
}


def run_in_shell(command: str, folder: Path, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    pytest_command = f"{Path(sys.executable).with_name('pytest')} -p no:cacheprovider --pyargs contract_tests"
    script = f"{pytest_command} --report-dir out {command}"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "CONTRACT_"))}
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=inherited,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("how", LOST_OUTPUT)
def test_a_run_whose_output_is_lost_is_not_red_and_has_reports(how: str, tmp_path: Path) -> None:
    code, problem = LOST_OUTPUT[how]
    run = run_in_shell(f"-k missing_key {how}", tmp_path)
    assert run.returncode == code
    assert problem in run.stderr
    assert "Traceback" not in run.stderr
    assert json.loads((tmp_path / "out" / "contract.json").read_text())["exit_code"] == code


@pytest.mark.parametrize("option", ["", "--rules"])
def test_a_pipe_without_a_reader_is_reported_on_standard_error(option: str, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    run = run_in_shell(f"-k missing_key {option}", tmp_path, writer)
    os.close(writer)
    assert run.returncode == 4
    assert run.stderr == "ERROR: standard output could not be written: Broken pipe\n"
    if not option:
        report = json.loads((tmp_path / "out" / "contract.json").read_text())
        assert report["headline"] == "standard output could not be written: Broken pipe"


def test_a_red_run_whose_output_is_lost_is_red(tmp_path: Path) -> None:
    with UsageMock(fault="missing-key-is-403", rate_limit=False) as mock:
        run = run_in_shell(f"-k missing_key --base-url {mock.url} --api-key {mock.api_key} >/dev/full", tmp_path)
    assert run.returncode == 1
    assert run.stderr == "ERROR: standard output could not be written: No space left on device\n"
    report = json.loads((tmp_path / "out" / "contract.json").read_text())
    assert report["headline"].endswith("BREAKS ITS CONTRACT at level documented")


def test_a_gate_that_another_package_hides_removes_earlier_reports(tmp_path: Path) -> None:
    (tmp_path / "contract_tests").mkdir()
    (tmp_path / "contract_tests" / "__init__.py").touch()
    report = tmp_path / "out" / "contract.html"
    report.parent.mkdir()
    report.write_text("an earlier green run")
    run = run_pytest(str(GATE), "--report-dir", "out", folder=tmp_path, PYTHONPATH=str(tmp_path))
    assert run.returncode == 4
    assert not report.exists()


@pytest.mark.parametrize("place", ["contract_tests", "contract_tests/test_auth.py::test_missing_key_is_401"])
def test_another_copy_of_the_gate_is_reported_without_the_key(place: str, tmp_path: Path) -> None:
    shutil.copytree(GATE, tmp_path / "contract_tests")
    run = run_pytest(place, "--api-key", SECRET, folder=tmp_path)
    assert run.returncode == 4
    assert f"ERROR: {tmp_path}/contract_tests is not the installed gate, which is {GATE}." in run.stderr
    assert SECRET not in run.stdout + run.stderr
