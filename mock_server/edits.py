"""What a fault does to an answer: a JSON Patch on its body, and the same few edits on any of its bytes."""

from __future__ import annotations

import base64
import gzip
import json
import re
import time
import zlib
from collections.abc import Callable, Iterable, Mapping
from email.utils import formatdate
from functools import partial
from typing import Any, Literal

from jsonpath import JSONPatch, JSONPatchError, JSONPathError, JSONPointer

Edit = Mapping[str, Any]
Fill = Callable[[str], str]
Framing = Literal["length", "chunked", "close"]
End = Literal["keep", "close", "reset", "hang", "endless", "stop"]

# Case hardly ever matters in HTTP; `(?-i:...)` is for where it does.
FLAGS = re.IGNORECASE | re.MULTILINE
PLACE = re.compile(r"\{(?:(\w+)|date\+(\d+))\}")


class EditError(Exception):
    """An edit that does not fit the answer that it was meant for."""


def filler(names: Mapping[str, str | None]) -> Fill:
    """Return a function that puts `{name}`, and `{date+2}` (an HTTP date in two seconds), into a text.

    What names nothing stays as it is: JSON is full of braces.
    """

    def put(place: re.Match[str]) -> str:
        name, seconds = place.groups()
        if seconds:
            return formatdate(time.time() + int(seconds), usegmt=True)
        return place[0] if names.get(name) is None else str(names[name])

    return partial(PLACE.sub, put)


def filled(value: Any, fill: Fill) -> Any:
    """Return edits, or any part of them, with every text filled in but the patterns."""
    if isinstance(value, Mapping):
        return {name: part if name == "pattern" else filled(part, fill) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [filled(part, fill) for part in value]
    return fill(value) if isinstance(value, str) else value


def patched(body: bytes, edits: Iterable[Edit], turn: int) -> bytes:
    """Apply JSON Patch operations (RFC 6902) and ours to a JSON body.

    Ours compute a number from the old one: `multiply` and `increase` by `by`, and `drift` by `by`
    for each of the `turn` answers that the step has changed so far. Raises EditError.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise EditError("there is no JSON to patch") from None
    for edit in edits:
        try:
            document = JSONPatch([_plain(edit, document, turn)]).apply(document)
        except (ValueError, TypeError, ArithmeticError, JSONPatchError, JSONPathError) as error:
            raise EditError(f"{edit['op']} at {edit['path']!r}: {error}") from None
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def edited(data: bytes, edits: Iterable[Edit]) -> bytes:
    """Apply byte edits in order. Raises EditError for a pattern that is not there and for what cannot be decoded."""
    for edit in edits:
        data = EDITS[edit["op"]](data, edit)
    return data


def _plain(edit: Edit, document: Any, turn: int) -> dict[str, Any]:
    """Return the operation in RFC 6902's own terms."""
    if edit["op"] not in NUMBERS:
        return dict(edit)
    old = JSONPointer(edit["path"]).resolve(document)
    if isinstance(old, bool) or not isinstance(old, int | float):
        raise EditError(f"{edit['path']} is no number")
    new = NUMBERS[edit["op"]](old, edit["by"], turn)
    value = round(new) if isinstance(old, int) else round(new, 10)
    return {"op": "replace", "path": edit["path"], "value": value}


NUMBERS: Mapping[str, Callable[[float, float, int], float]] = {
    "multiply": lambda old, by, _: old * by,
    "increase": lambda old, by, _: old + by,
    "drift": lambda old, by, turn: old + by * turn,
}


def _content(edit: Edit) -> bytes:
    data: bytes = edit.get("text", "").encode() + base64.b64decode(edit.get("base64", ""))
    return data * int(edit.get("times", 1))


def _replace(data: bytes, edit: Edit) -> bytes:
    try:
        new, times = re.subn(edit["pattern"].encode(), edit["with"].encode(), data, flags=FLAGS)
    except re.error as error:
        raise EditError(f"{edit['with']!r} cannot be put in: {error}") from None
    if not times:
        raise EditError(f"the pattern {edit['pattern']!r} is not there")
    return new


def _encode(data: bytes, edit: Edit) -> bytes:
    try:
        return data.decode().encode(str(edit["charset"]))
    except UnicodeError as error:
        raise EditError(f"the bytes cannot be encoded anew: {error}") from None


def _compress(data: bytes, edit: Edit) -> bytes:
    return gzip.compress(data, mtime=0) if edit["coding"] == "gzip" else zlib.compress(data)


EDITS: Mapping[str, Callable[[bytes, Edit], bytes]] = {
    "set": lambda _, edit: _content(edit),
    "prepend": lambda data, edit: _content(edit) + data,
    "append": lambda data, edit: data + _content(edit),
    "replace": _replace,
    "cut": lambda data, edit: data[: int(edit["at"])],
    "encode": _encode,
    "compress": _compress,
}
