"""OpenAPI Overlay 1.0, applied strictly: an action that changes nothing is an error.

Source: https://spec.openapis.org/overlay/v1.0.0.html, section 4.4.3.
"""

from __future__ import annotations

import copy
from collections import defaultdict
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
        target = f"target {self.target}: " if self.target else ""
        return f"{self.path}:{self.line}: {target}{self.problem}"


def apply(document: dict[str, Any], overlay: Source) -> dict[str, Any]:
    """Return a copy of `document` with every action of the overlay applied, in order.

    Raises OverlayError for an overlay without actions, an action without a target or a change, and a target that
    is no JSONPath (RFC 9535), that matches nothing, or that matches something other than objects and arrays.
    """
    result = copy.deepcopy(document)
    for index, action in enumerate(_actions(overlay)):
        target, line = action["target"], overlay.line(pointer("actions", index, "target"))
        found = _matches(result, target, overlay.path, line)
        if action.get("remove", False):
            if any(match.parent is None for match in found):
                raise OverlayError(overlay.path, line, target, "is the whole document, which cannot be removed")
            _remove(found)
            continue
        for match in found:
            if isinstance(match.obj, dict) and not isinstance(action["update"], dict):
                raise OverlayError(overlay.path, line, target, "an object is updated by an object only")
            _update(match.obj, action["update"])
    return result


def _actions(overlay: Source) -> list[dict[str, Any]]:
    actions = overlay.data.get("actions") if isinstance(overlay.data, dict) else None
    if not isinstance(actions, list) or not actions:
        raise OverlayError(overlay.path, 1, "", "the overlay has no list of actions")
    for index, action in enumerate(actions):
        if not _is_action(action):
            problem = "an action needs a target (a text), and update or remove: true"
            raise OverlayError(overlay.path, overlay.line(pointer("actions", index)), "", problem)
    return actions


def _is_action(action: Any) -> bool:
    if not isinstance(action, dict) or not isinstance(action.get("target"), str):
        return False
    return "update" in action or action.get("remove", False) is True


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


def _remove(found: list[jsonpath.JSONPathMatch]) -> None:
    containers: dict[int, Any] = {}
    places: defaultdict[int, set[Any]] = defaultdict(set)
    for match in found:
        assert match.parent is not None  # the document itself has none
        containers[id(match.parent.obj)] = match.parent.obj
        places[id(match.parent.obj)].add(match.parts[-1])
    for name, container in containers.items():
        for place in sorted(places[name], reverse=True):  # the items of an array move up when one before them goes
            del container[place]


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
