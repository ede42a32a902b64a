"""Names and descriptions of the shipped faults and variants, and of their schemas, are plain English."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mock_server.control.document import PATH
from mock_server.fixtures.faults import FOLDERS
from mock_server.fixtures.files import shipped_fixtures
from mock_server.fixtures.summaries import summary
from mock_server.fixtures.validation import walk
from tools.prose import CODE, problems_of_text
from usage_contract import read

FILES = sorted(path for kind in FOLDERS for path in (shipped_fixtures() / kind).glob("*.yaml"))

# Editors and documentation tools show their texts.
SCHEMAS = [*sorted(shipped_fixtures().glob("*.schema.json")), PATH]


def test_names_are_short_and_descriptions_are_plain() -> None:
    assert len(FILES) > 400
    for path in FILES:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+){1,7}", path.stem)
        assert list(problems_of_text(CODE.sub("CODE", summary(path)["description"]))) == [], path


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_descriptions_in_schemas_are_plain(path: Path) -> None:
    texts = [text for at, text in walk(read(path).data) if at[-1:] in {("title",), ("summary",), ("description",)}]
    texts = [CODE.sub("CODE", text) for text in texts if isinstance(text, str)]
    assert len(texts) > 4
    assert [problem for text in texts for problem in problems_of_text(text)] == []
    assert [text for text in texts if re.search(r"\b(answer|caller|figure)", text, re.IGNORECASE)] == []
