"""A redacted text does not disclose a key."""

from __future__ import annotations

import base64
import io
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract_tests.redaction.redactor import Redactor
from contract_tests.redaction.streams import RedactedStream

KEY = "s3cr3t-K3y/0f+someone=7Q"
FORMS = {
    "whole": KEY,
    "reversed": KEY[::-1],
    "upper case": KEY.upper(),
    "hexadecimal": KEY.encode().hex(),
    "HEXADECIMAL": KEY.encode().hex().upper(),
    "URL-encoded": quote(KEY, safe=""),
    "wholly percent-encoded": "".join(f"%{byte:02X}" for byte in KEY.encode()),
    "base64": base64.b64encode(KEY.encode()).decode(),
    "base64 for URLs": base64.urlsafe_b64encode(KEY.encode()).decode(),
    "base64 after one byte": base64.b64encode(b"x" + KEY.encode()).decode(),
    "base64 after two bytes": base64.b64encode(b"xy" + KEY.encode() + b"z").decode(),
    "Basic user": base64.b64encode(f"{KEY}:".encode()).decode(),
}
keys = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=40)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_key_is_redacted(form: str) -> None:
    redacted = Redactor((KEY,))(f"before {FORMS[form]} after")
    assert "<redacted:1>" in redacted
    left = redacted.replace("<redacted:1>", "\0").removeprefix("before ").removesuffix(" after")
    assert len(left) <= 8


@given(key=keys, before=st.text(max_size=5), after=st.text(max_size=5), data=st.data())
def test_no_run_of_eight_survives(key: str, before: str, after: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(key) - 8))
    end = data.draw(st.integers(start + 8, len(key)))
    assert key[start:end] not in Redactor((key,))(before + key[start:end] + after)


@given(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200).filter(
        lambda text: "k" not in text.lower()
    )
)
def test_other_text_is_left_alone(text: str) -> None:
    assert Redactor(("kkkkkkkkkkkk",))(text) == text


@given(key=keys, data=st.data())
def test_the_beginning_of_a_key_is_not_left_before_an_ellipsis(key: str, data: st.DataObject) -> None:
    start = key[: data.draw(st.integers(3, len(key)))]
    assert f"{start} …" not in Redactor((key,))(f"| {start} …")


def test_a_letter_that_grows_in_lower_case_hides_no_key() -> None:
    assert Redactor((KEY,))(f"İ{KEY.upper()}İ") == "İ<redacted:1>İ"


def test_each_secret_has_its_own_placeholder() -> None:
    assert Redactor(("first-secret", "second-secret"))("second-secret first-secret") == "<redacted:2> <redacted:1>"


def test_a_short_key_is_redacted_completely() -> None:
    assert Redactor(("k1",))("key k1.") == "key <redacted:1>."


def test_lone_surrogates_become_printable() -> None:
    Redactor(())("\ud800").encode()


def test_the_stream_redacts_and_is_not_a_terminal() -> None:
    plain = io.StringIO()
    stream = RedactedStream(plain, Redactor((KEY,)))
    assert stream.write(f"x{KEY}\n") == len(KEY) + 2
    stream.flush()
    assert plain.getvalue() == "x<redacted:1>\n"
    assert not stream.isatty()
