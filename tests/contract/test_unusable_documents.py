"""A document that cannot be used is reported with its file, line and JSON Pointer, and causes no other error."""

from __future__ import annotations

import copy
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mock_server import make_app
from usage_contract import LEVELS, Contract, ContractError, DocumentError, SourceError, load
from usage_contract.contract import shipped_documents
from usage_contract.pointers import pointer

OK = "#/components/schemas/UsageResponse"
AT_200 = "/paths/~1usage/get/responses/200"
REF = f"{AT_200}/content/application~1json/schema/$ref"

# The changed text of the vendor's document, its replacement, and the start of the message after `openapi.yaml:`.
CHANGES: dict[str, tuple[str, str, str]] = {
    "a missing target": (
        OK,
        "#/components/schemas/UsageRespons",
        f"48 {REF}: refers to '#/components/schemas/UsageRespons', which does not exist; did you mean '{OK}'?",
    ),
    "another file": (
        OK,
        "schemas.yaml#/UsageResponse",
        f"48 {REF}: refers to 'schemas.yaml#/UsageResponse', which is not in this document; bundle the documents",
    ),
    "a missing anchor": (OK, "#usage", f"48 {REF}: refers to '#usage', which does not exist; add it"),
    "a reference that is not a text": (
        f"$ref: '{OK}'",
        "$ref: 1",
        f"48 {REF}: must be a text, not a number; write a reference",
    ),
    "a loop": (
        "  schemas:\n    UsageResponse:\n",
        f"  schemas:\n    UsageResponse: {{$ref: '{OK}'}}\n    Other:\n",
        f"55 {OK[1:]}/$ref: refers to '{OK}', which refers back to itself; replace one of the references",
    ),
    "no paths": ("paths:\n", "x-paths:\n", "1: lacks paths; add the operations of the API"),
    "paths that are a list": ("paths:\n", "paths: []\nx-paths:\n", "32 /paths: must be an object, not an array"),
    "an unknown security scheme": (
        "- ApiKeyHeader: []",
        "- ApiKeyHeadr: []",
        "16 /security/0/ApiKeyHeadr: 'ApiKeyHeadr' is not a security scheme of the document; "
        "did you mean 'ApiKeyHeader'?",
    ),
    "no security schemes": (
        "securitySchemes:",
        "x-schemes:",
        "16 /security/0/ApiKeyHeader: 'ApiKeyHeader' is not a security scheme of the document; valid: none",
    ),
    "a key in the query": ("in: header", "in: query", "15 /security: get_usage: only one API key in a header is"),
    "a missing description": (
        "          description: Missing or invalid API key.\n",
        "          x-description: Missing or invalid API key.\n",
        "49 /paths/~1usage/get/responses/401: lacks description; every response has a description",
    ),
    "an empty response": (
        "        '403':\n          description: Invalid API key.\n",
        "        '403':\n",
        "51 /paths/~1usage/get/responses/403: must be an object, not null",
    ),
    "a status that does not exist": ("'403'", "'40'", "51 /paths/~1usage/get/responses/40: '40' is not a status code"),
    "a path without a slash": ("  /usage:", "  usage:", "33 /paths/usage: is a path without a leading slash"),
    "an operationId that is a number": (
        "operationId: get_usage",
        "operationId: 1",
        "41 /paths/~1usage/get/operationId: must be a text, not a number; put quotes around it",
    ),
    "another version": ("openapi: 3.1.0", "openapi: 3.0.3", "1 /openapi: '3.0.3' is not a supported version"),
    "a version that is a number": ("openapi: 3.1.0", "openapi: 3.1", "1 /openapi: must be a text, not a number"),
    "no version": ("openapi: 3.1.0", "x-openapi: 3.1.0", "1: lacks openapi; add openapi: 3.1.0"),
    "no info": ("info:\n", "x-info:\n", "1: lacks info; add the title and the version of the API"),
    "no title": ("  title:", "  x-title:", "2 /info: lacks title; add the title of the API"),
    "an unknown type": (
        "        total:\n          type: integer",
        "        total:\n          type: intger",
        "61 /components/schemas/UsageResponse/properties/total/type: is not valid in a schema: 'intger'",
    ),
    "a number that JSON lacks": ("version: 2.2.0", "version: .nan", "8 /info/version: is nan, which JSON lacks"),
}


def changed(parent: Path, old: str, new: str) -> Path:
    """Return a copy of the shipped folder, in which one text of the vendor's document is replaced."""
    documents = parent / "openapi"
    shutil.copytree(shipped_documents(), documents)
    path = documents / "openapi.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    return documents


@pytest.mark.parametrize("name", CHANGES)
def test_a_document_that_cannot_be_used_is_one_error_with_its_position(name: str, tmp_path: Path) -> None:
    old, new, message = CHANGES[name]
    documents = changed(tmp_path, old, new)
    for level in LEVELS:
        with pytest.raises((ContractError, SourceError)) as error:
            load(level, documents)
        (line,) = str(error.value).splitlines()
        assert line.startswith(f"{documents}/openapi.yaml:{message}")


def test_all_problems_of_a_document_are_reported_together(tmp_path: Path) -> None:
    documents = changed(tmp_path, "          description: Invalid API key.\n", "          x-note: none\n")
    path = documents / "openapi.yaml"
    path.write_text(path.read_text().replace("title:", "x-title:"))
    with pytest.raises(DocumentError) as error:
        load("documented", documents)
    lacks = [re.sub(r".*openapi\.yaml:(\d+).*(lacks \w+).*", r"\1 \2", line) for line in str(error.value).splitlines()]
    assert lacks == ["2 lacks title", "51 lacks description"]


def test_a_problem_that_an_overlay_writes_has_the_line_of_the_overlay(tmp_path: Path) -> None:
    documents = changed(tmp_path, "2.2.0", "2.2.0")
    path = documents / "advisory.overlay.yaml"
    text = path.read_text() + "          $ref: '#/components/schemas/Nothing'\n"
    path.write_text(text)
    with pytest.raises(DocumentError) as error:
        load("advisory", documents)
    place = "/paths/~1usage/get/responses/401/headers/WWW-Authenticate/$ref"
    assert str(error.value).startswith(f"{path}:{text.count(chr(10))} {place}: refers to ")
    load("documented", documents)


def test_a_document_of_another_kind_is_reported(tmp_path: Path) -> None:
    documents = changed(tmp_path, "2.2.0", "2.2.0")
    (documents / "openapi.yaml").write_text("- 1\n")
    with pytest.raises(DocumentError, match=r"openapi\.yaml:1: must be an object, not an array"):
        load("documented", documents)


@pytest.mark.parametrize("depth", [30, 60, 120, 240, 480])
def test_a_deeply_nested_document_is_read_or_reported(depth: int, tmp_path: Path) -> None:
    nested = "{not: " * depth + "{}" + "}" * depth
    documents = changed(tmp_path, "    UsageResponse:\n", f"    Nested: {nested}\n    UsageResponse:\n")
    with suppress(SourceError):
        load("documented", documents)


@pytest.mark.parametrize("path", ["/usage/{id", "/usage/{user-id}", "/usage/{}"])
def test_a_path_that_the_mock_cannot_serve_is_reported(path: str, tmp_path: Path) -> None:
    documents = changed(tmp_path, "  /usage:\n", f"  {path}:\n")
    document = documents / "documented.overlay.yaml"
    document.write_text(document.read_text().replace("['/usage']", f"['{path}']"))
    with pytest.raises(ContractError, match="the mock cannot serve the path"):
        make_app(load("documented", documents))


def test_an_operation_that_the_mock_needs_is_reported(tmp_path: Path) -> None:
    documents = changed(tmp_path, "operationId: get_usage", "operationId: getUsage")
    with pytest.raises(ContractError, match="the document has no operation get_usage; did you mean 'getUsage'"):
        make_app(load("documented", documents))


def paths(value: Any, *at: str | int) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of each value in a document."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for token, member in members:
        yield (*at, token)
        yield from paths(member, *at, token)


def parent_of(document: Any, path: tuple[str | int, ...]) -> Any:
    """Return the object or array that contains the value at a path."""
    for token in path[:-1]:
        document = document[token]
    return document


DOCUMENT = load("advisory").document
# All parts of a schema are similar, so the first levels suffice.
PATHS = [path for path in paths(DOCUMENT) if path[:2] != ("components", "schemas") or len(path) < 5]
TOP = sorted({pointer(*path[:3]) for path in PATHS})
VALUES: tuple[Any, ...] = (None, True, "x", [], [1], {"x": 1}, {"$ref": "#/x"}, {"$ref": 1})


@pytest.mark.parametrize("top", TOP)
def test_no_change_of_one_value_causes_another_error(top: str) -> None:
    for path in [path for path in PATHS if pointer(*path[:3]) == top]:
        for value in VALUES:
            document = copy.deepcopy(DOCUMENT)
            parent_of(document, path)[path[-1]] = value
            with suppress(DocumentError):
                _ = Contract("documented", document).operations


def test_no_removal_of_one_value_causes_another_error_of_the_mock() -> None:
    for path in PATHS:
        document = copy.deepcopy(DOCUMENT)
        del parent_of(document, path)[path[-1]]
        with suppress(ContractError):
            make_app(Contract("documented", document))
