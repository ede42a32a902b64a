"""A JSON value, pretty-printed around one of its members."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from usage_contract.pointers import parts, pointer_tokens

CONTEXT = 4  # lines before and after the marked one
MARK, BLANK = "> ", "  "


def marked(value: Any, pointer: str, shorten: Callable[[str], str]) -> str:
    """Return the lines around the member of a JSON Pointer (RFC 6901), which are marked with `>`.

    Where the member is missing, its nearest ancestor is marked. `shorten` bounds the text of each scalar.
    """
    wanted = pointer_tokens(pointer)
    lines = list(_lines(value, (), "", shorten))
    depth = max(_agreement(path, wanted) for path, _ in lines)
    place = next(number for number, (path, _) in enumerate(lines) if _agreement(path, wanted) == depth == len(path))
    first, last = max(place - CONTEXT, 0), place + CONTEXT + 1
    shown = [(MARK if number == place else BLANK) + lines[number][1] for number in range(first, min(last, len(lines)))]
    before, after = ["  …"] if first else [], ["  …"] if last < len(lines) else []
    return "\n".join([*before, *shown, *after])


def _agreement(path: Sequence[str], wanted: Sequence[str]) -> int:
    return len(path) if list(path) == list(wanted[: len(path)]) else 0


def _lines(
    value: Any, path: tuple[str, ...], name: str, shorten: Callable[[str], str], comma: str = ""
) -> Iterator[tuple[tuple[str, ...], str]]:
    indent = "  " * len(path)
    if isinstance(value, dict | list) and value:
        items = list(parts(value))
        opening, closing = "{}" if isinstance(value, dict) else "[]"
        yield path, f"{indent}{name}{opening}"
        for number, (key, item) in enumerate(items, 1):
            label = f"{shorten(json.dumps(key, ensure_ascii=False))}: " if isinstance(value, dict) else ""
            yield from _lines(item, (*path, str(key)), label, shorten, "," if number < len(items) else "")
        yield ("", *path), f"{indent}{closing}{comma}"
    else:
        yield path, f"{indent}{name}{shorten(json.dumps(value, ensure_ascii=False, default=str))}{comma}"
