"""The container image: built by buildah on a base made by debootstrap, and run as PID 1 without a container runtime."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.readme import CHECKOUT

CERTIFICATES = "/etc/ssl/certs:/etc/ssl/certs:ro"
PORT = 18080


@dataclass(frozen=True)
class Image:
    """The mounted image, and its configuration in Docker's format."""

    root: Path
    config: dict[str, Any]

    def command(self, *arguments: str) -> list[str]:
        """Return the command that runs a program of the image as PID 1: read-only, and as the image's user."""
        root = str(self.root)
        script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec chroot "$@"'
        environment = ["/usr/bin/env", "-i", *self.config["Env"], f"USAGE_MOCK_PORT={PORT}"]
        chroot = [f"--userspec={self.config['User']}", root, *environment, *arguments]
        return ["unshare", "--pid", "--fork", "--mount", "sh", "-ec", script, root, *chroot]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    folder = tmp_path_factory.mktemp("image")
    packages = "python3,python3-venv,ca-certificates"
    _run("debootstrap", "--variant=minbase", f"--include={packages}", "stable", str(folder / "base"))
    storage = [
        "buildah",
        "--storage-driver",
        "vfs",
        "--root",
        str(folder / "storage"),
        "--runroot",
        str(folder / "run"),
    ]
    base = _run(*storage, "from", "scratch")
    _run(*storage, "copy", "-q", base, str(folder / "base"), "/")
    _run(*storage, "commit", "-q", base, "base")
    options = ["--isolation", "chroot", "--format", "docker", "--build-arg", "BASE=localhost/base"]
    _run(*storage, "build", *options, "-v", CERTIFICATES, "-f", "Containerfile", "-t", "usage-mock", ".")
    container = _run(*storage, "from", "--pull-never", "localhost/usage-mock")
    config = json.loads(_run(*storage, "inspect", "--type", "image", "localhost/usage-mock"))["Docker"]["config"]
    yield Image(Path(_run(*storage, "mount", container)), config)
    _run(*storage, "rm", "--all")


def _run(*command: str) -> str:
    return subprocess.run(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


@contextmanager
def running(image: Image) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run the image's entry point until the block ends; yields the process of `unshare` and the id of the mock."""
    command = image.command(*image.config["Entrypoint"])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == f"LISTENING http://0.0.0.0:{PORT}\n"
            yield process, int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
        finally:
            if process.poll() is None:
                os.kill(int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()), signal.SIGKILL)


def test_the_mock_is_pid_1_of_a_user_without_privileges_and_ends_on_sigterm(image: Image) -> None:
    assert image.config["StopSignal"] == "SIGTERM"
    with running(image) as (process, mock):
        request = urllib.request.Request(f"http://127.0.0.1:{PORT}/usage", headers={"X-API-Key": "demo-busy"})
        with urllib.request.urlopen(request) as response:
            assert response.status == 200
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{mock}/status").read_text().splitlines())
        assert status["NSpid"].split()[-1] == "1"
        assert set(status["Uid"].split()) == {"65534"}
        assert "usage-mock" in Path(f"/proc/{mock}/cmdline").read_text()
        os.kill(mock, signal.SIGTERM)
        assert process.wait() == 0


def test_the_health_check_reports_whether_the_mock_runs(image: Image) -> None:
    kind, *check = image.config["Healthcheck"]["Test"]
    assert kind == "CMD"
    with running(image):
        assert subprocess.run(image.command(*check), check=False).returncode == 0
    done = subprocess.run(image.command(*check), stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 4
    assert "does not respond" in done.stderr
