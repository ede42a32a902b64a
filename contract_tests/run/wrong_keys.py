"""Values for the key header that are no keys, and how to speak of each without showing the key."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from hashlib import sha256

from hypothesis import strategies as st

from contract_tests.wire.messages import Credential

BACKWARDS = '{for (i = length($0); i; i--) printf "%s", substr($0, i, 1)}'  # for awk
UNKNOWN = Credential(b"nobody-issued-this-key-0f6b1c", "a key that nobody issued")
FULL_WIDTH = 0xFEE0  # from a character of ASCII to the one that Unicode's NFKC turns into it
EMPTY = Credential(b"", "an empty key")
BLANK = Credential(b"   ", "a key of three spaces")
SENDABLE = re.compile(r"[!-~]+")  # texts that are a field's value as they stand
PLAIN = re.compile(rb"[\w-]*")  # values that nobody takes for an attack


def changed(key: Credential) -> Iterator[Credential]:
    """Yield the key with one character changed: in its middle, where it may be masked, and at its end."""
    value = key.value
    places = {"in its middle": len(value) // 2, "at its end": len(value) - 1}
    for where, at in places.items():
        other = _other(value[at : at + 1])
        text = value[:at] + other + value[at + 1 :]
        command = piece(key, 0, at) + other.decode() + piece(key, at + 1)
        yield Credential(text, f"{key.label} with the character {where} changed", command)


def piece(key: Credential, start: int, end: int | None = None) -> str:
    """Return the shell expression for the characters of a key from `start` to before `end`."""
    end = len(key.value) if end is None else end
    return f"$({_piped(key)} | cut -c {start + 1}-{end})" if start < end else ""


def _piped(key: Credential) -> str:
    return f'printf %s "{key.shell}"'


def _with_first(key: Credential, printed: str) -> str:
    """Return the shell expression for a key whose first character, of code `i`, is replaced by what awk prints."""
    program = f'{{for (i = 33; i < 127; i++) if (sprintf("%c", i) == substr($0, 1, 1)) printf {printed}}}'
    return f"$({_piped(key)} | LC_ALL=C awk '{program}'){piece(key, 1)}"


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
        (value[:middle], "cut to its first half", piece(key, 0, middle)),
        (value + b"x", "with an x appended", ""),
        (b"x" + value, "with an x in front", ""),
        (value + value, "twice in a row", ""),
        (value.swapcase(), "with its case swapped", f"$({_piped(key)} | tr A-Za-z a-zA-Z)"),
        (value + b", other", "first in a list", ""),
        (b"other, " + value, "last in a list", ""),
        (value + b" other", "before a space and another word", ""),
        (b'"' + value + b'"', "in quotation marks", ""),
        (b"Bearer " + value, "after the word Bearer", ""),
        (
            b"%%%02x" % value[0] + value[1:],
            "with its first character percent-encoded",
            _with_first(key, '"%%%02x", i'),
        ),
        (value[:3] + b"*", "cut to three characters and an asterisk", piece(key, 0, 3) + "*"),
        (value[:3] + b"%", "cut to three characters and a percent sign", piece(key, 0, 3) + "%"),
        (b"_" * len(value), "replaced by as many underscores", ""),
        (b"." * len(value), "replaced by as many dots", ""),
        (value[::-1], "backwards", f"$({_piped(key)} | awk '{BACKWARDS}')"),
        (re.sub(rb"[^A-Za-z0-9]", b"", value), "without its punctuation", f"$({_piped(key)} | tr -cd A-Za-z0-9)"),
        (
            re.sub(rb"[^A-Za-z0-9]", b"_", value),
            "with underscores for its punctuation",
            f"$({_piped(key)} | tr -c A-Za-z0-9 _)",
        ),
        (value + b":x", "before a colon and another word", ""),
        (value + b";x", "before a semicolon and another word", ""),
        (base64.b64encode(value), "in base64", f"$({_piped(key)} | base64 | tr -d '\\n')"),
        (
            sha256(value).hexdigest().encode(),
            "replaced by its SHA-256",
            f"$({_piped(key)} | sha256sum | cut -c 1-64)",
        ),
        (value + b"'-- ", "with an SQL comment appended", ""),
    ]
    seen = {value}
    for text, how, command in candidates:
        if text and text not in seen:
            seen.add(text)
            yield Credential(text, f"{key.label} {how}", command)


def mixed(one: Credential, other: Credential) -> Iterator[Credential]:
    """Yield the beginning of each of two keys with the end of the other."""
    for first, second in ((one, other), (other, one)):
        at, since = len(first.value) // 2, len(second.value) // 2
        command = piece(first, 0, at) + piece(second, since)
        label = f"the first half of {first.label} and the second of {second.label}"
        yield Credential(first.value[:at] + second.value[since:], label, command)


def shown(text: str) -> Credential:
    """Return what an answer shows of a key, as a key."""
    return Credential(text.encode(), "what api_key shows")


@st.composite
def edits(draw: st.DrawFn, key: Credential) -> Credential:
    """Draw the key with one character changed, removed, doubled or preceded by another, anywhere."""
    value = key.value
    at = draw(st.integers(0, len(value) - 1))
    letter = draw(st.sampled_from("aZ07-"))
    start, end = piece(key, 0, at), piece(key, at + 1)
    how, text, command = draw(
        st.sampled_from(
            [
                ("changed", value[:at] + letter.encode() + value[at + 1 :], start + letter + end),
                ("removed", value[:at] + value[at + 1 :], start + end),
                ("doubled", value[: at + 1] + value[at:], piece(key, 0, at + 1) + piece(key, at)),
                ("preceded by another", value[:at] + letter.encode() + value[at:], start + letter + piece(key, at)),
            ]
        ).filter(lambda edit: edit[1] not in {b"", value})
    )
    return Credential(text, f"{key.label} with character {at + 1} {how}", command)


def disguised(key: Credential) -> list[Credential]:
    """Return the key as a careless reader might see it in other bytes: in full width, and before a NUL byte."""
    wide = chr(key.value[0] + FULL_WIDTH).encode()
    command = _with_first(key, '"%c%c%c", 239, 188 + int((i - 32) / 64), 128 + (i - 32) % 64')  # in UTF-8
    return [
        Credential(wide + key.value[1:], f"{key.label} with its first character in full width", command),
        Credential(key.value + b"\0x", f"{key.label} and a NUL byte"),
    ]


def padded(key: Credential) -> list[Credential]:
    """Return the key with what only a lenient reader takes for white space around it."""
    paddings = {
        b"\xa0": "a non-breaking space",
        b"\x85": "a next-line character",
        b"\x0b": "a vertical tab",
    }
    return [Credential(key.value + pad, f"{key.label} and {label}") for pad, label in paddings.items()]


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
