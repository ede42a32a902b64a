"""The operations of an OpenAPI 3.1 document, and the problems that make a document unusable.

Source: https://spec.openapis.org/oas/v3.1.1.html; the sections are those of the objects with the same names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from usage_contract.pointers import parts, pointer, pointer_tokens, subscript
from usage_contract.suggestions import suggest

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
VERSION = re.compile(r"3\.1\.[0-9]+")
STATUS = re.compile(r"[1-5]([0-9]{2}|XX)|default")

# A message of jsonschema contains the rejected value.
MAX_MESSAGE = 200

# Keywords whose values are data, in which `$ref` has no meaning.
DATA = frozenset({"example", "examples", "default", "const", "enum"})

# Members whose own members have names that the author chooses.
MAPS = frozenset(
    {
        *("properties", "patternProperties", "$defs", "dependentSchemas", "paths", "responses", "content", "headers"),
        *("schemas", "parameters", "requestBodies", "securitySchemes", "links", "callbacks", "pathItems", "webhooks"),
    }
)

# Maps in which a name that begins with `x-` is an extension.
EXTENSIBLE_MAPS = frozenset({"paths", "responses"})

MISSING: Any = object()


class ContractError(Exception):
    """The document contains something that this project does not understand."""


@dataclass(frozen=True)
class Problem:
    """One problem of a document: the JSON Pointer of its place, the problem, and advice."""

    pointer: str
    problem: str
    advice: str = ""

    def __str__(self) -> str:
        place = f"{self.pointer}: " if self.pointer else ""
        return f"{place}{self.problem}" + (f"; {self.advice}" if self.advice else "")


@dataclass(frozen=True)
class Response:
    """One documented response: its headers and the JSON Schema of its body by media type.

    The references of each schema resolve in the schema itself. A media type without a schema has one that is valid
    for every value.
    """

    description: str
    headers: Mapping[str, Mapping[str, Any]]
    content: Mapping[str, Mapping[str, Any]]

    @property
    def media_type(self) -> str | None:
        """The first documented media type, or None where no body is documented."""
        return next(iter(self.content), None)

    @property
    def schema(self) -> Mapping[str, Any] | None:
        """The JSON Schema of the first documented media type."""
        return next(iter(self.content.values()), None)


@dataclass(frozen=True)
class Operation:
    """One operation; `key_header` is the header that carries its API key, None where it is public."""

    id: str
    method: str
    path: str
    key_header: str | None
    responses: Mapping[str, Response]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Reader:
    """Reads the operations of a document, and collects the problems that it finds on the way.

    Extensions (`x-`) are skipped wherever the specification allows them.
    """

    document: Any
    problems: list[Problem] = field(default_factory=list)

    def operations(self) -> dict[str, Operation]:
        """Return the operations by operationId, in the document's order; complete if no problem was found."""
        document = self._object(self.document, "")
        self._check_head(document)
        self.problems += _reference_problems(document)
        self._security(document, "")
        paths = self._object(self._member(document, "paths", "", "add the operations of the API"), "/paths")
        found: dict[str, Operation] = {}
        for path, node in paths.items():
            if path.startswith("x-"):
                continue
            if not path.startswith("/"):
                self._add(pointer("paths", path), "is a path without a leading slash", f"write '/{path}'")
            item, at = self._resolve(node, pointer("paths", path))
            item = self._object(item, at)
            for method in METHODS:
                if method in item:
                    operation = self._operation(path, method, item[method], at + pointer(method))
                    if operation.id in found:
                        problem = f"{operation.id!r} is also the operationId of {found[operation.id]}"
                        self._add(at + pointer(method, "operationId"), problem, "every operation has its own")
                    found[operation.id] = operation
        return found

    def _check_head(self, document: dict[str, Any]) -> None:
        version = self._text(document, "openapi", "", "add openapi: 3.1.0")
        if version and not VERSION.fullmatch(version):
            problem = f"{version!r} is not a supported version of OpenAPI"
            self._add("/openapi", problem, "convert the document to OpenAPI 3.1")
        info = self._object(self._member(document, "info", "", "add the title and the version of the API"), "/info")
        for name in ("title", "version") if isinstance(document.get("info"), dict) else ():
            self._text(info, name, "/info", f"add the {name} of the API")

    def _operation(self, path: str, method: str, node: Any, at: str) -> Operation:
        described = self._object(node, at)
        security = self._security(described, at) if "security" in described else self.document.get("security", [])
        name = described.get("operationId", f"{method} {path}")
        if not isinstance(name, str):
            self._add(at + "/operationId", f"must be a text, not {_kind(name)}", "put quotes around it")
            name = f"{method} {path}"
        at_security = at + "/security" if "security" in described else "/security"
        header = self._key_header(name, security, at_security)
        statuses = self._object(described.get("responses", {}), at + "/responses")
        responses = {}
        for status, response in statuses.items():
            if status.startswith("x-"):
                continue
            place = at + pointer("responses", status)
            if not STATUS.fullmatch(status):
                self._add(place, f"{status!r} is not a status code", "valid: a code such as '200', '4XX', or 'default'")
            responses[status] = self._response(response, place)
        return Operation(name, method.upper(), path, header, responses)

    def _response(self, node: Any, at: str) -> Response:
        target, place = self._resolve(node, at)
        described = self._object(target, place)
        description = ""
        if isinstance(target, dict):
            description = self._text(described, "description", place, "every response has a description")
        if node is not target and isinstance(node, dict) and isinstance(node.get("description"), str):
            description = node["description"]  # a reference can override it
        content = {
            media_type: self._schema(body, place + pointer("content", media_type))
            for media_type, body in self._object(described.get("content", {}), place + "/content").items()
        }
        headers = {
            name: self._header(header, place + pointer("headers", name))
            for name, header in self._object(described.get("headers", {}), place + "/headers").items()
        }
        return Response(description, headers, content)

    def _header(self, node: Any, at: str) -> Mapping[str, Any]:
        target, place = self._resolve(node, at)
        return {**self._object(target, place), "schema": self._schema(target, place)}

    def _schema(self, node: Any, at: str) -> Mapping[str, Any]:
        """Return the schema of a media type or a header."""
        return self.own_schema(self._object(node, at).get("schema", {}), at + "/schema")

    def own_schema(self, node: Any, at: str) -> Mapping[str, Any]:
        """Return a schema with the parts of the document to which its references lead."""
        schema, siblings = self._mapping(node, at), []
        while "$ref" in schema and str(schema["$ref"]).startswith("#"):
            if rest := {name: value for name, value in schema.items() if name != "$ref"}:
                siblings.append(rest)
            schema = self._mapping(*self._resolve({"$ref": schema["$ref"]}, at))
        if siblings:
            schema = {**schema, "allOf": [*schema.get("allOf", ()), *siblings]}
        return {**schema, **{name: self.document[name] for name in ("components", "paths") if name in self.document}}

    def _mapping(self, schema: Any, at: str) -> dict[str, Any]:
        """Return a schema as an object, also one that is `true` or `false`."""
        if isinstance(schema, bool):
            return {} if schema else {"not": {}}
        return self._object(schema, at)

    def _security(self, node: dict[str, Any], at: str) -> list[Any]:
        """Return the security requirements of the document or of an operation; each scheme must exist."""
        requirements = node.get("security", [])
        if not isinstance(requirements, list):
            self._add(at + "/security", f"must be an array, not {_kind(requirements)}", "see Security Requirement")
            return []
        schemes = self._security_schemes
        for index, requirement in enumerate(requirements):
            place = at + pointer("security", index)
            for name in self._object(requirement, place):
                if name not in schemes:
                    problem = f"{name!r} is not a security scheme of the document"
                    self._add(place + pointer(name), problem, f"{suggest(name, schemes)} (components.securitySchemes)")
        return requirements

    @property
    def _security_schemes(self) -> dict[str, Any]:
        """The security schemes of the document; empty where they are missing or are not an object."""
        components = self.document.get("components") if isinstance(self.document, dict) else None
        schemes = components.get("securitySchemes") if isinstance(components, dict) else None
        return schemes if isinstance(schemes, dict) else {}

    def _key_header(self, operation: str, security: Any, at: str) -> str | None:
        if not isinstance(security, list) or not security or not isinstance(security[0], dict) or not security[0]:
            return None  # an empty requirement permits requests without a key
        known = self._security_schemes
        if not security[0].keys() <= known.keys():
            return None  # reported where the requirement is read
        schemes = [
            self._object(*self._resolve(known[name], pointer("components", "securitySchemes", name)))
            for name in security[0]
        ]
        header, *kinds = [schemes[0].get(name) for name in ("name", "type", "in")]
        if len(schemes) > 1 or kinds != ["apiKey", "header"] or not isinstance(header, str):
            problem = f"{operation}: only one API key in a header is understood, not {security}"
            self._add(at, problem, "use a security scheme with type: apiKey, in: header and a name")
            return None
        return header

    def _resolve(self, node: Any, at: str) -> tuple[Any, str]:
        """Follow the reference of a node; MISSING for a target that does not exist, which is reported elsewhere."""
        seen = set()
        while isinstance(node, dict) and isinstance(node.get("$ref"), str):
            reference = node["$ref"]
            if reference in seen:
                return MISSING, at
            seen.add(reference)
            node, at = _target(self.document, reference)
        return node, at

    def _member(self, node: dict[str, Any], name: str, at: str, advice: str) -> Any:
        if name not in node and node is not MISSING:
            self._add(at, f"lacks {name}", advice)
        return node.get(name, MISSING)

    def _text(self, node: dict[str, Any], name: str, at: str, advice: str) -> str:
        value = self._member(node, name, at, advice)
        if value is MISSING or isinstance(value, str):
            return "" if value is MISSING else value
        self._add(at + pointer(name), f"must be a text, not {_kind(value)}", "put quotes around it")
        return ""

    def _object(self, value: Any, at: str) -> dict[str, Any]:
        if not isinstance(value, dict) and value is not MISSING:
            self._add(at, f"must be an object, not {_kind(value)}", "")
        return value if isinstance(value, dict) else {}

    def _add(self, at: str, problem: str, advice: str) -> None:
        found = Problem(at, problem, advice)
        if found not in self.problems:  # many references can lead to one object
            self.problems.append(found)


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    kinds: dict[type, str] = {dict: "an object", list: "an array", str: "a text"}
    return kinds.get(type(value), "a number")


def schema_problems(document: Any) -> Iterator[Problem]:
    """Yield the problems of the schemas in a document: each must be valid against the meta-schema of JSON Schema."""
    for at, schema in schemas(document):
        for place, message in _invalid_parts(json.dumps(schema)):
            yield Problem(at + pointer(*place), f"is not valid in a schema: {message}", "see JSON Schema 2020-12")


def schemas(document: Any) -> Iterator[tuple[str, Any]]:
    """Yield the place and the value of each outermost schema in a document."""
    return _members(document, lambda at, name, is_map: at == "/components/schemas" or (name == "schema" and not is_map))


def _members(
    value: Any, is_wanted: Callable[[str, str, bool], bool], at: str = "", *, is_map: bool = False
) -> Iterator[tuple[str, Any]]:
    """Yield the place and the value of each outermost wanted member in a part of a document.

    Args:
        value: The part.
        is_wanted: Called with the place of an object, the name of its member, and whether the author chooses its names.
        at: The place of the part.
        is_map: The part is an object whose author chooses the names.
    """
    is_object = isinstance(value, dict)
    for token, part in parts(value):
        if is_object and _is_skipped(at, token, is_map=is_map):
            continue
        if is_object and is_wanted(at, token, is_map):
            yield at + pointer(token), part
        else:
            yield from _members(part, is_wanted, at + pointer(token), is_map=not is_map and token in MAPS)


def _is_skipped(at: str, name: str, *, is_map: bool) -> bool:
    """Return whether a member is data or an extension; the names of some maps can be extensions as well."""
    if not is_map:
        return name in DATA or name.startswith("x-")
    is_extensible = at != "/components/responses" and at.rpartition("/")[2] in EXTENSIBLE_MAPS
    return is_extensible and name.startswith("x-")


@lru_cache(maxsize=256)  # most schemas of a document are the same at every level
def _invalid_parts(schema: str) -> list[tuple[tuple[str | int, ...], str]]:
    from jsonschema import Draft202012Validator  # not needed for an option's help

    checker = Draft202012Validator.FORMAT_CHECKER
    errors = Draft202012Validator(Draft202012Validator.META_SCHEMA, format_checker=checker).iter_errors(
        json.loads(schema)
    )
    return [(tuple(error.absolute_path), error.message[:MAX_MESSAGE]) for error in errors]


def _reference_problems(document: dict[str, Any]) -> Iterator[Problem]:
    loops: set[str] = set()
    # In a map, `$ref` is a name like any other.
    for at, reference in _members(document, lambda _, name, is_map: name == "$ref" and not is_map):
        if not isinstance(reference, str):
            yield Problem(at, f"must be a text, not {_kind(reference)}", "write a reference such as '#/components/…'")
        elif not reference.startswith("#"):
            problem = f"refers to {reference!r}, which is not in this document"
            yield Problem(at, problem, "bundle the documents into one, in which every reference begins with '#'")
        elif _target(document, reference)[0] is MISSING:
            parent = _target(document, reference.rpartition("/")[0])[0]
            names = (
                [reference.rpartition("/")[0] + pointer(name) for name in parent] if isinstance(parent, dict) else []
            )
            problem = f"refers to {reference!r}, which does not exist"
            yield Problem(at, problem, suggest(reference, names) if names else "add it, or correct the reference")
        elif at not in loops and (loop := _loop(document, at, reference)):
            loops |= loop
            yield Problem(at, f"refers to {reference!r}, which refers back to itself", "replace one of the references")


def _target(document: Any, reference: str) -> tuple[Any, str]:
    """Return the value that a reference in the document leads to, or MISSING, and its JSON Pointer."""
    fragment = unquote(reference.removeprefix("#"))
    if not reference.startswith("#"):
        return MISSING, ""
    if fragment and not fragment.startswith("/"):
        return next(_anchored(document, fragment, ""), (MISSING, ""))
    value = document
    for token in pointer_tokens(fragment):
        key = subscript(value, token)
        if key is None:
            return MISSING, ""
        value = value[key]
    return value, fragment


def _anchored(value: Any, anchor: str, at: str) -> Iterator[tuple[Any, str]]:
    """Yield the schemas with an anchor (JSON Schema 2020-12, section 8.2.2)."""
    if isinstance(value, dict) and anchor in (value.get("$anchor"), value.get("$dynamicAnchor")):
        yield value, at
    for token, part in parts(value):
        yield from _anchored(part, anchor, at + pointer(token))


def _loop(document: Any, at: str, reference: str) -> set[str]:
    """Return the places of a loop of references through the one at a place; empty without a loop."""
    start, places = at, set[str]()
    while at not in places:
        places.add(at)
        node, target = _target(document, reference)
        if not isinstance(node, dict) or not isinstance(node.get("$ref"), str):
            return set()
        at, reference = target + "/$ref", node["$ref"]
    return places if at == start else set()
