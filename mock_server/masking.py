"""Text of requests that is safe to show: without API keys and without control characters."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from urllib.parse import unquote_plus

# The value of a parameter with such a name can be a key.
_SENSITIVE = re.compile("key|token|auth|secret|passw", re.IGNORECASE)

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


def mask_target(target: str, keys: Iterable[str]) -> str:
    """Return a request target without known keys and without the values of sensitive parameters."""
    known = [key for key in keys if key]
    path, mark, query = target.partition("?")
    pairs = [_mask_pair(pair, known) for pair in re.split("([&;])", query)]
    shown = _mask_parts(path, known) + mark + "".join(pairs)
    return mask_key(target) if _contains_key(shown, known) else shown  # a key with a separator in it


def printable(text: str) -> str:
    """Return a text as one line of printable characters."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _mask_pair(pair: str, keys: list[str]) -> str:
    name, equals, value = pair.partition("=")
    if value and (_SENSITIVE.search(unquote_plus(name)) or _contains_key(value, keys)):
        return name + equals + mask_key(unquote_plus(value))
    return _mask_parts(pair, keys)


def _mask_parts(text: str, keys: list[str]) -> str:
    return _PART.sub(lambda part: mask_key(unquote_plus(part[0])) if _contains_key(part[0], keys) else part[0], text)


def _contains_key(text: str, keys: list[str]) -> bool:
    plain = unquote_plus(text)
    return any(key in plain if len(key) >= _LONG else key == plain for key in keys)
