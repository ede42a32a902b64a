"""The effective documents as files, a mock to call, and the generators."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mock_server import UsageMock
from tests.support.tiers import IN_CI
from usage_contract import load
from usage_contract.levels import Level

HERE = Path(__file__).parent
NODE_MODULES = HERE / "node_modules"
QUIET = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}


@pytest.fixture(scope="session", autouse=True)
def generators() -> None:
    """Skip the tests without the generators of package.json and requirements.txt; in CI, fail."""
    if not (NODE_MODULES.is_dir() and Path(sys.executable).with_name("datamodel-codegen").exists()):
        problem = "the generators are not installed; `tox -e generators` installs them"
        if IN_CI:
            pytest.fail(problem, pytrace=False)
        pytest.skip(problem)


@pytest.fixture(scope="session")
def mock_url() -> Iterator[str]:
    """The base URL of a mock with the shipped deployment."""
    with UsageMock(rate_limit=False) as mock:
        yield mock.url


def write_level(level: Level, folder: Path) -> Path:
    """Write the effective document of a level, and return the file."""
    path = folder / f"{level}.json"
    path.write_text(json.dumps(load(level).document))
    return path


def node_tool(name: str, *arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of package.json in a folder."""
    command = [str(NODE_MODULES / ".bin" / name), *map(str, arguments)]
    return run(command, folder)


def python_tool(name: str, *arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of this environment in a folder."""
    return run([str(Path(sys.executable).with_name(name)), *map(str, arguments)], folder)


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, **QUIET, "PATH": path}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def succeed(done: subprocess.CompletedProcess[str]) -> str:
    """Return the standard output of a command that must have succeeded."""
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
