"""Text of requests that is safe to show: without API keys and without control characters."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from hashlib import sha256
from urllib.parse import quote, unquote_plus

Mask = Callable[[str], str]

# The value of a parameter or of a header field with such a name can be a key.
_SENSITIVE = re.compile("key|token|auth|secret|passw|cookie", re.IGNORECASE)

# A parameter with such a name is for a key.
_KEY_PARAMETER = re.compile("(x[-_]?)?(api[-_]?)?key|((access|auth|api)[-_]?)?token", re.IGNORECASE)

# The scheme of a credential, which is not a part of it.
_SCHEME = re.compile(r"(?:(?:basic|bearer|token|apikey) +)?", re.IGNORECASE)

# Such a key is spelled alike in a text, in JSON and in a URL.
_PLAIN = re.compile(r"[\w.-]+", re.ASCII)

_PART = re.compile(r"[^/?&=;:,@]+")

# A shorter key is masked only where it is a complete part: otherwise it could be a part of any word.
_LONG = 6


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
    known = [key for key in keys if key]
    path, mark, query = target.partition("?")
    pairs = [_mask_pair(pair, known, mask) for pair in re.split("([&;])", query)]
    shown = _mask_parts(path, known, mask) + mark + "".join(pairs)
    return mask(target) if _contains_key(shown, known) else shown  # a key with a separator in it


def printable_target(keys: Iterable[str]) -> Callable[[str, str], str]:
    """Return a function that masks a request target and the key of its request, as a line of printable characters."""
    known = tuple(keys)

    @cache  # most targets are equal, and searching them for a thousand keys is slow
    def masked(target: str, key: str) -> str:
        return printable(mask_target(target, (*known, key)))

    return lambda target, key: masked(target, key if key in unquote_plus(target) else "")


def keys_in(text: str, keys: Iterable[str]) -> list[str]:
    """Return the keys that a text contains, in any case and as JSON or a URL spells them."""
    lower = text.lower()
    return [key for key in keys if key and any(spelling in lower for spelling in _spellings(key))]


def mask_text(text: str, keys: Iterable[str], mask: Mask = mask_key) -> str:
    """Return a text without the keys that `keys_in` finds."""
    found = {spelling for key in keys_in(text, keys) for spelling in _spellings(key)}
    if not found:
        return text
    short, long = r"(?<![\w-]){}(?![\w-])", "{}"
    longest_first = sorted(found, key=len, reverse=True)
    pattern = "|".join((long if len(each) >= _LONG else short).format(re.escape(each)) for each in longest_first)
    return re.sub(pattern, lambda match: mask(match[0]), text, flags=re.IGNORECASE)


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
    return any(map(_KEY_PARAMETER.fullmatch, names)) or _contains_key(target, [key for key in keys if key])


def printable(text: str) -> str:
    """Return a text as one line of printable characters."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _spellings(key: str) -> tuple[str, ...]:
    """Return a key in lower case as it is in a text, in JSON and in a URL."""
    if _PLAIN.fullmatch(key):
        return (key.lower(),)
    return key.lower(), json.dumps(key)[1:-1].lower(), quote(key, "", errors="surrogateescape").lower()


def _mask_pair(pair: str, keys: list[str], mask: Mask) -> str:
    name, equals, value = pair.partition("=")
    if value and (_SENSITIVE.search(unquote_plus(name)) or _contains_key(value, keys)):
        return name + equals + mask(unquote_plus(value))
    return _mask_parts(pair, keys, mask)


def _mask_parts(text: str, keys: list[str], mask: Mask) -> str:
    return _PART.sub(lambda part: mask(unquote_plus(part[0])) if _contains_key(part[0], keys) else part[0], text)


def _contains_key(text: str, keys: list[str]) -> bool:
    plain = unquote_plus(text)
    return any(key in plain if len(key) >= _LONG else key == plain for key in keys)
