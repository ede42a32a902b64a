"""The effective document of a level, and the operations it describes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from usage_contract.overlay import apply
from usage_contract.sources import own_folder, pointer_tokens, read

Level = Literal["specified", "documented", "advisory"]
LEVELS: tuple[Level, ...] = get_args(Level)
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


class ContractError(Exception):
    """The document asks for something that this project does not understand."""


@dataclass(frozen=True)
class Response:
    """One documented response: its headers and the JSON Schema of its body by media type."""

    description: str
    headers: Mapping[str, Mapping[str, Any]]
    content: Mapping[str, Mapping[str, Any]]

    @property
    def media_type(self) -> str | None:
        """The first documented media type, or None where no body is documented."""
        return next(iter(self.content), None)

    @property
    def schema(self) -> Mapping[str, Any] | None:
        """The JSON Schema of the first documented media type; its references resolve in itself."""
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


@dataclass(frozen=True)
class Contract:
    """The effective OpenAPI document of one level."""

    level: Level
    document: dict[str, Any]

    @cached_property
    def operations(self) -> Mapping[str, Operation]:
        """Every operation by its operationId, in the document's order."""
        return {operation.id: operation for operation in self._operations()}

    def _operations(self) -> Iterator[Operation]:
        for path, item in self.document["paths"].items():
            for method in METHODS:
                if method in item:
                    yield self._operation(path, method, item[method])

    def _operation(self, path: str, method: str, described: Mapping[str, Any]) -> Operation:
        security = described.get("security", self.document.get("security", []))
        responses = {
            status: self._response(self._resolve(response)) for status, response in described["responses"].items()
        }
        name = described.get("operationId", f"{method} {path}")
        return Operation(name, method.upper(), path, self._key_header(name, security), responses)

    def _response(self, described: Mapping[str, Any]) -> Response:
        content = {
            media_type: {**self._resolve(body["schema"]), "components": self.document.get("components", {})}
            for media_type, body in described.get("content", {}).items()
        }
        headers = {name: self._resolve(header) for name, header in described.get("headers", {}).items()}
        return Response(described["description"], headers, content)

    def _key_header(self, operation: str, security: list[Mapping[str, Any]]) -> str | None:
        if not security:
            return None
        schemes = [self.document["components"]["securitySchemes"][name] for name in security[0]]
        if len(schemes) != 1 or schemes[0]["type"] != "apiKey" or schemes[0]["in"] != "header":
            raise ContractError(f"{operation}: only one API key in a header is understood, not {security}")
        return str(schemes[0]["name"])

    def _resolve(self, node: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in node:
            target: Any = self.document
            for token in pointer_tokens(node["$ref"].removeprefix("#")):
                target = target[token]
            node = target
        return node


def folder() -> Path:
    """Return the folder of the documents: inside an installed package, or beside it in a checkout."""
    return own_folder(Path(__file__).with_name("openapi"), "openapi")


def load(level: Level = "documented", documents: Path | None = None) -> Contract:
    """Load the effective document of a level from a folder (default: the shipped one).

    Raises SourceError for an unreadable file and OverlayError for an action that does not apply.
    """
    documents = documents or folder()
    document = read(documents / "openapi.yaml").data
    for name in LEVELS[1 : LEVELS.index(level) + 1]:
        document = apply(document, read(documents / f"{name}.overlay.yaml"))
    return Contract(level, document)
