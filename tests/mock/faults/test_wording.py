"""Names and descriptions of the shipped faults and variants are plain English."""

from __future__ import annotations

import re

import pytest

from mock_server import load_fault
from mock_server.fixtures.faults import fault_names
from tools.prose import problems_of_text


@pytest.mark.parametrize("name", fault_names())
def test_a_shipped_file_has_a_short_name_and_a_plain_description(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+){1,7}", name)
    assert list(problems_of_text(load_fault(name).description)) == []
