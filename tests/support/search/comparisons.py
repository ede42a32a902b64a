"""Mutations of the comparison of keys: values that a server takes for a valid key."""

from __future__ import annotations

import base64
import binascii
import codecs
import fnmatch
import html
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import partial, reduce
from hashlib import md5, sha1, sha256, sha512
from operator import xor
from urllib.parse import unquote, unquote_plus

from contract_tests.support.wrong_keys import ACUTE, CYRILLIC, FOLDED
from tests.support.search.mutations import AFTER_A_KEY, ALWAYS, SECOND_TIME, Mutation, admitting
from tests.support.search.served import PATH, Admit, Received

Accepts = Callable[[str, str], bool]  # of the received value and a valid key
SEPARATORS = ",;:./|=&#?@+~!*$%'\"\\<([{ \t"
LENGTHS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32)
LOOK_ALIKE = str.maketrans(CYRILLIC[1], CYRILLIC[0])
SIMILAR_DIGITS = str.maketrans("OoIlLiSsBZz", "00111155822")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _without_accents(text: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))


def _without(pattern: str) -> Callable[[str], str]:
    return lambda text: re.sub(pattern, "", text)


def _decoded(decode: Callable[[str], bytes | str]) -> Accepts:
    def accepts(sent: str, key: str) -> bool:
        try:
            return decode(sent) in (key, key.encode())
        except (ValueError, binascii.Error):
            return False

    return accepts


def _folded(fold: Callable[[str], object]) -> Accepts:
    return lambda sent, key: fold(sent) == fold(key)


FOLDS: dict[str, Callable[[str], object]] = {
    "lower case": str.lower,
    "upper case": str.upper,
    "case folding": str.casefold,
    "case of the first character ignored": lambda text: text[:1].lower() + text[1:],
    "case of all but the first character ignored": lambda text: text[:1] + text[1:].lower(),
    "case of the last character ignored": lambda text: text[:-1] + text[-1:].lower(),
    "NFKC": lambda text: unicodedata.normalize("NFKC", text),
    "NFKC and case folding": lambda text: unicodedata.normalize("NFKC", text).casefold(),
    "no accents": _without_accents,
    "no accents, and lower case": lambda text: _without_accents(text).lower(),
    "no accents in Latin-1": lambda text: _without_accents(_bytes(text).decode("latin-1")),
    "seven bits": lambda text: bytes(code & 0x7F for code in _bytes(text)),
    "ASCII only": lambda text: text.encode("ascii", "ignore"),
    "look-alike letters": lambda text: text.translate(LOOK_ALIKE),
    "similar digits and letters": lambda text: text.translate(SIMILAR_DIGITS),
    "Unicode case": lambda text: text.translate(str.maketrans(FOLDED[1], FOLDED[0])),
    "vowels with accents": lambda text: text.translate(str.maketrans(ACUTE[1], ACUTE[0])),
    "no control characters": _without(r"[\x00-\x1f\x7f]"),
    "no white space inside": _without(r"\s"),
    "no digits": _without(r"\d"),
    "no letters": _without(r"[A-Za-z]"),
    "no punctuation": _without(r"[^A-Za-z0-9]"),
    "no hyphens": _without("-"),
    "no underscores": _without("_"),
    "no dots": _without(r"\."),
    "no equals signs": _without("="),
    "no quotation marks": _without("[\"'`]"),
    "no brackets": _without(r"[\[\]{}()<>]"),
    "hyphens as underscores": lambda text: text.replace("-", "_"),
    "plus signs as spaces": lambda text: text.replace("+", " "),
    "repeated characters once": lambda text: re.sub(r"(.)\1+", r"\1", text),
    "number": lambda text: int(text) if re.fullmatch(r"\s*[+-]?\d+", text) else text,
    "decimal number": lambda text: (
        float(text) if re.fullmatch(r"\s*[+-]?\d+(\.\d*)?(e\d+)?", text, re.IGNORECASE) else text
    ),
    "leading digits": lambda text: m[0] if (m := re.match(r"\d+", text)) else text,
    "leading zeros ignored": lambda text: text.lstrip("0"),
    "length": len,
    "length and last character": lambda text: (len(text), text[-1:]),
    "length and first character": lambda text: (len(text), text[:1]),
    "set of characters": lambda text: frozenset(text),
    "sorted characters": sorted,
    "sum of the bytes": lambda text: sum(_bytes(text)),
    "exclusive or of the bytes": lambda text: reduce(xor, _bytes(text), 0),
    "last character": lambda text: text[-1:],
    "form of the characters": lambda text: re.sub(r"\d", "0", re.sub(r"[A-Za-z]", "a", text)),
}


def _like(sent: str, key: str) -> bool:
    pattern = "".join({"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in sent)
    return re.fullmatch(pattern, key, re.DOTALL) is not None


def _expression(match: Callable[[str, str], object]) -> Accepts:
    def accepts(sent: str, key: str) -> bool:
        try:
            return bool(sent) and match(sent, key) is not None
        except re.error:
            return False

    return accepts


def _edits(sent: str, key: str) -> int:
    row = list(range(len(key) + 1))
    for place, letter in enumerate(sent, 1):
        diagonal, row[0] = row[0], place
        for at, other in enumerate(key, 1):
            diagonal, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, diagonal + (letter != other))
    return row[-1]


def _differs_only_at(place: Callable[[str], int]) -> Accepts:
    def accepts(sent: str, key: str) -> bool:
        at = place(key)
        return len(sent) == len(key) and sent[:at] == key[:at] and sent[at + 1 :] == key[at + 1 :]

    return accepts


def _shortest(sent: str, key: str) -> bool:
    return bool(sent) and all(one == other for one, other in zip(sent, key, strict=False))


def _before(character: str, sent: str, key: str) -> bool:
    return sent.partition(character)[0] == key


def _after(character: str, sent: str, key: str) -> bool:
    return sent.rpartition(character)[2] == key


def _begins_alike(length: int, sent: str, key: str) -> bool:
    return length < len(key) and sent[:length] == key[:length]


def _ends_alike(length: int, sent: str, key: str) -> bool:
    return length < len(key) and sent[-length:] == key[-length:]


def _is_cut(length: int, sent: str, key: str) -> bool:
    return length < len(key) and sent == key[:length]


def _after_word(word: str, sent: str, key: str) -> bool:
    return re.sub(f"(?i)^{word}", "", sent) == key


def _is_digest(digest: Callable[[bytes], str], sent: str, key: str) -> bool:
    return sent == digest(key.encode())


def _is_text(text: str, sent: str, _: str) -> bool:
    return sent == text


COMPARISONS: dict[str, Accepts] = {
    **{f"by {name}": _folded(fold) for name, fold in FOLDS.items()},
    **{f"before {character!r}": partial(_before, character) for character in SEPARATORS},
    **{f"after {character!r}": partial(_after, character) for character in SEPARATORS},
    **{f"by its first {length} characters": partial(_begins_alike, length) for length in LENGTHS},
    **{f"by its last {length} characters": partial(_ends_alike, length) for length in LENGTHS},
    **{f"cut after {length} characters": partial(_is_cut, length) for length in LENGTHS},
    "by all but the last character": lambda sent, key: sent[: len(key) - 1] == key[:-1],
    "by the first half": lambda sent, key: sent[: len(key) // 2] == key[: len(key) // 2],
    "by the second half": lambda sent, key: sent[-(len(key) // 2) :] == key[-(len(key) // 2) :],
    "as a beginning of the key": lambda sent, key: bool(sent) and key.startswith(sent),
    "as a long beginning of the key": lambda sent, key: len(sent) > len(key) // 2 and key.startswith(sent),
    "as an end of the key": lambda sent, key: bool(sent) and key.endswith(sent),
    "as a part of the key": lambda sent, key: len(sent) > 3 and sent in key,
    "as a text that begins with the key": lambda sent, key: sent.startswith(key),
    "as a text that ends with the key": lambda sent, key: sent.endswith(key),
    "as a text that contains the key": lambda sent, key: key in sent,
    "up to the shorter length": _shortest,
    "with one edit": lambda sent, key: _edits(sent, key) <= 1,
    "with two edits": lambda sent, key: _edits(sent, key) <= 2,
    "with its first character changed": _differs_only_at(lambda _: 0),
    "with its second character changed": _differs_only_at(lambda _: 1),
    "with its middle character changed": _differs_only_at(lambda key: len(key) // 2),
    "with its last character but one changed": _differs_only_at(lambda key: len(key) - 2),
    "with its last character changed": _differs_only_at(lambda key: len(key) - 1),
    "if any character is equal": lambda sent, key: any(a == b for a, b in zip(sent, key, strict=False)),
    "reversed": lambda sent, key: sent == key[::-1],
    "twice": lambda sent, key: sent == key * 2,
    "percent-decoded": _decoded(unquote),
    "percent-decoded with plus signs": _decoded(unquote_plus),
    "percent-decoded twice": _decoded(lambda sent: unquote(unquote(sent))),
    "with HTML entities": _decoded(html.unescape),
    "with JSON escapes": _decoded(lambda sent: str(json.loads(f'"{sent}"'))),
    "with Python escapes": _decoded(lambda sent: codecs.decode(sent, "unicode_escape")),
    "base64-decoded": _decoded(lambda sent: base64.b64decode(sent, validate=True)),
    "URL-safe base64-decoded": _decoded(base64.urlsafe_b64decode),
    "hex-decoded": _decoded(bytes.fromhex),
    "ROT13-decoded": _decoded(lambda sent: codecs.decode(sent, "rot13")),
    "in quotation marks": _decoded(lambda sent: sent.strip("\"'")),
    "in brackets": _decoded(lambda sent: sent.strip("<>[]{}()")),
    "with punctuation around it": _decoded(lambda sent: sent.strip("\"'<>[]{}().,;:=/\\|-_*+!?&#%$@~^`")),
    **{
        f"after {word!r}": partial(_after_word, word)
        for word in ("bearer ", "apikey ", "api-key ", "token ", "basic ", "key ", "key=", "api_key=", "x-api-key: ?")
    },
    **{
        f"as its {name}": partial(_is_digest, digest)
        for name, digest in {
            "MD5": lambda data: md5(data).hexdigest(),
            "SHA-1": lambda data: sha1(data).hexdigest(),
            "SHA-256": lambda data: sha256(data).hexdigest(),
            "SHA-256 in capitals": lambda data: sha256(data).hexdigest().upper(),
            "SHA-256 in base64": lambda data: base64.b64encode(sha256(data).digest()).decode(),
            "SHA-512": lambda data: sha512(data).hexdigest(),
        }.items()
    },
    "as an SQL pattern": _like,
    "as an SQL pattern without case": lambda sent, key: _like(sent.lower(), key.lower()),
    "as a glob": lambda sent, key: fnmatch.fnmatchcase(key, sent),
    "as a whole expression": _expression(re.fullmatch),
    "as an expression for its beginning": _expression(re.match),
    "as an expression anywhere": _expression(re.search),
    "in an SQL statement": lambda sent, _: re.search(r"(?i)'\s*or\s+'?1'?\s*=\s*'?1|'\s*or\s+true", sent) is not None,
    "in an SQL statement with a comment": lambda sent, key: sent.startswith(f"{key}'") and "--" in sent,
    "in an LDAP filter": lambda sent, _: ")(" in sent or sent == "*",
    "in a MongoDB query": lambda sent, _: re.match(r'\{\s*"\$(ne|gt|exists|regex)"', sent) is not None,
    "with asterisks for any characters": lambda sent, key: "*" in sent and fnmatch.fnmatchcase(key, sent),
    "masked in its middle": lambda sent, key: sent != key and re.fullmatch(r"(\w+)[*.…x•]+(\w*)", sent) is not None
    and key.startswith(re.split(r"[*.…x•]", sent)[0][:3] or " ")
    and ("*" in sent or "..." in sent),
    "without its prefix": lambda sent, key: sent == re.split(r"[-_.]", key, maxsplit=1)[-1],
    "as its prefix": lambda sent, key: sent == re.split(r"[-_.]", key)[0],
    "by its prefix": lambda sent, key: re.split(r"[-_]", sent)[0] == re.split(r"[-_]", key)[0],
    "by the part after its prefix": lambda sent, key: re.split(r"[-_]", sent)[-1] == re.split(r"[-_]", key)[-1],
}  # fmt: skip

LITERALS = (
    "test", "demo", "admin", "root", "guest", "public", "default", "secret", "password", "changeme", "key", "apikey",
    "api-key", "api_key", "token", "none", "None", "null", "nil", "undefined", "NaN", "true", "false", "0", "1", "-1",
    "1234", "123456", "*", "%", "_", ".", "?", ".*", "[]", "{}", "()", "''", '""', "$", "xxx", "XXXX", "your-api-key",
    "YOUR_API_KEY", "<API_KEY>", "${API_KEY}", "{{api_key}}", "$API_KEY", "[object Object]", "sk-test", "dev", "debug",
    "internal", "system", "service", "healthcheck", "anonymous", "foo", "bar", "string", "abc", "example", "sample",
    "master", "superuser", "localhost", "127.0.0.1", "00000000-0000-0000-0000-000000000000", "\\0", "%00", "\\x00",
)  # fmt: skip

STYLES_OF_FOLDS = {
    "number": "numbers", "decimal number": "numbers", "leading digits": "hexadecimal",
    "leading zeros ignored": "numbers",
    "no digits": "hexadecimal", "no equals signs": "base64", "plus signs as spaces": "base64", "no dots": "dotted",
}  # fmt: skip
KEY_CONDITIONS = (ALWAYS, SECOND_TIME, AFTER_A_KEY)


def loose(accepts: Accepts) -> Admit:
    """Return what admits another value of the key header by a comparison with the valid keys."""

    def admit(received: Received) -> str | None:
        if received.is_valid or not received.key or received.path != PATH or received.method != "GET":
            return None
        return next((key for key in received.keys if accepts(received.key, key)), None)

    return admit


def loose_comparisons() -> Iterator[Mutation]:
    """Yield deployments that accept other values than the key."""
    group = "auth, a value that is not the key"
    for name, accepts in COMPARISONS.items():
        fold = name.removeprefix("by ")
        styles = {STYLES_OF_FOLDS.get(fold, "words"), "prefixed", "hexadecimal"}
        for style in sorted(styles):
            conditions = KEY_CONDITIONS if style == "words" else (ALWAYS,)
            yield from admitting(group, f"key {name} ({style})", loose(accepts), conditions, style=style)
    for text in LITERALS:
        admit = loose(partial(_is_text, text))
        yield from admitting("auth, a literal", f"the text {text}", admit, (ALWAYS,))
