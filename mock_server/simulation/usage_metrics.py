"""Usage metrics: the members of a UsageResponse, derived from the counters of an account."""

from __future__ import annotations

from typing import Any

from mock_server.fixtures.deployments import RateLimit
from mock_server.simulation.usage_counters import UsageCounters


def usage_metrics(api_key: str, limit: RateLimit, counters: UsageCounters, *, remaining: Any) -> dict[str, Any]:
    """Return all usage metrics of one key, by the document's member names.

    Source: the descriptions in the document's UsageResponse.

    Args:
        api_key: The key as the client sends it.
        limit: The rate limit of the key.
        counters: The counters of its account.
        remaining: The value of `rate_limit.remaining`.
    """
    return {
        "api_key": api_key,
        "total": counters.total,
        "success": counters.success,
        "fail": counters.fail,
        "success_rate": round(100 * counters.success / counters.total, 2) if counters.total else 0.0,
        "bytes_transferred": counters.bytes,
        "rate_limit": {"rps": limit.rps, "burst": limit.burst, "remaining": remaining},
        "by_protocol": counters.by_protocol,
        "top_domains": [{"domain": domain, "requests": requests} for domain, requests in counters.top_domains],
    }
