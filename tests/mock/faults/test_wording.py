"""Names and descriptions of the shipped faults and variants are plain English."""

from __future__ import annotations

import re

from mock_server.fixtures.deployments import folder
from mock_server.fixtures.faults import FOLDERS
from tools.prose import problems_of_text

FILES = sorted(path for kind in FOLDERS for path in (folder() / kind).glob("*.yaml"))


def test_names_are_short_and_descriptions_are_plain() -> None:
    assert len(FILES) > 400
    for path in FILES:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+){1,7}", path.stem)
        (description,) = re.findall(r"^description: (.*)$", path.read_text(), re.MULTILINE)
        assert list(problems_of_text(description)) == [], path
