"""The documentation of the mock: every code block has the result that its page shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mock_server.fixtures.faults import fault_names
from mock_server.fixtures.files import fixture_names
from tests.support.documents import run_page
from tests.support.readme import CHECKOUT

SCENARIOS = fixture_names(None, "scenarios")
FAULTS = (CHECKOUT / "docs" / "faults.md").read_text()
# docs/several-processes.md needs a Redis server: tests/state/test_page.py runs it.
PAGES = ["contract.md", "mock.md", "deployments.md", "faults.md", "testing.md", "control-api.md", "other-mocks.md"]


@pytest.mark.parametrize("page", PAGES)
def test_every_block_has_the_result_that_the_page_shows(page: str, tmp_path: Path) -> None:
    run_page(CHECKOUT / "docs" / page, tmp_path)


def test_every_fault_and_scenario_in_the_docs_exists() -> None:
    names = {"fault": [*fault_names(), "NAME"], "scenario": SCENARIOS}
    table = FAULTS[: FAULTS.index("## A fault of your own")]
    used = re.findall(r"`(fault|scenario)=([\w-]+)`", table)
    assert len(used) > 20
    assert [name for kind, name in used if name not in names[kind]] == []


def test_the_docs_describe_every_scenario() -> None:
    _, _, section = FAULTS.partition("## Scenarios\n")
    assert sorted(re.findall(r"^\| `([\w-]+)` \|", section.partition("\n## ")[0], re.MULTILINE)) == SCENARIOS
