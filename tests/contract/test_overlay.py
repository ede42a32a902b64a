"""Overlays are applied as the specification has it, and strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from usage_contract import OverlayError, read
from usage_contract.overlay import apply

DOCUMENT: dict[str, Any] = {"info": {"title": "A", "tags": ["x"]}, "paths": {"/a": {"get": {}}, "/b": {"get": {}}}}


def overlaid(folder: Path, actions: str) -> dict[str, Any]:
    path = folder / "overlay.yaml"
    path.write_text(f"overlay: 1.0.0\ninfo: {{title: t, version: v}}\nactions:\n{actions}")
    return apply(DOCUMENT, read(path))


def test_objects_are_merged_member_by_member(tmp_path: Path) -> None:
    result = overlaid(tmp_path, "- {target: $, update: {info: {title: B, new: 1}}}")
    assert result["info"] == {"title": "B", "tags": ["x"], "new": 1}


def test_arrays_are_appended_to(tmp_path: Path) -> None:
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


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("overlay: 1.0.0\n", "1: the overlay has no list of actions"),
        ("- 1\n", "1: the overlay has no list of actions"),
        ("actions: []\n", "1: the overlay has no list of actions"),
        ("actions:\n- {target: $.info}\n", "2: an action needs a target (a text), and update or remove: true"),
        ("actions:\n- {remove: true}\n", "2: an action needs a target (a text), and update or remove: true"),
        ("actions:\n- {target: $, remove: true}\n", "2: target $: is the whole document, which cannot be removed"),
        ("actions:\n- {target: $.info, update: text}\n", "2: target $.info: an object is updated by an object only"),
        ("actions:\n- {target: 1, update: {}}\n", "2: an action needs a target (a text), and update or remove: true"),
    ],
)
def test_an_overlay_that_is_none_is_an_error_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "overlay.yaml"
    path.write_text(text)
    with pytest.raises(OverlayError) as error:
        apply(DOCUMENT, read(path))
    assert str(error.value).startswith(f"{path}:{problem}")


def test_actions_are_applied_in_order(tmp_path: Path) -> None:
    actions = "- {target: $.info, update: {x: {}}}\n- {target: $.info.x, update: {y: 1}}"
    assert overlaid(tmp_path, actions)["info"]["x"] == {"y": 1}


def test_the_document_itself_is_left_as_it_was(tmp_path: Path) -> None:
    overlaid(tmp_path, "- {target: $.info, remove: true}")
    assert DOCUMENT["info"]["title"] == "A"


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("$.nothing", "matches nothing in the document"),
        ("$.info.title", "no object and no array"),
        ("$[", "is not a JSONPath"),
    ],
)
def test_an_action_that_cannot_be_applied_is_an_error_with_its_place(target: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(OverlayError) as error:
        overlaid(tmp_path, f"- target: {target}\n  update: {{}}")
    assert str(error.value).startswith(f"{tmp_path}/overlay.yaml:4: target {target}: ")
    assert problem in str(error.value)
