"""Formats are asserted, not only described."""

from __future__ import annotations

import pytest

from contract_tests.metrics.schema import validator


@pytest.mark.parametrize(
    ("format_", "wrong"),
    [
        ("date-time", "yesterday"),
        ("uri", "no uri"),
        ("hostname", "-"),
        ("ipv4", "1.2.3"),
        ("uuid", "17"),
        ("duration", "an hour"),
        ("uri-template", "{"),
        ("json-pointer", "a"),
    ],
)
def test_a_text_of_another_format_is_no_valid_one(format_: str, wrong: str) -> None:
    asserting = validator("get_usage", "200", "documented").evolve(schema={"type": "string", "format": format_})
    assert not asserting.is_valid(wrong)
