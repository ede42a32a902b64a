"""A body in a report marks the invalid member, and shows the lines around it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract_tests.reports.pretty_json import MARK, marked

BODY = {"total": -1, "rate_limit": {"rps": 10, "burst": 10}, "top_domains": [{"domain": "a.example", "requests": 3}]}


def shown(value: object, pointer: str) -> str:
    return marked(value, pointer, str)


@pytest.mark.parametrize(
    ("pointer", "line"),
    [
        ("/total", '"total": -1,'),
        ("/rate_limit/burst", '"burst": 10'),
        ("/rate_limit", '"rate_limit": {'),
        ("/top_domains/0/requests", '"requests": 3'),
        ("/rate_limit/remaining", '"rate_limit": {'),  # the member is missing
        ("/missing", "{"),
    ],
)
def test_the_member_of_a_pointer_is_marked(pointer: str, line: str) -> None:
    (marked_line,) = [each for each in shown(BODY, pointer).splitlines() if each.startswith(MARK)]
    assert marked_line.removeprefix(MARK).strip() == line


def test_only_the_lines_around_the_member_are_shown() -> None:
    text = shown({f"member-{number}": number for number in range(100)}, "/member-50")
    assert text.splitlines()[0] == text.splitlines()[-1] == "  …"
    assert '"member-47": 47,' in text
    assert '"member-60": 60' not in text


values = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=3), children, max_size=3),
)


@given(values, st.lists(st.text(max_size=2) | st.integers(0, 3).map(str), max_size=3))
def test_every_pointer_marks_one_line(value: object, tokens: list[str]) -> None:
    pointer = "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in tokens)
    text = marked(value, pointer, lambda scalar: json.dumps(scalar))
    assert len([line for line in text.split("\n") if line.startswith(MARK)]) == 1
