"""What the documents show is what happens."""

from __future__ import annotations

import doctest
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mock_server import UsageMock, load_deployment
from mock_server.fixtures.deployments import RateLimit
from tests.support.readme import CHECKOUT, README, SHELL, run

SECTIONS = ["What it is", "Against staging", "The mock for client work", "In CI"]


@pytest.fixture
def staging() -> Iterator[str]:
    """A deployment whose limits are raised, so that the gate need not wait."""
    deployment = load_deployment()
    keys = {name: replace(key, rate_limit=RateLimit(1000.0, 1000)) for name, key in deployment.keys.items()}
    with UsageMock(deployment=replace(deployment, keys=keys)) as mock:
        yield mock.url


def test_the_sections_stand_in_their_order() -> None:
    assert re.findall(r"^## (.*)", README, re.MULTILINE) == SECTIONS


def test_the_staging_example_conforms(staging: str) -> None:
    (example,) = [block for block in SHELL if "https://staging.example" in block]
    result = run(example.replace("https://staging.example", staging))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "requests in " in result.stdout


@pytest.mark.parametrize("example", [block for block in SHELL if block.startswith("curl")])
def test_a_curl_example_gets_figures(staging: str, example: str) -> None:
    assert '"api_key":"demo-busy"' in run(example.replace("http://127.0.0.1:8080", staging)).stdout


def test_the_document_example_prints_json() -> None:
    (example,) = [block for block in SHELL if "usage_contract" in block]
    assert run(example).stdout.startswith("{")


@pytest.mark.parametrize("document", ["README.md", "docs/faults.md"])
def test_the_python_examples_are_true(document: str) -> None:
    failed, tried = doctest.testfile(str(CHECKOUT / document), module_relative=False)
    assert (failed, tried > 0) == (0, True)


def test_the_examples_about_the_mock_are_true(tmp_path: Path) -> None:
    text = (CHECKOUT / "docs" / "mock.md").read_text()
    (deployment,) = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "deployments").mkdir()
    (tmp_path / "deployments" / "mine.yaml").write_text(deployment)
    assert run(f"usage-mock check {tmp_path}").returncode == 0
    (program,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    exec(compile(program, "docs/mock.md", "exec"), {})


def test_the_control_api_does_what_its_examples_show(staging: str) -> None:
    text = (CHECKOUT / "docs" / "mock.md").read_text()
    (session,) = re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    session = session.replace("http://127.0.0.1:8080", staging)
    script = "\n".join(f"{line}; echo" for line in re.findall(r"^\$ (.*)", session, re.MULTILINE))
    shown = re.sub(r"^\$ .*\n", "", session, flags=re.MULTILINE)
    assert [line for line in run(script).stdout.splitlines() if line] == shown.splitlines()


def test_every_option_of_the_gate_is_documented() -> None:
    text = (CHECKOUT / "docs" / "gate.md").read_text()
    plugin = (CHECKOUT / "contract_tests" / "plugin.py").read_text()
    options = re.findall(r'"(--[\w-]+)",', plugin)
    assert len(options) > 10
    assert set(options) - set(re.findall(r"`(--[\w-]+)", text)) == set()


def test_every_option_of_the_mock_is_documented() -> None:
    text = (CHECKOUT / "docs" / "mock.md").read_text()
    options = re.findall(r"(--[\w-]+)", run("python -m mock_server --help").stdout)
    assert len(set(options)) > 5
    documented = {*re.findall(r"`(--[\w-]+)", text), "--help"}
    # A switch is documented by the form that changes something.
    assert [each for each in options if not {each, each.replace("--", "--no-", 1)} & documented] == []
