"""The document of the control API is valid OpenAPI 3.1, and Schemathesis finds no deviation from it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import openapi_spec_validator
import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError
from referencing.exceptions import Unresolvable

from mock_server import UsageMock
from mock_server.control import events
from mock_server.control.context import Context
from mock_server.control.document import document

# The keywords of JSON Schema 2020-12 and of the OpenAPI dialect, by what they contain.
SCHEMAS = {"properties", "patternProperties", "$defs", "dependentSchemas"}
LISTS = {"allOf", "anyOf", "oneOf", "prefixItems"}
SCHEMA = {
    *("items", "contains", "not", "if", "then", "else", "additionalProperties", "propertyNames"),
    *("unevaluatedItems", "unevaluatedProperties", "contentSchema"),
}
VALUES = {
    *("$schema", "$id", "$ref", "$anchor", "$dynamicRef", "$dynamicAnchor", "$vocabulary", "$comment"),
    *("type", "enum", "const", "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"),
    *("maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems", "maxContains", "minContains"),
    *("maxProperties", "minProperties", "required", "dependentRequired"),
    *("title", "description", "default", "deprecated", "readOnly", "writeOnly", "examples"),
    *("format", "contentEncoding", "contentMediaType", "discriminator", "xml", "externalDocs", "example"),
}


def schemas(node: Any) -> Iterator[dict[str, Any]]:
    """Yield the schemas of a document and their subschemas."""
    if isinstance(node, list):
        for each in node:
            yield from schemas(each)
    elif isinstance(node, dict):
        for name, value in node.items():
            if name == "schema":
                yield from with_inner(value)
            elif name == "schemas":
                for each in value.values():
                    yield from with_inner(each)
            else:
                yield from schemas(value)


def with_inner(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for name, value in schema.items():
            inner = value.values() if name in SCHEMAS else value if name in LISTS else [value] if name in SCHEMA else ()
            for each in inner:
                yield from with_inner(each)


def unknown_members(whole: Any) -> list[str]:
    """Return the members of schemas that no specification defines."""
    known = SCHEMAS | LISTS | SCHEMA | VALUES
    return [name for schema in schemas(whole) for name in schema if name not in known and not name.startswith("x-")]


def check(whole: dict[str, Any]) -> None:
    """Raise an error if a document is not valid."""
    openapi_spec_validator.validate(whole)
    for schema in schemas(whole):
        Draft202012Validator.check_schema(schema)
    assert unknown_members(whole) == []


def test_the_document_is_valid_and_has_no_unknown_members() -> None:
    assert len(list(schemas(document()))) > 100
    check(document())


def test_no_description_is_truncated() -> None:
    def descriptions(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            yield from (node[name] for name in ("description", "summary") if isinstance(node.get(name), str))
        for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from descriptions(each)

    found = [text for text in descriptions(document()) if " " in text]
    assert [text for text in found if text.count("`") % 2 or text.count("(") != text.count(")")] == []
    assert [text for text in found if text.endswith((",", ";", ":"))] == []


TRUNCATED = {"type": "string", "description": "Path and query", "with keys masked.": None}

BROKEN: dict[str, Callable[[Any], object]] = {
    "a truncated description": lambda whole: whole["components"]["schemas"].update(Odd=TRUNCATED),
    "a misspelled keyword": lambda whole: whole["components"]["schemas"].update(Odd={"type": "string", "patern": "x"}),
    "an invalid value of a keyword": lambda whole: whole["components"]["schemas"].update(Odd={"type": "text"}),
    "a dangling reference": lambda whole: whole["components"]["schemas"].pop("Clock"),
    "an unknown member of an operation": lambda whole: whole["paths"]["/state"]["get"].update({"and more": None}),
}


@pytest.mark.parametrize("case", BROKEN)
def test_an_invalid_document_is_rejected(case: str) -> None:
    whole = deepcopy(document())
    BROKEN[case](whole)
    with pytest.raises((AssertionError, SchemaError, OpenAPIValidationError, Unresolvable)):
        check(whole)


class FirstRound(asyncio.Event):
    """The stop of a mock that happens once a stream has sent its first events."""

    async def wait(self) -> Literal[True]:
        self.set()
        return True


@pytest.fixture
def short_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """End each stream of events after its first events: Schemathesis would wait for its time-out."""
    send_events = vars(events)["_send_events"]

    def send_first_events(context: Context, *arguments: Any) -> Awaitable[None]:
        sending: Awaitable[None] = send_events(replace(context, stopping=FirstRound()), *arguments)
        return sending

    monkeypatch.setattr(events, "_send_events", send_first_events)


RUNS = {
    "events": ["--include-operation-id", "get_events", "--phases", "coverage"],
    "other operations": ["--exclude-operation-id", "get_events", "--max-examples", "3"],
}


@pytest.mark.parametrize("run", RUNS)
def test_schemathesis_with_all_checks_finds_no_fault(tmp_path: Path, run: str, short_streams: None) -> None:
    with UsageMock() as mock:
        base = f"{mock.url}/__mock__"
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{base}/openapi.json", "--url", base]
        options = ["--checks", "all", "--seed", "1", "--no-color", "--request-timeout", "60", *RUNS[run]]
        done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert "No issues found" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0
