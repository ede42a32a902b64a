"""What may be shown of a request: no key, and nothing that steers a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote_plus

from mock_server.simulation.journal import masked

# A parameter by whose name somebody may have sent a key.
_TELLING = re.compile("key|token|auth|secret|passw", re.IGNORECASE)

_PART = re.compile(r"[^/?&=;:,@]+")

# A shorter key is found only where it stands alone: it may be a part of any word.
_LONG = 6


def masked_target(target: str, keys: Iterable[str]) -> str:
    """Return a request's path and query without keys: whatever holds a known one, and whatever is called one."""
    known = [key for key in keys if key]
    path, mark, query = target.partition("?")
    pairs = [_masked_pair(pair, known) for pair in re.split("([&;])", query)]
    shown = _masked_parts(path, known) + mark + "".join(pairs)
    return masked(target) if _holds_key(shown, known) else shown  # one with a separator in it


def printable(text: str) -> str:
    """Return a text in one line that any terminal and any encoding takes."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _masked_pair(pair: str, keys: list[str]) -> str:
    name, equals, value = pair.partition("=")
    if value and (_TELLING.search(unquote_plus(name)) or _holds_key(value, keys)):
        return name + equals + masked(unquote_plus(value))
    return _masked_parts(pair, keys)


def _masked_parts(text: str, keys: list[str]) -> str:
    return _PART.sub(lambda part: masked(unquote_plus(part[0])) if _holds_key(part[0], keys) else part[0], text)


def _holds_key(text: str, keys: list[str]) -> bool:
    plain = unquote_plus(text)
    return any(key in plain if len(key) >= _LONG else key == plain for key in keys)
