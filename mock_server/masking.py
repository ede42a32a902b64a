"""Text of requests that is safe to show: without API keys and without control characters."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from hashlib import sha256
from urllib.parse import unquote, unquote_plus

Mask = Callable[[str], str]

# The value of a parameter or of a header field with such a name can be a key.
_SENSITIVE = re.compile("key|token|auth|secret|passw|cookie", re.IGNORECASE)

# A parameter with such a name is for a key.
_KEY_PARAMETER = re.compile("(x[-_]?)?(api[-_]?)?key|((access|auth|api)[-_]?)?token", re.IGNORECASE)

# The scheme of a credential, which is not a part of it.
_SCHEME = re.compile(r"(?:(?:basic|bearer|token|apikey) +)?", re.IGNORECASE)

# Such a key is spelled alike in a text and in JSON.
_PLAIN = re.compile(r"[\w.-]+", re.ASCII)

_PART = re.compile(r"[^/?&=;:,@]+")

# A shorter key is recognized only as a complete word: otherwise it could be a part of any word.
_LONG = 6

# The expression for an encoded key that is longer would take seconds; a key of the mock is not longer.
_LONGEST = 256


@lru_cache(maxsize=256)
def mask_key(key: str) -> str:
    """Return an identifier that does not disclose a key: its first third, at most 4 characters, and a hash."""
    if not key:
        return ""
    digest = sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:6]
    shown = key[: min(4, len(key) // 3)].encode("utf-8", "replace").decode()  # a client can send any byte
    return f"{shown}…{digest}"


def mask_target(target: str, keys: Iterable[str], mask: Mask = mask_key) -> str:
    """Return a request target without known keys and without the values of sensitive parameters."""
    found = keys_in(target, keys)
    path, mark, query = target.partition("?")
    pairs = [_mask_pair(pair, found, mask) for pair in re.split("([&;])", query)]
    shown = _mask_parts(path, found, mask) + mark + "".join(pairs)
    divided = [key for key in found if not _PART.fullmatch(key)]
    return mask(target) if keys_in(shown, divided) else shown


def printable_target(keys: Iterable[str]) -> Callable[[str, str], str]:
    """Return a function that masks a request target and the key of its request, as a line of printable characters."""
    known = tuple(keys)

    @cache  # most targets are equal, and searching them for a thousand keys is slow
    def masked(target: str, key: str) -> str:
        return printable(mask_target(target, (*known, key)))

    return lambda target, key: masked(target, key if keys_in(target, [key]) else "")


def keys_in(text: str, keys: Iterable[str]) -> list[str]:
    """Return the keys that a text contains, in any case and as JSON or a URL spells them.

    Every other function of this module recognizes a key by this one.
    """
    lower = text.lower()
    plain = unquote_plus(lower, errors="surrogateescape").lower()
    return [
        key
        for key in keys
        if any(spelling in lower or spelling in plain for spelling in _spellings(key))
        and (len(key) >= _LONG or re.search(_pattern(key.lower(), is_encoded=True), f"{lower} {plain}"))
    ]


def mask_text(text: str, keys: Iterable[str], mask: Mask = mask_key) -> str:
    """Return a text without the keys that `keys_in` finds."""
    found = sorted(keys_in(text, keys), key=len, reverse=True)
    if not found:
        return text
    is_encoded = bool(re.search(r"[%+\\]", text))
    if is_encoded and len(found[0]) > _LONGEST:
        return mask(text)
    pattern = "|".join(_pattern(key, is_encoded=is_encoded) for key in found)
    literal = {key.lower() for key in found}

    def masked(match: re.Match[str]) -> str:
        return mask(match[0] if match[0].lower() in literal else unquote(match[0], errors="surrogateescape"))

    shown = re.sub(pattern, masked, text, flags=re.IGNORECASE)
    # A key that is encoded twice cannot be replaced alone.
    return mask(text) if keys_in(shown, [key for key in found if len(key) >= _LONG]) else shown


def mask_field(name: str, value: str, keys: Iterable[str], mask: Mask = mask_key) -> str:
    """Return the value of a header field of a request without known keys, and without any other credential."""
    shown = mask_text(value, keys, mask)
    if shown != value or not value or not _SENSITIVE.search(name):
        return shown
    scheme = _SCHEME.match(value)
    assert scheme is not None  # it is optional
    return scheme[0] + mask(value[scheme.end() :])


def has_key_in_target(target: str, keys: Iterable[str]) -> bool:
    """Return whether a request target contains a known key, or a parameter for a key."""
    names = [unquote_plus(pair.partition("=")[0]) for pair in re.split("[&;]", target.partition("?")[2])]
    return any(map(_KEY_PARAMETER.fullmatch, names)) or bool(keys_in(target, keys))


def printable(text: str) -> str:
    """Return a text as one line of printable characters."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


@lru_cache(maxsize=4096)
def _spellings(key: str) -> tuple[str, ...]:
    """Return a key in lower case as it is in a text and in JSON; nothing for an empty key."""
    if _PLAIN.fullmatch(key):
        return (key.lower(),)
    return (key.lower(), json.dumps(key)[1:-1].lower()) if key else ()


def _pattern(key: str, *, is_encoded: bool) -> str:
    """Return an expression for a key.

    Args:
        key: The key.
        is_encoded: Each character can be escaped as in JSON, or percent-encoded as in a URL.
    """
    pattern = "".join(map(_character, key)) if is_encoded else re.escape(key)
    return pattern if len(key) >= _LONG else rf"(?<![\w-]){pattern}(?![\w-])"


@lru_cache(maxsize=1024)
def _character(char: str) -> str:
    cases = {char, char.lower(), char.upper()}
    encoded = {"".join(f"%{byte:02x}" for byte in each.encode("utf-8", "surrogateescape")) for each in cases}
    forms = {*cases, *encoded, *(json.dumps(each)[1:-1] for each in cases), *("+" if char == " " else "")}
    return f"(?:{'|'.join(map(re.escape, sorted(forms)))})"


def _mask_pair(pair: str, keys: list[str], mask: Mask) -> str:
    name, equals, value = pair.partition("=")
    if value and (_SENSITIVE.search(unquote_plus(name)) or keys_in(value, keys)):
        return _mask_parts(name, keys, mask) + equals + mask(unquote_plus(value))
    return _mask_parts(pair, keys, mask)


def _mask_parts(text: str, keys: list[str], mask: Mask) -> str:
    return _PART.sub(lambda part: mask(unquote_plus(part[0])) if keys_in(part[0], keys) else part[0], text)
