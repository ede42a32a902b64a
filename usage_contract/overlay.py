"""OpenAPI Overlay 1.0 and 1.1, applied strictly: an action that changes nothing is an error.

Sources: https://spec.openapis.org/overlay/v1.0.0.html and https://spec.openapis.org/overlay/v1.1.0.html, section 4.4.3.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jsonpath

from usage_contract.origins import Origins
from usage_contract.sources import Source, SourceError, pointer
from usage_contract.suggestions import suggest

VERSION = re.compile(r"1\.[01]\.[0-9]+")
MEMBERS = ("overlay", "info", "extends", "actions")
ACTION_MEMBERS = ("target", "description", "update", "remove")


class OverlayError(SourceError):
    """An overlay, or one of its actions, that cannot be applied."""


def apply(document: Any, overlay: Source) -> Any:
    """Return a copy of `document` with every action of the overlay applied, in order.

    Raises:
        OverlayError: The overlay is not valid, or an action has no target or no change. The target of an action is not
            a JSONPath (RFC 9535), matches nothing, or has another kind than its update.
    """
    result, origins = copy.deepcopy(document), Origins()
    origins.start(result, overlay)
    for error in apply_in_place(result, overlay, origins):
        raise error
    return result


def apply_in_place(document: Any, overlay: Source, origins: Origins) -> list[OverlayError]:
    """Apply an overlay to a document, record the origins of the values, and return the errors of its actions.

    Raises OverlayError for an overlay that is not valid.
    """
    errors = []
    for index, action in enumerate(_actions(overlay)):
        try:
            _apply_action(document, overlay, origins, action, pointer("actions", index))
        except OverlayError as error:
            errors.append(error)
    return errors


def _apply_action(document: Any, overlay: Source, origins: Origins, action: dict[str, Any], at: str) -> None:
    target = _Target(overlay, action["target"], at)
    found = target.find(document)
    if not overlay.data["overlay"].startswith("1.1.") and any(_kind(match.obj) == "primitive" for match in found):
        problem = "selects a value that is not an object or an array"
        raise target.error(problem, "select the object that contains it, or declare overlay: 1.1.0")
    if action.get("remove", False):
        if any(match.parent is None for match in found):
            raise target.error("is the whole document, which cannot be removed", "select a part of it")
        _remove(found, origins)
    else:
        _Update(overlay, origins).apply(target, found, action["update"], at + pointer("update"))


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


@dataclass(frozen=True)
class _Target:
    """The target of an action."""

    overlay: Source
    path: str
    action: str

    def error(self, problem: str, advice: str) -> OverlayError:
        """Return the error to raise for the target."""
        return _error(self.overlay, self.action + "/target", f"target {self.path}: {problem}", advice)

    def find(self, document: Any) -> list[jsonpath.JSONPathMatch]:
        """Return the matches of the target, each place once."""
        try:
            found = {match.parts: match for match in jsonpath.finditer(self.path, document, strict=True)}
        except jsonpath.JSONPathError as error:
            raise self.error(f"is not a JSONPath: {error}", "see RFC 9535") from None
        if not found:
            raise self.error("matches nothing in the document", "correct the target, or remove the action")
        return list(found.values())


def _kind(value: Any) -> str:
    return "object" if isinstance(value, dict) else "array" if isinstance(value, list) else "primitive"


def _remove(found: Iterable[jsonpath.JSONPathMatch], origins: Origins) -> None:
    # The items of an array move up when an item before them is removed.
    for match in sorted(found, key=lambda match: [(isinstance(part, str), part) for part in match.parts], reverse=True):
        assert match.parent is not None  # the document itself has none
        container: Any = match.parent.obj
        token = match.parts[-1]
        del container[token]
        origins.remove(container, token)


@dataclass(frozen=True)
class _Update:
    """The update of an action: objects are merged, arrays are concatenated, and primitives are replaced."""

    overlay: Source
    origins: Origins

    def apply(self, target: _Target, found: Sequence[jsonpath.JSONPathMatch], value: Any, at: str) -> None:
        kinds = {_kind(match.obj) for match in found}
        if len(kinds) > 1:
            raise target.error(f"selects {' and '.join(sorted(kinds))} values", "select values of one kind")
        for match in found:
            if isinstance(match.obj, list):
                self._extend(match.obj, value, at)
                continue
            self._check_kind(match.obj, value, at)
            if isinstance(match.obj, dict):
                self._merge(match.obj, value, at)
            elif match.parent is not None:  # a document is not a primitive
                self._set(match.parent.obj, match.parts[-1], value, at)

    def _check_kind(self, old: Any, new: Any, at: str) -> None:
        if _kind(old) != _kind(new):
            problem = f"updates a value of the kind {_kind(old)} by a value of the kind {_kind(new)}"
            raise _error(self.overlay, at, problem, "remove the old value first, or update it by one of its kind")

    def _merge(self, target: dict[str, Any], update: dict[str, Any], at: str) -> None:
        for name, value in update.items():
            here = at + pointer(name)
            if name not in target:
                self._set(target, name, value, here)
                continue
            self._check_kind(target[name], value, here)
            if isinstance(value, dict):
                self._merge(target[name], value, here)
            elif isinstance(value, list):
                self._extend(target[name], value, here)
            else:
                self._set(target, name, value, here)

    def _extend(self, target: list[Any], value: Any, at: str) -> None:
        places = [at + pointer(index) for index in range(len(value))] if isinstance(value, list) else [at]
        for place, item in zip(places, value if isinstance(value, list) else [value], strict=True):
            target.append(copy.deepcopy(item))
            self.origins.set_item(target, len(target) - 1, self.overlay, place)

    def _set(self, container: Any, token: Any, value: Any, at: str) -> None:
        container[token] = copy.deepcopy(value)
        if isinstance(container, dict):
            self.origins.set_member(container, token, self.overlay, at)
        else:
            self.origins.set_item(container, token, self.overlay, at)
