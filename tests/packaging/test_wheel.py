"""The installed package works without the checkout, and contains no other files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from uv import find_uv_bin

from mock_server import UsageMock, load_deployment
from mock_server.fixtures.deployments import RateLimit
from tests.support.documents import blocks

CHECKOUT = Path(__file__).parents[2]


def uv(*arguments: str) -> None:
    subprocess.run([find_uv_bin(), "-q", *arguments], check=True)


@dataclass(frozen=True)
class Installed:
    """A wheel in a fresh environment, and an empty folder to run it from."""

    wheel: Path
    python: Path
    empty: Path

    def install(self, requirement: str) -> None:
        """Install a requirement into the environment."""
        uv("pip", "install", "--python", str(self.python), requirement)

    def run(self, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run the environment's Python, isolated from this one."""
        command = [str(self.python), "-I", *arguments]
        return subprocess.run(command, cwd=folder or self.empty, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    uv("build", "--wheel", "--out-dir", str(folder), str(CHECKOUT))
    (wheel,) = folder.glob("*.whl")
    uv("venv", "--python", sys.executable, str(folder / "environment"))
    (folder / "empty").mkdir()
    built = Installed(wheel, folder / "environment" / "bin" / "python", folder / "empty")
    built.install(str(wheel))
    return built


def test_the_wheel_contains_only_our_packages_and_their_data(installed: Installed) -> None:
    names = zipfile.ZipFile(installed.wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"usage_contract", "usage_contract_pytest", "mock_server", "contract_tests"}
    assert {"usage_contract/openapi/openapi.yaml", "mock_server/data/deployments/default.yaml"} <= set(names)


def test_the_mock_needs_no_test_framework(installed: Installed) -> None:
    for module in ("pytest", "hypothesis", "schemathesis", "requests"):
        assert "ModuleNotFoundError" in installed.run("-c", f"import {module}").stderr


def test_uvx_runs_the_commands_from_the_wheel(installed: Installed) -> None:
    for name in ("usage-mock", "usage-contract"):
        command = [find_uv_bin(), "tool", "run", "-q", "--python", sys.executable, "--from", str(installed.wheel), name]
        done = subprocess.run([*command, "--version"], cwd=installed.empty, capture_output=True, text=True, check=True)
        assert done.stdout.startswith(f"{name} ")


def test_the_mock_serves_from_an_empty_folder(installed: Installed) -> None:
    command = [str(installed.python), "-I", "-m", "mock_server", "--port", "0"]
    with subprocess.Popen(command, cwd=installed.empty, stdout=subprocess.PIPE, text=True) as mock:
        assert mock.stdout
        url = mock.stdout.readline().removeprefix("LISTENING ").strip()
        with urllib.request.urlopen(f"{url}/healthz") as response:
            assert response.status == 200
        mock.terminate()
    assert mock.returncode == 0


@pytest.fixture(scope="module")
def with_gate(installed: Installed) -> Installed:
    installed.install(f"{installed.wheel}[gate]")
    return installed


def test_the_gate_runs_from_an_empty_folder(with_gate: Installed) -> None:
    run = with_gate.run("-m", "pytest", "--pyargs", "contract_tests")
    assert run.returncode == 0, run.stdout + run.stderr
    assert " conforms at level documented" in run.stdout


def test_a_project_with_an_equal_option_is_not_affected(with_gate: Installed) -> None:
    (with_gate.empty / "conftest.py").write_text("def pytest_addoption(parser): parser.addoption('--api-key')\n")
    (with_gate.empty / "test_own.py").write_text(
        "def test_own(request): assert request.config.option.api_key == 'own'\n"
    )
    run = with_gate.run("-m", "pytest", "--api-key=own", "test_own.py")
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_project_with_a_package_contract_tests_is_not_affected(with_gate: Installed, tmp_path: Path) -> None:
    own = tmp_path / "contract_tests"
    own.mkdir()
    (own / "__init__.py").touch()
    (own / "test_own.py").write_text("from contract_tests import __path__ as own\ndef test_own(): assert own\n")
    program = "import sys, pytest; sys.path.insert(0, '.'); sys.exit(pytest.main(['contract_tests']))"
    run = with_gate.run("-c", program, folder=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "1 passed" in run.stdout


@pytest.mark.parametrize("page", ["README.md", "docs/ci.md"])
def test_steps_for_ci_run_with_the_wheel(page: str, with_gate: Installed, tmp_path: Path) -> None:
    (shown,) = [
        block.text for block in blocks(CHECKOUT / page) if block.language == "yaml" and "pip install" in block.text
    ]
    document = YAML(typ="safe").load(shown)
    steps = document["steps"] if "steps" in document else document["jobs"]["contract"]["steps"]
    deployment = load_deployment()
    keys = {name: replace(key, rate_limit=RateLimit(1000.0, 1000)) for name, key in deployment.keys.items()}
    with UsageMock(deployment=replace(deployment, keys=keys)) as mock:
        environment = {
            "PATH": os.pathsep.join(
                [str(with_gate.python.parent), str(Path(find_uv_bin()).parent), os.environ["PATH"]]
            ),
            "VIRTUAL_ENV": str(with_gate.python.parents[1]),
        }
        for step in steps:
            command = step.get("run", "true").replace("pip install", "uv pip install -q")
            command = re.sub(
                r'"usage-contract(\[gate\]) @ [^"]*OWNER/REPOSITORY[^"]*"', rf'"{with_gate.wheel}\1"', command
            )
            values = {"CONTRACT_API_KEY": "demo-busy", "CONTRACT_API_KEY_2": "demo-modest", "BASE_URL": mock.url}
            own = {name: values[name] for name in step.get("env", {})}
            assert "OWNER" not in command
            done = subprocess.run(
                ["bash", "-ec", command.replace("https://staging.example", mock.url)],
                cwd=tmp_path,
                env=environment | own,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "contract" / "contract.json").exists()
