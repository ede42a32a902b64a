"""The gate parses JSON strictly, according to RFC 8259."""

from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract_tests.wire.strict_json import parse, parse_exactly

PROBLEMS = {
    b"": "is empty",
    b"\xef\xbb\xbf{}": "byte order mark",
    b"\x1f\x8b\x08\x00": "is gzip, and Content-Encoding does not state that",
    b'{"a": NaN}': "NaN",
    b"[-Infinity]": "-Infinity",
    b'{"a": 1, "a": 2}': "repeats the member 'a'",
    b'[{"b": {"c": 1, "c": 1}}]': "repeats the member 'c'",
    b"{} {}": "not JSON",
    b"{'a': 1}": "not JSON",
    b'{"a": 1,}': "not JSON",
    b'{"a": 01}': "not JSON",
    b'"tab\there"': "not JSON",
    b'{"a": "caf\xe9"}': "not UTF-8 at byte 10",
    b'{"a": 1e999}': "no client can read",
    b'{"a": 1e-99999999999999999999}': "an exponent that no client can read",
    b"[" * 100_000: "nested too deeply",
    b"9" * (sys.get_int_max_str_digits() + 1): "digits",
    "{}".encode("utf-16"): "not UTF-8",
}
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@pytest.mark.parametrize("body", PROBLEMS, ids=range(len(PROBLEMS)))
def test_an_invalid_text_is_rejected_with_its_problem(body: bytes) -> None:
    document = parse(body)
    assert PROBLEMS[body] in document.problem
    assert document.value is None


@given(values)
def test_every_json_text_is_read_as_it_is(value: object) -> None:
    document = parse(json.dumps(value).encode())
    assert document.problem == ""
    assert document.value == value


def test_decimals_keep_their_digits() -> None:
    assert str(parse_exactly(b"98.50")) == "98.50"
