"""The mock's documentation: every code block of its pages does what the page shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.documents import run_page
from tests.support.readme import CHECKOUT

# docs/several-processes.md needs a Redis server: tests/state/test_page.py runs it.
PAGES = ["mock.md", "deployments.md", "faults.md", "testing.md", "control-api.md", "other-mocks.md"]


@pytest.mark.parametrize("page", PAGES)
def test_every_block_does_what_the_page_shows(page: str, tmp_path: Path) -> None:
    run_page(CHECKOUT / "docs" / page, tmp_path)
