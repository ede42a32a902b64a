"""Recorded exchanges that follow good practice, or break it."""

from __future__ import annotations

import json
from typing import Any

from tests.support.har import GOOD, METRICS, entry

ORIGIN, OTHER, DATE = "https://app.example", "https://b.example", "Fri, 15 Jan 2027 08:00:00 GMT"


NOSNIFF = {"x-content-type-options": "nosniff"}


def with_members(**members: object) -> dict[str, Any]:
    return entry(json.dumps({**METRICS, **members}), at=1)


def error(status: int, detail: str, /, **members: object) -> dict[str, Any]:
    """Return a 401 to GET, or a 405 to POST."""
    body, method = json.dumps({"detail": detail, **members}), "POST" if status == 405 else "GET"
    return entry(body, status, key="", method=method, at=status)


def validated(total: int, at: float, **received: str) -> dict[str, Any]:
    """Return a 200 with a total and a validator."""
    body = {**METRICS, "total": total, "success": total - METRICS["fail"]}
    return entry(json.dumps(body), at=at, received=received)


def allowing(allowed: str, at: float, origin: str) -> dict[str, Any]:
    sent, received = {"Origin": origin}, {"access-control-allow-origin": allowed, "cache-control": "private, no-cache"}
    return entry(GOOD, at=at, sent=sent, received=received)


def refusing(allowed: str, origin: str = ORIGIN) -> dict[str, Any]:
    """Return a 401 to a request with an origin."""
    received = {"access-control-allow-origin": allowed} if allowed else {}
    return entry('{"detail": "no key"}', 401, key="", at=2, sent={"Origin": origin}, received=received)
