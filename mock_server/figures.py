"""From the facts of a fixture to the figures of a UsageResponse, by the document's member names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from mock_server.fixtures import PROTOCOLS, Calls, Key
from usage_contract import ContractError

# JSON text never holds a raw NUL, so this marks the place of `rate_limit.remaining` without doubt.
REMAINING = b"\0"

TOP_DOMAINS = 20


def usage_figures(api_key: str, key: Key) -> dict[str, Any]:
    """Derive every figure of one key; `rate_limit.remaining` is the mark REMAINING.

    Source: the descriptions in the document's UsageResponse.
    """
    calls = [(protocol, calls) for domain in key.traffic.values() for protocol, calls in domain.items()]
    total = sum(each.requests for _, each in calls)
    fail = sum(each.failures for _, each in calls)
    return {
        "api_key": api_key,
        "total": total,
        "success": total - fail,
        "fail": fail,
        "success_rate": round(100 * (total - fail) / total, 2) if total else 0.0,
        "bytes_transferred": sum(each.bytes for _, each in calls),
        "rate_limit": {
            "rps": key.rate_limit.rps,
            "burst": key.rate_limit.burst,
            "remaining": orjson.Fragment(REMAINING),
        },
        "by_protocol": _by_protocol(calls),
        "top_domains": _top_domains(key.traffic),
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


def _by_protocol(calls: list[tuple[str, Calls]]) -> dict[str, int]:
    counts = dict.fromkeys(PROTOCOLS, 0)
    for protocol, each in calls:
        counts[protocol] += each.requests
    return counts


def _top_domains(traffic: Mapping[str, Mapping[str, Calls]]) -> list[dict[str, Any]]:
    counts = {domain: sum(each.requests for each in calls.values()) for domain, calls in traffic.items()}
    rows = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
    return [{"domain": domain, "requests": requests} for domain, requests in rows[:TOP_DOMAINS] if requests]
