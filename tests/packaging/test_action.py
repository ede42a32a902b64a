"""The GitHub Action: its run steps, executed in a shell like a runner does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from mock_server import UsageMock, load_deployment
from mock_server.fixtures.deployments import RateLimit
from tests.support.documents import blocks
from tests.support.readme import CHECKOUT

ACTION: dict[str, Any] = YAML(typ="safe").load((CHECKOUT / "action.yml").read_text())
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
INSTALL, GATE = (step for step in STEPS if "run" in step)
SHELL = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"]  # the command of GitHub for `shell: bash`
EXPRESSION = re.compile(r"\$\{\{ ([\w.-]+) \}\}")


@dataclass(frozen=True)
class Runner:
    """A runner with a folder for temporary files."""

    temporary: Path

    def run(self, step: dict[str, Any], folder: Path, inputs: Mapping[str, str], **environment: str) -> int:
        """Run one step with the inputs of the action, and return its exit code."""
        assert step["shell"] == "bash"
        context = {f"inputs.{name}": value.get("default", "") for name, value in ACTION["inputs"].items()}
        context |= {f"inputs.{name}": value for name, value in inputs.items()}
        context |= {"steps.python.outputs.python-path": sys.executable, "github.action_path": str(CHECKOUT)}
        own = {name: EXPRESSION.sub(lambda match: context[match[1]], value) for name, value in step["env"].items()}
        files = {"GITHUB_OUTPUT": str(folder / "output"), "GITHUB_STEP_SUMMARY": str(folder / "summary.md")}
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        inherited |= {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
        runner = {"RUNNER_TEMP": str(self.temporary), "GITHUB_ACTIONS": "true"}
        done = subprocess.run(
            [*SHELL, step["run"]], cwd=folder, env=inherited | runner | files | own | environment, check=False
        )
        return done.returncode


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    made = Runner(tmp_path_factory.mktemp("runner"))
    folder = tmp_path_factory.mktemp("installing")
    assert made.run(INSTALL, folder, {}) == 0
    return made


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a pytest configuration and a package that must not affect the gate."""
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (tmp_path / "contract_tests").mkdir()
    (tmp_path / "contract_tests" / "__init__.py").touch()
    return tmp_path


@pytest.fixture(params=["", "missing-key-is-403"], ids=["correct", "broken"])
def mock(request: pytest.FixtureRequest) -> Iterator[UsageMock]:
    deployment = load_deployment()
    keys = {name: replace(key, rate_limit=RateLimit(1000.0, 1000)) for name, key in deployment.keys.items()}
    with UsageMock(deployment=replace(deployment, keys=keys), fault=request.param or None) as running:
        yield running


def outputs(folder: Path) -> dict[str, str]:
    """Return the outputs of the action, as its caller reads them."""
    lines = dict(line.split("=", 1) for line in (folder / "output").read_text().splitlines())
    context = {f"steps.gate.outputs.{name}": value for name, value in lines.items()}
    return {
        name: EXPRESSION.sub(lambda match: context[match[1]], output["value"])
        for name, output in ACTION["outputs"].items()
    }


def test_a_run_has_outputs_reports_and_a_summary(runner: Runner, repository: Path, mock: UsageMock) -> None:
    inputs = {"base-url": mock.url, "level": "specified"}
    code = runner.run(GATE, repository, inputs, CONTRACT_API_KEY="demo-busy", CONTRACT_API_KEY_2="demo-modest")
    assert code == 0
    report = json.loads((repository / "contract" / "contract.json").read_text())
    assert outputs(repository) == {
        "verdict": report["verdict"],
        "exit-code": "0",
        "report": "contract/contract.html",
    }
    assert (report["level"], report["target"]) == ("specified", mock.url)
    assert (repository / "contract" / "contract.html").exists()
    assert (repository / "summary.md").read_text().startswith("# ✓ Conforms")


KNOWN = """[[deviation]]
rule = "auth/missing-key-is-401"
reason = "the gateway in front returns 403"
owner = "platform team"
ticket = "OPS-1234"
expires = 9999-12-31
"""


@pytest.mark.parametrize("mock", ["missing-key-is-403"], indirect=True)
def test_a_known_deviation_decides_the_exit_code(runner: Runner, repository: Path, mock: UsageMock) -> None:
    inputs = {"base-url": mock.url, "report-dir": "reports of today"}
    assert runner.run(GATE, repository, inputs, CONTRACT_API_KEY="demo-busy") == 1
    assert outputs(repository)["verdict"] == "broken"
    assert outputs(repository)["report"] == "reports of today/contract.html"
    (repository / "known.toml").write_text(KNOWN)
    assert runner.run(GATE, repository, inputs | {"known-deviations": "known.toml"}, CONTRACT_API_KEY="demo-busy") == 0
    assert outputs(repository)["exit-code"] == "0"


def test_a_run_that_cannot_start_has_outputs(runner: Runner, repository: Path) -> None:
    inputs = {"base-url": "https://staging.example/?$(touch injected)", "report-dir": "pytest.ini"}
    assert runner.run(GATE, repository, inputs, CONTRACT_API_KEY="demo-busy") == 4
    assert outputs(repository) == {
        "verdict": "could not be tested",
        "exit-code": "4",
        "report": "pytest.ini/contract.html",
    }
    assert not (repository / "injected").exists()


@pytest.mark.parametrize("option", ["--plan", "--co", "--version"])
def test_a_run_that_tests_nothing_is_not_green_despite_an_earlier_report(
    option: str, runner: Runner, repository: Path
) -> None:
    earlier = [repository / "contract" / name for name in ("contract.json", "contract.md", "contract.html")]
    earlier[0].parent.mkdir()
    for path in earlier:
        path.write_text('{"verdict": "conforms"}')
    inputs = {"base-url": "https://staging.example"}
    assert runner.run(GATE, repository, inputs, CONTRACT_API_KEY="demo-busy", PYTEST_ADDOPTS=option) == 4
    assert (outputs(repository)["verdict"], outputs(repository)["exit-code"]) == ("could not be tested", "4")
    assert not any(path.exists() for path in earlier)


def test_the_reports_are_uploaded_after_a_failed_run() -> None:
    (kept,) = (step for step in STEPS if step.get("uses", "").startswith("actions/upload-artifact@"))
    assert kept["if"] == "always()"
    assert kept["with"]["path"] == "${{ inputs.report-dir }}"


def test_no_script_contains_an_expression() -> None:
    """No script contains an expression, as GitHub replaces it before the shell parses the script."""
    assert [step["run"] for step in (INSTALL, GATE) if "${{" in step["run"]] == []


def test_the_action_is_valid() -> None:
    command = [str(Path(sys.executable).with_name("check-jsonschema")), "--builtin-schema", "vendor.github-actions"]
    done = subprocess.run([*command, CHECKOUT / "action.yml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_shown_job_has_six_lines_and_uses_inputs_of_the_action() -> None:
    shown = next(block.text for block in blocks(CHECKOUT / "docs" / "ci.md") if block.language == "yaml")
    job = shown.partition("jobs:\n")[2]
    assert len(job.splitlines()) == 6
    (step,) = YAML(typ="safe").load(shown)["jobs"]["contract"]["steps"]
    assert step["uses"].startswith("OWNER/REPOSITORY@")
    assert set(step["with"]) <= set(ACTION["inputs"])
    assert {name for name, value in ACTION["inputs"].items() if value.get("required")} <= set(step["with"])


def test_every_input_and_output_is_documented() -> None:
    text = (CHECKOUT / "docs" / "ci.md").read_text()
    names = [*ACTION["inputs"], *ACTION["outputs"]]
    assert [name for name in names if f"| `{name}` |" not in text] == []
