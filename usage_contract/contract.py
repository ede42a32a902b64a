"""The effective document of a level."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from usage_contract.errors import SourceError, listed
from usage_contract.files import own_folder
from usage_contract.levels import LEVELS, Level
from usage_contract.operations import ContractError, Operation, Problem, Reader, schema_problems
from usage_contract.origins import Origins
from usage_contract.overlay import apply
from usage_contract.sources import Source, read_document
from usage_contract.suggestions import suggest


class DocumentError(ContractError):
    """A document that cannot be used; `errors` are all its problems, each with its place where that is known."""

    def __init__(self, errors: Iterable[SourceError | Problem]) -> None:
        self.errors = list(errors)
        super().__init__(*self.errors)

    def __str__(self) -> str:
        return listed(self.errors)


@dataclass(frozen=True)
class Contract:
    """The effective OpenAPI document of one level; `origins` knows the file and line of each of its values."""

    level: Level
    document: dict[str, Any]
    origins: Origins | None = field(default=None, compare=False, repr=False)

    @cached_property
    def operations(self) -> Mapping[str, Operation]:
        """Every operation by its operationId, in the document's order.

        Raises DocumentError for a document that cannot be used.
        """
        reader = Reader(self.document)
        operations = reader.operations()
        if problems := reader.problems or list(schema_problems(self.document)):
            raise DocumentError(map(self.located, problems))
        return operations

    def operation(self, name: str) -> Operation:
        """Return the operation with an operationId; ContractError without it."""
        if name not in self.operations:
            raise ContractError(f"the document has no operation {name}; {suggest(name, self.operations)}")
        return self.operations[name]

    def located(self, problem: Problem) -> SourceError | Problem:
        """Return a problem with the file and the line of its place, where they are known."""
        if self.origins is None:
            return problem
        source, at = self.origins.find(problem.pointer)
        return SourceError(source.path, source.line(at), problem.pointer, problem.problem, problem.advice)


def shipped_documents() -> Path:
    """Return the folder of the documents: inside an installed package, or beside it in a checkout."""
    return own_folder(Path(__file__).with_name("openapi"), "openapi")


def load(level: Level = "documented", documents: Path | str | None = None) -> Contract:
    """Load the effective document of a level.

    Args:
        level: The level.
        documents: A folder (default: the shipped one), or an OpenAPI file to which the shipped overlays apply.

    Raises:
        ValueError: The level does not exist.
        SourceError: A file cannot be read.
        OverlayError: An overlay is not valid.
        DocumentError: The document cannot be used, or actions of an overlay do not apply.
    """
    if level not in LEVELS:
        raise ValueError(f"level: {level!r} is not a level; {suggest(str(level), LEVELS)}")
    documents = shipped_documents() if documents is None else Path(documents)
    is_file = documents.is_file()
    source = read_document(documents if is_file else documents / "openapi.yaml")
    try:
        return _effective(level, source, shipped_documents() if is_file else documents)
    except RecursionError:
        raise source.error("", "is nested too deeply", "use references instead of nested schemas") from None


def _effective(level: Level, source: Source, overlays: Path) -> Contract:
    document, origins = source.data, Origins(source.data, source)
    contract = Contract("specified", document, origins)
    _ = contract.operations  # before an overlay reports that its target is missing
    for name in LEVELS[1 : LEVELS.index(level) + 1]:
        if errors := apply(document, read_document(overlays / f"{name}.overlay.yaml"), origins):
            raise DocumentError(errors)
        contract = Contract(level, document, origins)
    _ = contract.operations
    return contract
