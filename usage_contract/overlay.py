"""OpenAPI Overlay 1.0 and 1.1, applied strictly: an action that changes nothing is an error.

Sources: https://spec.openapis.org/overlay/v1.0.0.html and https://spec.openapis.org/overlay/v1.1.0.html, section 4.4.3.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jsonpath

from usage_contract.errors import SourceError
from usage_contract.origins import Origins
from usage_contract.pointers import parts, pointer
from usage_contract.sources import Source
from usage_contract.suggestions import suggest

VERSION = re.compile(r"1\.[01]\.[0-9]+")
MEMBERS = ("overlay", "info", "extends", "actions")
ACTION_MEMBERS = ("target", "description", "update", "remove")


class OverlayError(SourceError):
    """An overlay, or one of its actions, that cannot be applied."""


def apply(document: Any, overlay: Source, origins: Origins) -> list[OverlayError]:
    """Apply an overlay to a document, record the origins of the values, and return the errors of its actions.

    An action is an error if its target is not a JSONPath (RFC 9535) or matches nothing, or if its update does not fit.

    Raises OverlayError for an overlay that is not valid.
    """
    errors = []
    for index, action in enumerate(_actions(overlay)):
        try:
            _Action(overlay, origins, action["target"], pointer("actions", index)).apply(document, action)
        except OverlayError as error:
            errors.append(error)
    return errors


def _error(overlay: Source, at: str, problem: str, advice: str = "") -> OverlayError:
    return OverlayError(overlay.path, overlay.line(at), at, problem, advice)


def _actions(overlay: Source) -> list[dict[str, Any]]:
    data = overlay.data
    if not isinstance(data, dict):
        raise _error(overlay, "", "is not an overlay", "an overlay is an object with overlay, info and actions")
    if "overlay" not in data:
        raise _error(overlay, "", "lacks overlay, the version of the Overlay Specification", "add overlay: 1.0.0")
    version = data["overlay"]
    if not isinstance(version, str) or not VERSION.fullmatch(version):
        raise _error(overlay, "/overlay", f"{version!r} is not a supported version", "valid: 1.0.0, 1.1.0")
    _check_names(overlay, data, "", MEMBERS, "an overlay")
    info = data.get("info")
    if not isinstance(info, dict) or not all(isinstance(info.get(name), str) for name in ("title", "version")):
        raise _error(overlay, "/info", "the overlay lacks a title or a version", "add info with title and version")
    actions = data.get("actions")
    if not isinstance(actions, list) or not actions:
        raise _error(overlay, "/actions", "the overlay has no list of actions", "add at least one action")
    for index, action in enumerate(actions):
        _check_action(overlay, action, pointer("actions", index))
    return actions


def _check_action(overlay: Source, action: Any, at: str) -> None:
    advice = "an action has a target (a text), and update or remove: true"
    if not isinstance(action, dict):
        raise _error(overlay, at, "is not an action", advice)
    if "copy" in action:
        problem = "copy (Overlay 1.1) is not supported"
        raise _error(overlay, at + "/copy", problem, "write the copied value as update")
    _check_names(overlay, action, at, ACTION_MEMBERS, "an action")
    if not isinstance(action.get("target"), str):
        raise _error(overlay, at + "/target", "the action lacks a target that is a text", advice)
    if not isinstance(action.get("remove", False), bool):
        raise _error(overlay, at + "/remove", f"{action['remove']!r} is not true or false", advice)
    if "update" not in action and not action.get("remove", False):
        raise _error(overlay, at, "the action changes nothing", advice)


def _check_names(overlay: Source, value: dict[str, Any], at: str, names: Sequence[str], owner: str) -> None:
    for name in value:
        if name not in names and not name.startswith("x-"):
            raise _error(overlay, at + pointer(name), f"{name!r} is not a member of {owner}", suggest(name, names))


def _kind(value: Any) -> str:
    return "object" if isinstance(value, dict) else "array" if isinstance(value, list) else "primitive"


@dataclass(frozen=True)
class _Action:
    """An action at a place of an overlay. An update merges objects, extends arrays and replaces primitives."""

    overlay: Source
    origins: Origins
    target: str
    at: str

    def apply(self, document: Any, action: dict[str, Any]) -> None:
        found = self._find(document)
        kinds = {_kind(match.obj) for match in found}
        if "primitive" in kinds and not self.overlay.data["overlay"].startswith("1.1."):
            problem = "selects a value that is not an object or an array"
            raise self._error(problem, "select the object that contains it, or declare overlay: 1.1.0")
        if action.get("remove", False):
            self._remove(found)
        elif len(kinds) > 1:
            raise self._error(f"selects {' and '.join(sorted(kinds))} values", "select values of one kind")
        else:
            for match in found:
                container, token = (match.parent.obj, match.parts[-1]) if match.parent else ([document], 0)
                change = self._extend if isinstance(match.obj, list) else self._update
                change(container, token, action["update"], self.at + "/update")

    def _find(self, document: Any) -> list[jsonpath.JSONPathMatch]:
        """Return the matches of the target, each place once."""
        try:
            found = {match.parts: match for match in jsonpath.finditer(self.target, document, strict=True)}
        except jsonpath.JSONPathError as error:
            raise self._error(f"is not a JSONPath: {error}", "see RFC 9535") from None
        if not found:
            raise self._error("matches nothing in the document", "correct the target, or remove the action")
        return list(found.values())

    def _error(self, problem: str, advice: str) -> OverlayError:
        return _error(self.overlay, self.at + "/target", f"target {self.target}: {problem}", advice)

    def _remove(self, found: list[jsonpath.JSONPathMatch]) -> None:
        if any(match.parent is None for match in found):
            raise self._error("is the whole document, which cannot be removed", "select a part of it")
        # The items of an array move up when an item before them is removed.
        found.sort(key=lambda match: [(isinstance(part, str), part) for part in match.parts], reverse=True)
        for match in found:
            assert match.parent is not None
            container: Any = match.parent.obj
            del container[match.parts[-1]]
            self.origins.remove(container, match.parts[-1])

    def _update(self, container: Any, token: Any, value: Any, at: str) -> None:
        old = container[token]
        if _kind(old) != _kind(value):
            problem = f"updates a value of the kind {_kind(old)} by a value of the kind {_kind(value)}"
            raise _error(self.overlay, at, problem, "remove the old value first, or update it by one of its kind")
        if isinstance(old, list):
            self._extend(container, token, value, at)
        elif not isinstance(old, dict):
            self._set(container, token, value, at)
        else:
            for name, member in value.items():
                change = self._update if name in old else self._set
                change(old, name, member, at + pointer(name))

    def _extend(self, container: Any, token: Any, value: Any, at: str) -> None:
        array = container[token]
        items = (
            [(at + pointer(index), item) for index, item in parts(value)] if isinstance(value, list) else [(at, value)]
        )
        for place, item in items:
            array.append(item)
            self._set(array, len(array) - 1, item, place)

    def _set(self, container: Any, token: Any, value: Any, at: str) -> None:
        container[token] = copy.deepcopy(value)
        self.origins.set(container, token, self.overlay, at)
