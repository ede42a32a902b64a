"""OpenAPI Overlay 1.0, applied strictly: an action that changes nothing is an error.

Source: https://spec.openapis.org/overlay/v1.0.0.html, section 4.4.3.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonpath

from usage_contract.sources import Source, pointer


@dataclass(eq=False)
class OverlayError(Exception):
    """An overlay action that cannot be applied."""

    path: Path
    line: int
    target: str
    problem: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: target {self.target}: {self.problem}"


def apply(document: dict[str, Any], overlay: Source) -> dict[str, Any]:
    """Return a copy of `document` with every action of the overlay applied, in order.

    Raises OverlayError for a target that is no JSONPath (RFC 9535), that matches nothing, or that
    matches something other than objects and arrays.
    """
    result = copy.deepcopy(document)
    for index, action in enumerate(overlay.data["actions"]):
        line = overlay.line(pointer("actions", index, "target"))
        for match in _matches(result, action["target"], overlay.path, line):
            if action.get("remove", False):
                _remove(match)
            else:
                _update(match.obj, action["update"])
    return result


def _matches(document: Any, target: str, path: Path, line: int) -> list[jsonpath.JSONPathMatch]:
    try:
        found = list(jsonpath.finditer(target, document, strict=True))
    except jsonpath.JSONPathError as error:
        raise OverlayError(path, line, target, f"is not a JSONPath: {error}") from None
    if not found:
        raise OverlayError(path, line, target, "matches nothing in the document")
    if any(not isinstance(match.obj, dict | list) for match in found):
        raise OverlayError(path, line, target, "matches a value that is no object and no array")
    return found


def _remove(match: jsonpath.JSONPathMatch) -> None:
    if match.parent is not None:
        container: Any = match.parent.obj
        del container[match.parts[-1]]


def _update(target: Any, update: Any) -> None:
    """Merge recursively: objects by member, arrays by appending, anything else by replacing."""
    if isinstance(target, list):
        target.extend(copy.deepcopy(update) if isinstance(update, list) else [copy.deepcopy(update)])
        return
    for name, value in update.items():
        if isinstance(value, dict) and isinstance(target.get(name), dict):
            _update(target[name], value)
        elif isinstance(value, list) and isinstance(target.get(name), list):
            target[name].extend(copy.deepcopy(value))
        else:
            target[name] = copy.deepcopy(value)
