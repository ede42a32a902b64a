"""Every relative link of the documents refers to an existing file and heading, and every new name exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

import mock_server
from tests.support.readme import CHECKOUT

PAGES = sorted([*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/*.md"), *CHECKOUT.glob("openapi/*.md")])
RULES, RENAMED = CHECKOUT / "docs/rules.md", CHECKOUT / "docs/renamed.md"
REASONS = (CHECKOUT / "docs/mock.md", CHECKOUT / "docs/control-api.md")
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def links(page: Path) -> Iterator[str]:
    """Yield the relative links of a page."""
    for found in LINK.finditer(FENCE.sub("", page.read_text())):
        link = found[1] or found[2]
        if "://" not in link:
            yield link


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub derives them."""
    headings = re.findall(r"^#+ (.*)", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_resolve(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / unquote(path)).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize(
    ("heading", "names"),
    [
        ("Rules", {heading.strip("`") for heading in re.findall(r"^### (`.*`)", RULES.read_text(), re.MULTILINE)}),
        ("Faults", {path.stem for path in CHECKOUT.glob("fixtures/faults/*.yaml")}),
        ("Variants", {path.stem for path in CHECKOUT.glob("fixtures/variants/*.yaml")}),
        ("Reasons", {name for page in REASONS for name in re.findall(r"`([a-z-]+)`", page.read_text())}),
        ("Exceptions", set(mock_server.__all__)),
    ],
)
def test_the_new_names_of_renamed_things_exist(heading: str, names: set[str]) -> None:
    _, _, part = RENAMED.read_text().partition(f"## {heading}\n")
    new = re.findall(r"`([^`]+)`(?:, `([^`]+)`)? \|$", part.partition("\n## ")[0], re.MULTILINE)
    assert new
    assert {name for row in new for name in row if name} - names == set()
