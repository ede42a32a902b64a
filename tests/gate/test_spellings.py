"""A key is found and replaced in the spellings that docs/keys.md lists."""

from __future__ import annotations

import base64
import html
import json
import quopri
import re
import time
from collections.abc import Callable
from urllib.parse import quote

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract_tests.redaction.redactor import Redactor
from contract_tests.redaction.spellings import MOST_ROUNDS, SearchedText, View, decoded
from tests.support.readme import CHECKOUT

no_deadline = hypothesis.settings(deadline=None)  # no result depends on the speed of the machine
KEY = 's3cr3t&K3y/0f+"some"=7Q\\x'
SEPARATORS = (":", "-", " ", "\n", ", ", "_", ".", " 0x")


def percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def half(text: str, spelt: Callable[[str], str]) -> str:
    return "".join(spelt(letter) if place % 2 else letter for place, letter in enumerate(text))


def separated(digits: str, size: int, separator: str) -> str:
    return separator.join(digits[at : at + size] for at in range(0, len(digits), size))


def wide(text: str) -> str:
    return "".join(chr(ord(letter) + 0xFEE0) if letter > " " else letter for letter in text)


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


PLAIN: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "backwards": lambda key: key[::-1],
    "in capitals": str.upper,
    "in JSON": lambda key: json.dumps(key)[1:-1],
    "in JSON in JSON": lambda key: json.dumps(json.dumps(key)),
    "in JSON with escaped slashes": lambda key: json.dumps(key)[1:-1].replace("/", "\\/"),
    "as JSON escapes": lambda key: "".join(f"\\u{ord(letter):04x}" for letter in key),
    "as every other JSON escape": lambda key: half(key, lambda letter: f"\\u{ord(letter):04X}"),
    "as JSON surrogate pairs": lambda key: json.dumps(
        "".join(chr(0x1D41A + ord(x) - 97) if x.isascii() and x.islower() else x for x in key)
    ),
    "as Python escapes": lambda key: "".join(f"\\x{ord(letter):02x}" for letter in key),
    "as JavaScript escapes": lambda key: "".join(f"\\u{{{ord(letter):x}}}" for letter in key),
    "in octal": lambda key: "".join(f"\\{ord(letter):03o}" for letter in key),
    "in HTML": html.escape,
    "in HTML in HTML": lambda key: html.escape(html.escape(key)),
    "as HTML numbers": lambda key: "".join(f"&#{ord(letter)};" for letter in key),
    "as HTML hexadecimal": lambda key: half(key, lambda letter: f"&#x{ord(letter):X};"),
    "in a URL": lambda key: quote(key, safe=""),
    "in a URL in a URL": lambda key: quote(quote(key, safe=""), safe=""),
    "percent-encoded nine times": lambda key: percent(key).replace("%", "%" + "25" * 8),
    "percent-encoded for IIS": lambda key: "".join(f"%u{ord(letter):04x}" for letter in key),
    "as every other percent escape": lambda key: half(key, percent),
    "in a URL in HTML in JSON": lambda key: json.dumps(html.escape(percent(key))),
    "in full width": wide,
    "in full width in a URL": lambda key: quote(wide(key)),
    "with zero-width spaces": "\u200b".join,
    "with soft hyphens": "\xad".join,
    "with variation selectors": "\ufe0f".join,
    "with NULs": "\0".join,
    "in UTF-16": lambda key: key.encode("utf-16").decode("latin-1"),
    "in UTF-16, big-endian": lambda key: key.encode("utf-16-be").decode(),
    "in UTF-16 as it is escaped": lambda key: repr(key.encode("utf-16-le")),
}
CODED: dict[str, Callable[[str], str]] = {
    "hexadecimal": lambda key: key.encode().hex(),
    "HEXADECIMAL": lambda key: key.encode().hex().upper(),
    "hexadecimal of the reversed key": lambda key: key[::-1].encode().hex(),
    "reversed hexadecimal": lambda key: key.encode().hex()[::-1],
    "hexadecimal of UTF-16": lambda key: key.encode("utf-16").hex(),
    "hexadecimal of UTF-16, big-endian": lambda key: key.encode("utf-16-be").hex(),
    "quoted-printable": lambda key: "".join(f"={ord(letter):02X}" for letter in key),
    "hexadecimal in an array": lambda key: ", ".join(f"0x{ord(letter):02x}" for letter in key),
    "base64": lambda key: in_base64(key.encode()),
    "base64 for URLs": lambda key: base64.urlsafe_b64encode(key.encode()).decode(),
    "base64 after one byte": lambda key: in_base64(b"x" + key.encode()),
    "base64 after two bytes": lambda key: in_base64(b"xy" + key.encode() + b"z"),
    "base64 of the reversed key": lambda key: in_base64(key[::-1].encode()),
    "reversed base64": lambda key: in_base64(key.encode())[::-1],
    "base64 of UTF-16": lambda key: in_base64(key.encode("utf-16")),
    "base64 of UTF-16, big-endian": lambda key: in_base64(key.encode("utf-16-be")),
    "base64 in lines": lambda key: separated(in_base64(key.encode()), 16, "\r\n"),
    "base64 in a URL": lambda key: quote(in_base64(key.encode()), safe=""),
    "base64 in JSON": lambda key: json.dumps(separated(in_base64(key.encode()), 20, "\n")).replace("/", "\\/"),
}
CODED |= {
    f"hexadecimal with {separator!r}": lambda key, separator=separator: separated(key.encode().hex(), 2, separator)  # type: ignore[misc]
    for separator in SEPARATORS
}
keys = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=40)


@pytest.mark.parametrize("how", PLAIN | CODED)
def test_key_is_replaced_in_each_spelling(how: str) -> None:
    spelt = (PLAIN | CODED)[how](KEY)
    assert Redactor((KEY,))(f"before ({spelt}) after").startswith("before (")
    left = Redactor((KEY,))(f"before ({spelt}) after").removeprefix("before (").removesuffix(") after")
    assert "<redacted:1>" in left
    assert len(left.replace("<redacted:1>", "")) <= 12  # base64 shares characters with its surroundings


@pytest.mark.parametrize("how", PLAIN | CODED)
def test_disclosed_key_is_found_in_each_spelling(how: str) -> None:
    if how == "in capitals":
        return  # a rule must not take a word in capitals for a key
    assert SearchedText((PLAIN | CODED)[how](KEY)).forms_of(KEY)
    assert not SearchedText((PLAIN | CODED)[how]("another-text-altogether-12")).forms_of(KEY)


@no_deadline
@given(key=keys, how=st.sampled_from(sorted(PLAIN)), data=st.data())
def test_any_eight_characters_of_a_key_are_replaced(key: str, how: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(key) - 8))
    run = key[start : start + 8]
    shown = Redactor((key,))(f"< {PLAIN[how](run)} >")
    if "<redacted" not in shown:  # an escape in the key itself may be taken for one of the text
        assert decoded(key).text != key


@no_deadline
@given(
    key=st.text("abcdefghjkmnpqrstuvwxyz23456789", min_size=16, max_size=40), how=st.sampled_from(sorted(PLAIN | CODED))
)
def test_ordinary_key_is_replaced_in_any_spelling(key: str, how: str) -> None:
    spelt = (PLAIN | CODED)[how](key)
    shown = Redactor((key,))(f"({spelt})")
    assert "<redacted:1>" in shown
    assert len(shown.replace("<redacted:1>", "")) <= 14


@no_deadline
@given(st.text(max_size=60))
def test_every_view_leads_back_into_the_text(text: str) -> None:
    view = decoded(text).without_separators()
    for start in range(len(view.text)):
        first, last = view.original(start, len(view.text))
        assert 0 <= first < last <= len(text)
    assert isinstance(view, View)


@no_deadline
@given(st.text("abc %25&;#\\u0041xé\u200b", max_size=60))
def test_decoded_text_cannot_be_decoded_further(text: str) -> None:
    once = decoded(text).text
    assert decoded(once).text == once


def test_only_the_spelling_is_replaced() -> None:
    assert Redactor((KEY,))(f'{{"a": "{percent(KEY)}", "b": "100%25 &amp; \\u00e9"}}') == (
        '{"a": "<redacted:1>", "b": "100%25 &amp; \\u00e9"}'
    )


def test_text_that_is_encoded_too_deeply_is_not_shown() -> None:
    text = "".join(reversed(["1"] + ["%3"] * 0))
    letter = "s"
    for _ in range(MOST_ROUNDS + 5):  # each round hides the last digit of the one before it
        letter = letter[:-1] + f"%{ord(letter[-1]):02x}"
    shown = Redactor((KEY,))(f"first line\n{KEY[:7]}{text}{letter}{KEY[1:]}\nlast line")
    assert shown == "first line\n<redacted>\nlast line"


def test_redaction_of_a_large_text_takes_milliseconds() -> None:
    redact = Redactor((KEY, KEY[::-1] + "2", "an0ther-k3y-0f-this-run"))
    started = time.process_time()
    redact("a harmless text, 50 % of it in words " * 1772)  # 64 KiB
    assert time.process_time() - started < 30  # hundreds of times the usual time; an exponential algorithm never ends


def test_the_documentation_names_forms_that_are_not_covered() -> None:
    section = (CHECKOUT / "docs" / "keys.md").read_text().partition("## Redaction")[2]
    for word in ("encrypted", "hash", "compress", "rot13", "base32", "several members"):
        assert re.search(word, section, re.IGNORECASE), word


def test_quoted_printable_line_ends_hide_no_key() -> None:
    text = quopri.encodestring(b"x" * 60 + in_base64(KEY.encode()).encode() + b"x" * 60).decode()
    assert "=\n" in text
    assert "<redacted:1>" in Redactor((KEY,))(text)


@no_deadline
@given(st.text(st.characters(min_codepoint=32, max_codepoint=126).filter(lambda x: x not in "kK"), max_size=300))
def test_text_without_the_key_is_left_alone(text: str) -> None:
    assert Redactor(("kkkkkkkkkkkk",))(text) == text
