"""The documentation of the gate: every block runs, and every option is described."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from contract_tests.run.deviations import read_deviations
from contract_tests.support.rules import rule_ids
from mock_server import UsageMock, load_deployment
from mock_server.fixtures.deployments import RateLimit
from tests.support.documents import Block, Walkthrough, blocks
from tests.support.gate import Run
from tests.support.har import entry, har
from tests.support.readme import CHECKOUT

PAGES = ["gate.md", "keys.md", "reports.md"]
FIGURE = re.compile(r"\d+")


@pytest.fixture(scope="module")
def staging() -> Iterator[str]:
    shipped = load_deployment()
    keys = {name: replace(key, rate_limit=RateLimit(1000.0, 1000)) for name, key in shipped.keys.items()}
    with UsageMock(deployment=replace(shipped, keys=keys)) as mock:
        yield mock.url


@pytest.mark.parametrize("page", PAGES)
def test_every_command_runs(page: str, staging: str, tmp_path: Path) -> None:
    (tmp_path / "staging.key").write_text("demo-busy\n")
    replacements = {"https://staging.example": staging, "pytest contract_tests": "pytest --pyargs contract_tests"}
    with closing(Walkthrough(tmp_path, replacements)) as walkthrough:
        # One rule shows that a command runs; the README's commands run all of them.
        walkthrough.run(Block("sh", "export PYTEST_ADDOPTS='-k missing_key' CONTRACT_API_KEY=demo-busy\n", 0))
        for block in blocks(CHECKOUT / "docs" / page):
            if block.language == "sh":
                walkthrough.run(block)


def test_the_page_about_traffic_runs(staging: str, tmp_path: Path) -> None:
    metrics = requests.get(f"{staging}/usage", headers={"X-API-Key": "demo-busy"}, timeout=30).text
    (tmp_path / "capture.har").write_text(json.dumps(har(*(entry(metrics, at=at) for at in range(3)))))
    replacements = {
        "https://staging.example": staging,
        "pytest contract_tests": "pytest --pyargs contract_tests",
        "openapi/openapi.yaml": str(CHECKOUT / "openapi" / "openapi.yaml"),
    }
    with closing(Walkthrough(tmp_path, replacements)) as walkthrough:
        walkthrough.run(Block("sh", "export PYTEST_ADDOPTS= CONTRACT_API_KEY=demo-busy\n", 0))
        for block in blocks(CHECKOUT / "docs" / "traffic.md"):
            walkthrough.run(block)


def test_a_failure_is_printed_as_shown(run_gate: Callable[..., Run]) -> None:
    (shown,) = [block.text for block in blocks(CHECKOUT / "docs" / "gate.md") if block.language == "text"]
    with UsageMock(fault="missing-key-is-403") as mock:
        run = run_gate("--base-url", mock.url, "--rule", "auth/missing-key-is-401", "--api-key", mock.api_key)
        printed = run.output.replace(mock.url, "https://staging.example")
    assert FIGURE.sub("#", shown) in FIGURE.sub("#", printed)


def test_the_shown_deviation_is_valid(tmp_path: Path) -> None:
    (shown,) = [block.text for block in blocks(CHECKOUT / "docs" / "gate.md") if block.language == "toml"]
    (tmp_path / "deviations.toml").write_text(shown)
    assert list(read_deviations(tmp_path / "deviations.toml", rule_ids())) == ["auth/missing-key-is-401"]


@pytest.mark.parametrize("number", [0, 1])
def test_the_shown_workflow_is_valid(number: int, tmp_path: Path) -> None:
    shown = [block.text for block in blocks(CHECKOUT / "docs" / "ci.md")]
    assert len(shown) == 2
    (tmp_path / "contract.yml").write_text(shown[number])
    command = [str(Path(sys.executable).with_name("check-jsonschema")), "--builtin-schema", "vendor.github-workflows"]
    done = subprocess.run([*command, tmp_path / "contract.yml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_option_is_documented() -> None:
    text = (CHECKOUT / "docs" / "gate.md").read_text()
    source = (CHECKOUT / "contract_tests" / "run" / "options.py").read_text()
    options = re.findall(r'add\(\s*"(--[\w-]+)",', source)
    assert len(options) > 10
    assert set(options) - set(re.findall(r"`(--[\w-]+)", text)) == set()


def test_no_block_has_another_language() -> None:
    languages = {page: {block.language for block in blocks(CHECKOUT / "docs" / page)} for page in PAGES}
    assert languages == {"gate.md": {"sh", "text", "toml"}, "keys.md": {"sh"}, "reports.md": {"sh"}}
