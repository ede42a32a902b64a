"""Values for the key header that are not keys of the deployment, each with a label that does not show a key."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from functools import partial
from hashlib import md5, sha1, sha256

from hypothesis import strategies as st

from contract_tests.wire.messages import Credential

UNKNOWN = Credential(b"nobody-issued-this-key-0f6b1c", "an unknown key")
UNDEFINED = Credential(b"undefined", "the text undefined")  # as a program in JavaScript sends a key that it lacks
TRUE = Credential(b"true", "the text true")
ACUTE = ("aeiouyAEIOUY", "áéíóúýÁÉÍÓÚÝ")
CYRILLIC = ("aceopxyABCEHKMOPTX", "асеорхуАВСЕНКМОРТХ")  # noqa: RUF001 - they look alike
FOLDED = ("sSkK", "ſſ\N{KELVIN SIGN}\N{KELVIN SIGN}")  # as Unicode compares letters without their case  # noqa: RUF001
FULL_WIDTH = 0xFEE0  # from an ASCII character to its full-width form, which Unicode's NFKC turns back into it
BLANK = Credential(b"   ", "a key of three spaces")  # an empty one, without the white space around a value
SENDABLE = re.compile(r"[!-~]+")  # texts that can be sent unchanged as the value of a header field
DIGESTS = {"SHA-256": sha256, "SHA-1": sha1, "MD5": md5}
EDITS = ("changed", "doubled")
PATTERNS = tuple(
    Credential(text.encode(), f"the text {text}")
    for text in ("*", "%", ".*", "None", "null", "constructor", "' OR '1'='1", "YOUR_API_KEY")
)
MALFORMED = (
    Credential(b"%s{0}${x}!" * 750, "a key of 7,500 characters, with placeholders of templates"),
    Credential("schlüssel-🔑".encode(), "a key in UTF-8"),
    Credential(b"a\x01\x1f\x7fb", "a key with control bytes"),
)


def changed(key: Credential) -> Iterator[Credential]:
    """Yield the key with one character changed: in its middle, where it may be masked, and at its end."""
    value = key.value
    places = {"in its middle": len(value) // 2, "at its end": len(value) - 1}
    for where, at in places.items():
        substitute = "y" if value[at : at + 1] == b"x" else "x"
        text = value[:at] + substitute.encode() + value[at + 1 :]
        shell = piece(key, 0, at) + substitute + piece(key, at + 1)
        yield _variant(key, text, f"with the character {where} changed", shell)


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


def near(key: Credential) -> list[Credential]:
    """Return different values that a careless comparison takes for the key."""
    value, variant = key.value, partial(_variant, key)
    middle = len(value) // 2
    candidates = [
        _cut(key),
        variant(value[:middle], "cut to its first half", piece(key, 0, middle)),
        variant(value + b"x", "followed by an x"),
        variant(b"x" + value, "after an x"),
        variant(value[prefix_length(value) :], "without its prefix", piece(key, prefix_length(value))),
        variant(
            value[:1].swapcase() + value[1:],
            "with the case of its first character swapped",
            f"$({_piped(key)} | cut -c 1 | tr A-Za-z a-zA-Z)" + piece(key, 1),
        ),
        variant(value + b" , other", "followed by a space, a comma and a word"),
        variant(b'"' + value + b'"', "in quotation marks"),
        variant(b"Bearer " + value, "after the word Bearer"),
        variant(
            b"%%%02x" % value[0] + value[1:],
            "with its first character percent-encoded",
            _with_first(key, '"%%%02x", i'),
        ),
        variant(
            re.sub(rb"[^A-Za-z0-9-]", b"_", value.translate(bytes.maketrans(b"-_", b"_-"))),
            "with its hyphens and underscores swapped, and other punctuation replaced by underscores",
            f"$({_piped(key)} | tr -- _- -_ | tr -c A-Za-z0-9- _)",
        ),
        variant(value + b":x", "followed by a colon and an x"),
        variant(value + b";x", "followed by a semicolon and an x"),
        variant(value + b".x", "followed by a dot and an x"),
        variant(value + b"=", "followed by an equals sign"),
        variant(value + b"/", "followed by a slash"),
        *_as_numbers(key),
        variant(base64.b64encode(value), "in base64", f"$({_piped(key)} | base64 | tr -d '\\n')"),
        *_hashed(key),
        variant(value.hex().encode(), "in hexadecimal", f"$({_piped(key)} | od -An -tx1 | tr -d ' \\n')"),
    ]
    distinct: dict[bytes, Credential] = {}
    for candidate in candidates:
        distinct.setdefault(candidate.value, candidate)
    return [candidate for text, candidate in distinct.items() if text not in {b"", value}]


def altered(keys: Sequence[Credential]) -> Iterator[Credential]:
    """Yield the second key, or the only one, in another case, and the last further key without its last character."""
    key = keys[:2][-1]
    yield _variant(key, key.value.swapcase(), "with its case swapped", f"$({_piped(key)} | tr A-Za-z a-zA-Z)")
    yield from map(_cut, keys[1:][-1:])


def _variant(key: Credential, value: bytes, change: str, shell: str = "") -> Credential:
    return Credential(value, f"{key.label} {change}", shell)


def _cut(key: Credential) -> Credential:
    shell = f"${{{key.shell.removeprefix('$')}%?}}"
    return _variant(key, key.value[:-1], "without its last character", shell)


def _hashed(key: Credential) -> Iterator[Credential]:
    """Yield the digests under which a server may store the key."""
    for name, algorithm in DIGESTS.items():
        digest = algorithm(key.value, usedforsecurity=False)
        shell = f"$({_piped(key)} | {digest.name}sum | cut -c 1-{2 * digest.digest_size})"
        yield _variant(key, digest.hexdigest().encode(), f"replaced by its {name}", shell)


def prefix_length(value: bytes) -> int:
    """Return the length of a key's prefix, which ends with `-` or `_` in its first half; 0 without one."""
    half = value[: (len(value) + 1) // 2]
    return max(half.rfind(b"-"), half.rfind(b"_")) + 1


def _as_numbers(key: Credential) -> Iterator[Credential]:
    """Yield other spellings of the number that a key is, or begins with."""
    value = key.value
    digits = len(value) - len(value.lstrip(b"0123456789"))
    if digits == len(value):
        yield _variant(key, b"0" + value, "after a leading zero")
        yield _variant(key, value + b".0", "as a decimal")
    elif digits:
        yield _variant(key, value[:digits], "cut to the number that it begins with", piece(key, 0, digits))


def mixed(one: Credential, another: Credential) -> Credential:
    """Return the beginning of a key with the end of another one."""
    at, since = len(one.value) // 2, len(another.value) // 2
    command = piece(one, 0, at) + piece(another, since)
    label = f"the first half of {one.label} and the second half of {another.label}"
    return Credential(one.value[:at] + another.value[since:], label, command)


def shown(text: str) -> Credential:
    """Return a key with the text that a response shows in `api_key`."""
    return Credential(text.encode(), "the text of api_key as a key")


def backwards(key: Credential) -> Credential:
    """Return the key with its characters in the opposite order."""
    return _variant(key, key.value[::-1], "backwards", f"$({_piped(key)} | rev)")


@st.composite
def edits(draw: st.DrawFn, key: Credential, edit: str) -> Credential:
    """Draw the key with one edit of a character, one of EDITS, at any place."""
    value = key.value
    at = draw(st.integers(0, len(value) - 1))
    letters = st.sampled_from("aZ07-").filter(lambda letter: letter.encode() != value[at : at + 1])
    letter = draw(letters) if edit == "changed" else ""
    text, shell = {
        "changed": (value[:at] + letter.encode() + value[at + 1 :], piece(key, 0, at) + letter + piece(key, at + 1)),
        "doubled": (value[: at + 1] + value[at:], piece(key, 0, at + 1) + piece(key, at)),
    }[edit]
    return _variant(key, text, f"with character {at + 1} {edit}", shell)


def disguised(key: Credential) -> list[Credential]:
    """Return values that a lenient parser or comparison converts to the key.

    They have a character in full width, a NUL byte, or letters that look similar or are equal after folding.
    """
    wide, middle = chr(key.value[0] + FULL_WIDTH).encode(), len(key.value) // 2
    in_full_width = _with_first(key, '"%c%c%c", 239, 188 + int((i - 32) / 64), 128 + (i - 32) % 64')  # in UTF-8
    value, shell = key.value[:middle] + b"\xad" + key.value[middle:], r"$(printf '\255')"
    with_byte = piece(key, 0, middle) + shell + piece(key, middle)
    return [
        _variant(key, wide + key.value[1:], "with its first character in full width", in_full_width),
        _variant(key, key.value + b"\0x", "and a NUL byte"),
        _variant(key, value, "with a soft hyphen in its middle, which is not ASCII", with_byte),
        *_respelt(key, "with accents in Latin-1", *ACUTE, "latin-1"),
        *_respelt(key, "with accents in UTF-8", *ACUTE),
        *_respelt(key, "with Cyrillic letters", *CYRILLIC),
        *_respelt(key, "with a long s or a Kelvin sign", *FOLDED),
    ]


def _respelt(
    key: Credential, change: str, letters: str, substitutes: str, charset: str = "utf-8"
) -> Iterator[Credential]:
    """Yield the key with each of its letters replaced by a substitute, if it contains one of them."""
    pairs = {
        letter.encode(): substitute.encode(charset) for letter, substitute in zip(letters, substitutes, strict=True)
    }
    value = b"".join(pairs.get(bytes([code]), bytes([code])) for code in key.value)
    edits = "".join(f'gsub(/{letter.decode()}/, "{_octal(text)}"); ' for letter, text in pairs.items())
    if value != key.value:
        yield _variant(key, value, change, f"$({_piped(key)} | LC_ALL=C awk '{{{edits}printf \"%s\", $0}}')")


def _octal(text: bytes) -> str:
    """Return the escape sequences of bytes in awk."""
    return "".join(f"\\{code:03o}" for code in text)


def padded(key: Credential) -> Credential:
    """Return the key followed by bytes that only a lenient parser takes for white space."""
    return _variant(key, key.value + b"\xa0\x85", "and a non-breaking space and a next-line character")
