"""JSON Pointers (RFC 6901), and the parts of JSON values that their tokens name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def pointer(*tokens: str | int) -> str:
    """Build a JSON Pointer (RFC 6901) from its unescaped tokens."""
    return "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in tokens)


def pointer_tokens(text: str) -> list[str]:
    """Split a JSON Pointer into its unescaped tokens."""
    return [token.replace("~1", "/").replace("~0", "~") for token in text.split("/")[1:]]


def parts(value: Any) -> Iterable[tuple[Any, Any]]:
    """Return the members of an object by name, or the items of an array by index; nothing for any other value."""
    return value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()


def subscript(value: Any, token: str) -> str | int | None:
    """Return the name or the index in a value that a token of a JSON Pointer means; None where the value lacks it."""
    if isinstance(value, dict):
        return token if token in value else None
    is_index = isinstance(value, list) and token.isdecimal() and int(token) < len(value)
    return int(token) if is_index else None
