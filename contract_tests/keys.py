"""Values for the key header that are no keys, and how to speak of each without showing the key."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from hashlib import sha256

from hypothesis import strategies as st

from contract_tests.message import Credential

UNKNOWN = Credential(b"nobody-issued-this-key-0f6b1c", "a key that nobody issued")
FULL_WIDTH = 0xFEE0  # from a character of ASCII to the one that Unicode's NFKC turns into it
EMPTY = Credential(b"", "an empty key")
BLANK = Credential(b"   ", "a key of three spaces")
SENDABLE = re.compile(r"[!-~]+")  # texts that are a field's value as they stand
PLAIN = re.compile(rb"[\w-]*")  # values that nobody takes for an attack


def changed(key: Credential) -> Iterator[Credential]:
    """Yield the key with one character changed: in its middle, where it may be masked, and at its end."""
    value, shell = key.value, key.shell.removeprefix("$")
    places = {"in its middle": len(value) // 2, "at its end": len(value) - 1}
    for where, at in places.items():
        other = _other(value[at : at + 1])
        text = value[:at] + other + value[at + 1 :]
        command = f"${{{shell}:0:{at}}}{other.decode()}${{{shell}:{at + 1}}}"
        yield Credential(text, f"{key.told} with the character {where} changed", command)


def _other(letter: bytes) -> bytes:
    return b"y" if letter == b"x" else b"x"


def near(key: Credential) -> Iterator[Credential]:
    """Yield the values that a careless comparison takes for the key."""
    value, shell = key.value, key.shell.removeprefix("$")
    middle, other = len(value) // 2, _other(value[:1])
    candidates = [
        (other + value[1:], "with its first character changed", f"{other.decode()}${{{shell}#?}}"),
        (value[:-1], "without its last character", f"${{{shell}%?}}"),
        (value[1:], "without its first character", f"${{{shell}#?}}"),
        (value[:middle], "cut to its first half", f"${{{shell}:0:{middle}}}"),
        (value + b"x", "with an x appended", ""),
        (b"x" + value, "with an x in front", ""),
        (value + value, "twice in a row", ""),
        (value.swapcase(), "with its case swapped", f"${{{shell}~~}}"),
        (value + b", other", "first in a list", ""),
        (b"other, " + value, "last in a list", ""),
        (value + b" other", "before a space and another word", ""),
        (b'"' + value + b'"', "in quotation marks", ""),
        (b"Bearer " + value, "after the word Bearer", ""),
        (
            b"%%%02x" % value[0] + value[1:],
            "with its first character percent-encoded",
            f"%{value[0]:02x}${{{shell}#?}}",
        ),
        (value[:3] + b"*", "cut to three characters and an asterisk", f"${{{shell}:0:3}}*"),
        (value[:3] + b"%", "cut to three characters and a percent sign", f"${{{shell}:0:3}}%"),
        (b"_" * len(value), "replaced by as many underscores", ""),
        (b"." * len(value), "replaced by as many dots", ""),
        (value[::-1], "backwards", f"$(rev <<<${shell})"),
        (re.sub(rb"[^A-Za-z0-9]", b"", value), "without its punctuation", f"${{{shell}//[^A-Za-z0-9]/}}"),
        (
            re.sub(rb"[^A-Za-z0-9]", b"_", value),
            "with underscores for its punctuation",
            f"${{{shell}//[^A-Za-z0-9]/_}}",
        ),
        (value + b":x", "before a colon and another word", ""),
        (value + b";x", "before a semicolon and another word", ""),
        (base64.b64encode(value), "in base64", f"$(printf %s ${shell} | base64 -w0)"),
        (
            sha256(value).hexdigest().encode(),
            "replaced by its SHA-256",
            f"$(printf %s ${shell} | sha256sum | cut -c 1-64)",
        ),
        (value + b"'-- ", "with an SQL comment appended", ""),
    ]
    seen = {value}
    for text, how, command in candidates:
        if text and text not in seen:
            seen.add(text)
            yield Credential(text, f"{key.told} {how}", command)


def mixed(one: Credential, other: Credential) -> Iterator[Credential]:
    """Yield the beginning of each of two keys with the end of the other."""
    for first, second in ((one, other), (other, one)):
        at, since = len(first.value) // 2, len(second.value) // 2
        command = f"${{{first.shell.removeprefix('$')}:0:{at}}}${{{second.shell.removeprefix('$')}:{since}}}"
        told = f"the first half of {first.told} and the second of {second.told}"
        yield Credential(first.value[:at] + second.value[since:], told, command)


def shown(text: str) -> Credential:
    """Return what an answer shows of a key, as a key."""
    return Credential(text.encode(), "what api_key shows", "<what api_key shows>")


@st.composite
def edits(draw: st.DrawFn, key: Credential) -> Credential:
    """Draw the key with one character changed, removed, doubled or preceded by another, anywhere."""
    value = key.value
    at = draw(st.integers(0, len(value) - 1))
    letter = draw(st.sampled_from(b"aZ07-"))
    how, text = draw(
        st.sampled_from(
            [
                ("changed", value[:at] + bytes([letter]) + value[at + 1 :]),
                ("removed", value[:at] + value[at + 1 :]),
                ("doubled", value[: at + 1] + value[at:]),
                ("preceded by another", value[:at] + bytes([letter]) + value[at:]),
            ]
        ).filter(lambda edit: edit[1] not in {b"", value})
    )
    return Credential(text, f"{key.told} with character {at + 1} {how}", "<described above>")


def disguised(key: Credential) -> list[Credential]:
    """Return the key as a careless reader might see it in other bytes: in full width, and before a NUL byte."""
    wide = chr(key.value[0] + FULL_WIDTH).encode()
    return [
        Credential(wide + key.value[1:], f"{key.told} with its first character in full width", "<described above>"),
        Credential(key.value + b"\0x", f"{key.told} and a NUL byte"),
    ]


def padded(key: Credential) -> list[Credential]:
    """Return the key with what only a lenient reader takes for white space around it."""
    paddings = {
        b"\xa0": "a non-breaking space",
        b"\x85": "a next-line character",
        b"\x0b": "a vertical tab",
    }
    return [Credential(key.value + pad, f"{key.told} and {told}") for pad, told in paddings.items()]


PATTERNS = tuple(
    Credential(text.encode(), f"the text {text}")
    for text in (
        "*", "%", ".*", "null", "undefined", "0", "admin", "test", "' OR '1'='1", "YOUR_API_KEY",
        '{"$ne": null}', "*)(uid=*",
    )
)  # fmt: skip
MALFORMED = (
    Credential(b"k" * 4000, "a key of 4,000 characters"),
    Credential(b"k" * 70000, "a key of 70,000 characters"),
    Credential(b"caf\xe9-key", "a key with a Latin-1 byte"),
    Credential("schlüssel-🔑".encode(), "a key in UTF-8"),
    Credential(b"\xff\xfe\xfd", "a key of bytes that are no UTF-8"),
    Credential(b"a\x00b", "a key with a NUL byte"),
    Credential(b"a\x01\x1f\x7fb", "a key with control bytes"),
)
