"""What the documents show is what happens."""

from __future__ import annotations

import doctest
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from mock_server import UsageMock, load_deployment
from mock_server.fixtures import RateLimit
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


def test_the_python_examples_are_true() -> None:
    failed, tried = doctest.testfile(str(CHECKOUT / "README.md"), module_relative=False)
    assert (failed, tried > 0) == (0, True)


def test_every_option_of_the_gate_is_documented() -> None:
    text = (CHECKOUT / "docs" / "gate.md").read_text()
    plugin = (CHECKOUT / "contract_tests" / "plugin.py").read_text()
    options = re.findall(r'"(--[\w-]+)",', plugin)
    assert len(options) > 10
    assert set(options) - set(re.findall(r"`(--[\w-]+)", text)) == set()
