"""What was promised about the 55 Tech Scraping API, as data: one document, three levels."""

from usage_contract.contract import LEVELS, Contract, ContractError, Operation, Response, load
from usage_contract.overlay import OverlayError
from usage_contract.sources import Source, SourceError, read

__all__ = [
    "LEVELS",
    "Contract",
    "ContractError",
    "Operation",
    "OverlayError",
    "Response",
    "Source",
    "SourceError",
    "load",
    "read",
]
