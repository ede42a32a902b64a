"""Every code block of docs/several-processes.md has the result that the page shows."""

from __future__ import annotations

from pathlib import Path

from tests.support.documents import run_page
from tests.support.readme import CHECKOUT


def test_every_block_has_the_result_that_the_page_shows(url: str, tmp_path: Path) -> None:
    run_page(CHECKOUT / "docs" / "several-processes.md", tmp_path, {"redis://localhost": url})
