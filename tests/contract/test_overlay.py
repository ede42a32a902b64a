"""Overlays are applied strictly, according to their specification."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from usage_contract import OverlayError, read_document
from usage_contract.origins import Origins
from usage_contract.overlay import apply

DOCUMENT: dict[str, Any] = {"info": {"title": "A", "tags": ["x"]}, "paths": {"/a": {"get": {}}, "/b": {"get": {}}}}


def applied(overlay: Path, document: dict[str, Any] = DOCUMENT) -> dict[str, Any]:
    """Return a copy of a document with an overlay, or raise the first error of an action."""
    result, source = copy.deepcopy(document), read_document(overlay)
    for error in apply(result, source, Origins(result, source)):
        raise error
    return result


def overlaid(folder: Path, actions: str, version: str = "1.0.0") -> dict[str, Any]:
    path = folder / "overlay.yaml"
    path.write_text(f"overlay: {version}\ninfo: {{title: t, version: v}}\nactions:\n{actions}")
    return applied(path)


def test_objects_are_merged_member_by_member(tmp_path: Path) -> None:
    result = overlaid(tmp_path, "- {target: $, update: {info: {title: B, new: 1}}}")
    assert result["info"] == {"title": "B", "tags": ["x"], "new": 1}


def test_values_are_appended_to_arrays(tmp_path: Path) -> None:
    assert overlaid(tmp_path, "- {target: $.info, update: {tags: [y]}}")["info"]["tags"] == ["x", "y"]
    assert overlaid(tmp_path, "- {target: $.info.tags, update: y}")["info"]["tags"] == ["x", "y"]


def test_every_match_is_updated_and_none_shares_the_update(tmp_path: Path) -> None:
    result = overlaid(tmp_path, "- {target: '$.paths.*.get', update: {tags: [t]}}")
    assert result["paths"]["/a"]["get"] == result["paths"]["/b"]["get"] == {"tags": ["t"]}
    assert result["paths"]["/a"]["get"]["tags"] is not result["paths"]["/b"]["get"]["tags"]


def test_matches_are_removed(tmp_path: Path) -> None:
    assert overlaid(tmp_path, "- {target: \"$.paths['/a']\", remove: true}")["paths"] == {"/b": {"get": {}}}
    assert overlaid(tmp_path, "- {target: '$.paths.*', remove: true}")["paths"] == {}


def test_many_items_of_an_array_are_removed(tmp_path: Path) -> None:
    actions = (
        "- {target: $.info, update: {list: [{a: 1}, {b: 2}, {c: 3}]}}\n- {target: '$.info.list[%s]', remove: true}"
    )
    assert overlaid(tmp_path, actions % "*")["info"]["list"] == []
    assert overlaid(tmp_path, actions % "0,1")["info"]["list"] == [{"c": 3}]
    assert overlaid(tmp_path, actions % "-1,0")["info"]["list"] == [{"b": 2}]
    assert overlaid(tmp_path, actions % "1,1")["info"]["list"] == [{"a": 1}, {"c": 3}]


HEAD = "overlay: 1.0.0\ninfo: {title: t, version: v}\n"
ADVICE = "an action has a target (a text), and update or remove: true"
INVALID: dict[str, str] = {
    "- 1\n": "1: is not an overlay; an overlay is an object with overlay, info and actions",
    "info: {title: t, version: v}\n": "1: lacks overlay, the version of the Overlay Specification; add overlay: 1.0.0",
    "overlay: 1.0\n": "1 /overlay: 1.0 is not a supported version; valid: 1.0.0, 1.1.0",
    "overlay: 1.2.0\n": "1 /overlay: '1.2.0' is not a supported version; valid: 1.0.0, 1.1.0",
    "overlay: 1.0.0\n": "1 /info: the overlay lacks a title or a version; add info with title and version",
    HEAD: "1 /actions: the overlay has no list of actions; add at least one action",
    f"{HEAD}actions: []\n": "3 /actions: the overlay has no list of actions; add at least one action",
    f"{HEAD}action: []\n": "3 /action: 'action' is not a member of an overlay; did you mean 'actions'?",
    f"{HEAD}actions:\n- 1\n": f"4 /actions/0: is not an action; {ADVICE}",
    f"{HEAD}actions:\n- {{target: $.info}}\n": f"4 /actions/0: the action changes nothing; {ADVICE}",
    f"{HEAD}actions:\n- {{target: $.info, remove: false}}\n": f"4 /actions/0: the action changes nothing; {ADVICE}",
    f"{HEAD}actions:\n- {{remove: true}}\n": f"4 /actions/0/target: the action lacks a target that is a text; {ADVICE}",
    f"{HEAD}actions:\n- {{target: 1, update: {{}}}}\n": (
        f"4 /actions/0/target: the action lacks a target that is a text; {ADVICE}"
    ),
    f"{HEAD}actions:\n- {{target: $.info, remove: yes}}\n": (
        f"4 /actions/0/remove: 'yes' is not true or false; {ADVICE}"
    ),
    f"{HEAD}actions:\n- target: $.info\n  udpate: {{}}\n": (
        "5 /actions/0/udpate: 'udpate' is not a member of an action; did you mean 'update'?"
    ),
    f"{HEAD}actions:\n- target: $.info\n  copy: $.paths\n": (
        "5 /actions/0/copy: copy (Overlay 1.1) is not supported; write the copied value as update"
    ),
    f"{HEAD}actions:\n- {{target: $, remove: true}}\n": (
        "4 /actions/0/target: target $: is the whole document, which cannot be removed; select a part of it"
    ),
    f"{HEAD}actions:\n- {{target: $.info, update: text}}\n": (
        "4 /actions/0/update: updates a value of the kind object by a value of the kind primitive; remove the old value"
    ),
    f"{HEAD}actions:\n- {{target: $.info, update: {{tags: text}}}}\n": (
        "4 /actions/0/update/tags: updates a value of the kind array by a value of the kind primitive; remove"
    ),
    f"{HEAD}actions:\n- {{target: $.info, update: {{title: {{}}}}}}\n": (
        "4 /actions/0/update/title: updates a value of the kind primitive by a value of the kind object; remove"
    ),
    f"{HEAD}actions:\n- {{target: '$[''info'', ''paths''].tags', update: 1, remove: 1}}\n": (
        f"4 /actions/0/remove: 1 is not true or false; {ADVICE}"
    ),
}


@pytest.mark.parametrize("text", INVALID)
def test_an_invalid_overlay_is_an_error_with_its_position(tmp_path: Path, text: str) -> None:
    path = tmp_path / "overlay.yaml"
    path.write_text(text)
    with pytest.raises(OverlayError) as error:
        applied(path)
    assert str(error.value).startswith(f"{path}:{INVALID[text]}")


def test_extensions_of_an_overlay_and_of_an_action_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "overlay.yaml"
    path.write_text(f"{HEAD}x-owner: us\nactions:\n- {{target: $.info, x-note: 1, remove: true}}\n")
    assert "info" not in applied(path)


@pytest.mark.parametrize(
    ("action", "info"),
    [
        ("{target: $.info.title, update: B}", {"title": "B", "tags": ["x"]}),
        ("{target: $.info.title, update: null}", {"title": None, "tags": ["x"]}),
        ("{target: $.info.title, remove: true}", {"tags": ["x"]}),
        ("{target: '$.info.tags[0]', update: y}", {"title": "A", "tags": ["y"]}),
        ("{target: \"$.info.tags[?@ == 'x']\", remove: true}", {"title": "A", "tags": []}),
    ],
)
def test_version_1_1_updates_and_removes_primitives(tmp_path: Path, action: str, info: dict[str, Any]) -> None:
    assert overlaid(tmp_path, f"- {action}", version="1.1.0")["info"] == info


def test_version_1_0_selects_objects_and_arrays_only(tmp_path: Path) -> None:
    for change in ("update: B", "remove: true"):
        with pytest.raises(OverlayError, match="selects a value that is not an object or an array"):
            overlaid(tmp_path, f"- {{target: $.info.title, {change}}}")


def test_an_update_selects_values_of_one_kind(tmp_path: Path) -> None:
    with pytest.raises(OverlayError, match="selects array and primitive values; select values of one kind"):
        overlaid(tmp_path, "- {target: $.info.*, update: B}", version="1.1.0")
    assert overlaid(tmp_path, "- {target: $.info.*, remove: true}", version="1.1.0")["info"] == {}


def test_a_value_that_is_selected_twice_is_updated_once(tmp_path: Path) -> None:
    result = overlaid(tmp_path, "- {target: \"$.info['tags', 'tags']\", update: y}")
    assert result["info"]["tags"] == ["x", "y"]


def test_values_of_one_anchor_are_not_shared(tmp_path: Path) -> None:
    (tmp_path / "document.yaml").write_text("a: &anchor {x: {}}\nb: *anchor\nlist: [*anchor]\n")
    (tmp_path / "overlay.yaml").write_text(
        f"{HEAD}actions:\n- {{target: $.a, update: {{x: &new {{y: [1]}}, z: *new}}}}\n"
        "- {target: $.a.z.y, update: 2}\n"
    )
    document = read_document(tmp_path / "document.yaml").data
    result = applied(tmp_path / "overlay.yaml", document)
    assert result == {"a": {"x": {"y": [1]}, "z": {"y": [1, 2]}}, "b": {"x": {}}, "list": [{"x": {}}]}


def test_actions_are_applied_in_order(tmp_path: Path) -> None:
    actions = "- {target: $.info, update: {x: {}}}\n- {target: $.info.x, update: {y: 1}}"
    assert overlaid(tmp_path, actions)["info"]["x"] == {"y": 1}


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("$.nothing", "matches nothing in the document"),
        ("$[", "is not a JSONPath"),
    ],
)
def test_an_action_that_cannot_be_applied_is_an_error_with_its_position(
    target: str, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(OverlayError) as error:
        overlaid(tmp_path, f"- target: {target}\n  update: {{}}")
    assert str(error.value).startswith(f"{tmp_path}/overlay.yaml:4 /actions/0/target: target {target}: ")
    assert problem in str(error.value)
