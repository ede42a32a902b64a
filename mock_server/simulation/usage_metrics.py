"""From the facts of a fixture to the figures of a UsageResponse, by the document's member names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from mock_server.fixtures.deployments import RateLimit
from mock_server.simulation.usage_counters import Tally
from usage_contract import ContractError

# JSON text never holds a raw NUL, so this marks the place of `rate_limit.remaining` without doubt.
REMAINING = b"\0"


def usage_figures(api_key: str, limit: RateLimit, tally: Tally) -> dict[str, Any]:
    """Derive every figure of one key; `rate_limit.remaining` is the mark REMAINING.

    Source: the descriptions in the document's UsageResponse.
    """
    total = tally.success + tally.fail
    return {
        "api_key": api_key,
        "total": total,
        "success": tally.success,
        "fail": tally.fail,
        "success_rate": round(100 * tally.success / total, 2) if total else 0.0,
        "bytes_transferred": tally.bytes,
        "rate_limit": {"rps": limit.rps, "burst": limit.burst, "remaining": orjson.Fragment(REMAINING)},
        "by_protocol": tally.by_protocol,
        "top_domains": [{"domain": domain, "requests": requests} for domain, requests in tally.top_domains],
    }


def documented(schema: Mapping[str, Any] | None, figures: Any, where: str) -> Any:
    """Return the figures that a JSON Schema names, in its order; where it names none, all of them.

    Raises ContractError for a member that no figure has the name of: the mock would have to invent it.
    """
    if schema is None:
        return figures
    if "items" in schema:
        return [documented(schema["items"], figure, f"{where}[]") for figure in figures]
    if "properties" not in schema:
        return figures
    return {
        name: documented(member, _figure(figures, name, where), f"{where}.{name}")
        for name, member in schema["properties"].items()
    }


def _figure(figures: Mapping[str, Any], name: str, where: str) -> Any:
    if name not in figures:
        known = ", ".join(figures)
        raise ContractError(f"the document names {where}.{name}, which the mock cannot derive; it derives {known}")
    return figures[name]
