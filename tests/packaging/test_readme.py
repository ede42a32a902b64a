"""The commands of the README have the shown results, and its numbers are current."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest

from contract_tests.support.rules import all_rules, rule_ids
from mock_server import UsageMock, load_deployment
from mock_server.fixtures.deployments import RateLimit
from mock_server.fixtures.faults import load_fault
from tests.support.documents import Block, Walkthrough, blocks
from tests.support.proof import BROKEN, CORRECT
from tests.support.readme import CHECKOUT, README, SHELL

SECTIONS = [
    "Quick start",
    "Check a deployment",
    "Run the mock",
    "In a client's tests",
    "In CI",
    "Where next",
    "Developing",
    "Licence",
]
# The fault of the deployment that the README shows as broken.
BROKEN_DEPLOYMENT = "missing-key-is-403"
# Other tests run these: the first two commands and the output of the first, and the steps for CI.
RUN_ELSEWHERE = {"text", "yaml"}


@pytest.fixture
def deployments() -> Iterator[dict[str, str]]:
    """The deployments of the README by their URLs, with raised rate limits, so that the gate need not wait."""
    shipped = load_deployment()
    keys = {name: replace(key, rate_limit=RateLimit(1000.0, 1000)) for name, key in shipped.keys.items()}
    deployment = replace(shipped, keys=keys)
    with ExitStack() as stack:
        yield {
            "https://staging.example": stack.enter_context(UsageMock(deployment=deployment)).url,
            "https://broken.example": stack.enter_context(
                UsageMock(deployment=deployment, fault=BROKEN_DEPLOYMENT)
            ).url,
        }


def test_sections_are_in_their_order() -> None:
    assert re.findall(r"^## (.*)", README, re.MULTILINE) == SECTIONS


def test_two_commands_are_first() -> None:
    first, second, *_ = blocks(CHECKOUT / "README.md")
    assert [first, second] == [Block("sh", first.text, first.line), Block("sh", second.text, second.line)]
    assert [first.text, second.text] == SHELL[:2]


def test_every_block_has_the_result_that_the_readme_shows(deployments: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "staging.key").write_text("demo-busy\n")
    replacements = deployments | {"pytest contract_tests": "pytest --pyargs contract_tests"}
    with closing(Walkthrough(tmp_path, replacements)) as walkthrough:
        walkthrough.run(Block("sh", "unset PYTEST_ADDOPTS; export COLUMNS=80\n", 0))
        for block in blocks(CHECKOUT / "README.md")[2:]:
            if block.language not in RUN_ELSEWHERE:
                walkthrough.run(block)


def test_the_numbers_of_the_readme_are_those_of_the_gate() -> None:
    text = " ".join(README.split())
    fatal = {rule.id: rule.intrusive for rule in all_rules() if rule.level != "advisory"}
    broken = [[fatal[rule] for rule in load_fault(name).breaks if rule in fatal] for name in BROKEN]
    by_default, with_intrusive = sum(not all(each) for each in broken), sum(all(each) for each in broken if each)
    assert f"{len(rule_ids())} rules, each with its source" in text
    samples = re.findall(r"(?m)^rules: (\d+) selected; (.+)$", README)
    assert len(samples) == 2
    for selected, outcomes in samples:
        assert int(selected) == sum(map(int, re.findall(r"\d+", outcomes))) == len(rule_ids())
    assert f"{len(fatal)} can fail a run. The other {len(rule_ids()) - len(fatal)} are about good practice" in text
    assert f"{len(BROKEN)} broken deployments is found by exactly the rules that it breaks" in text
    assert f"rejects {by_default} of them. Another {with_intrusive} need `--intrusive`" in text
    assert f"and {sum(not each for each in broken)} break good practice only" in text
    assert f"accepts {len(CORRECT)} unusual but correct ones" in text
