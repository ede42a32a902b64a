"""The contract of the 55 Tech Scraping API as data: one document, three levels.

The names below are imported when they are first used: `usage-mock --help` must not wait for the YAML parser.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from usage_contract.contract import Contract, DocumentError, load
    from usage_contract.errors import SourceError
    from usage_contract.levels import LEVELS
    from usage_contract.operations import ContractError, Operation, Response
    from usage_contract.overlay import OverlayError
    from usage_contract.sources import Source, read, read_document

    __version__: str

__all__ = [
    "LEVELS",
    "Contract",
    "ContractError",
    "DocumentError",
    "Operation",
    "OverlayError",
    "Response",
    "Source",
    "SourceError",
    "__version__",
    "load",
    "read",
    "read_document",
]

_HOME = {
    **dict.fromkeys(("Contract", "DocumentError", "load"), "contract"),
    "LEVELS": "levels",
    **dict.fromkeys(("ContractError", "Operation", "Response"), "operations"),
    "OverlayError": "overlay",
    "SourceError": "errors",
    **dict.fromkeys(("Source", "read", "read_document"), "sources"),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name == "__version__":
        return import_module("importlib.metadata").version("usage-contract")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
