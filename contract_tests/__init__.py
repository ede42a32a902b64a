"""The contract gate: rules of `GET /usage`, run by pytest, and `judge` for exchanges that other programs sent."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contract_tests.run.offline import judge
    from contract_tests.traffic.clients import from_httpx, from_requests
    from contract_tests.traffic.har import read_har
    from contract_tests.traffic.journal import from_journal
    from contract_tests.traffic.recording import Recorded, TrafficError

__all__ = ["Recorded", "TrafficError", "from_httpx", "from_journal", "from_requests", "judge", "read_har"]
MODULES = {
    "Recorded": "traffic.recording",
    "TrafficError": "traffic.recording",
    "from_httpx": "traffic.clients",
    "from_journal": "traffic.journal",
    "from_requests": "traffic.clients",
    "judge": "run.offline",
    "read_har": "traffic.har",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is used: pytest imports this package in every project that has the gate."""
    if name not in MODULES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{MODULES[name]}"), name)
