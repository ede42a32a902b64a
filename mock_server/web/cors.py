"""Cross-origin requests: what makes a browser show an answer to a page of another origin.

Source: the Fetch standard, section 3.2 (CORS protocol), and Private Network Access, section 3.2.
"""

from __future__ import annotations

from aiohttp import web

from mock_server.web.responses import REASON, Answer

_READABLE = (
    *("Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining"),
    *("Preference-Applied", REASON, "Mock-Ignored", "Mock-Reload"),
)

# What every answer says. No `*` for what may be read: a page that sends credentials would take it for a name.
CROSS_ORIGIN = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": ", ".join(_READABLE)}

# What a page may send if its browser does not name it.
_SENDABLE = "X-API-Key, Prefer"
_MAX_AGE_SECONDS = 600


def preflight(request: web.Request) -> Answer | None:
    """Return the answer to a browser that asks whether it may send a request; None for any other request.

    Whatever it asks for is allowed, so that a page gets to see the 405 or the 403 of the request itself.
    """
    method = request.headers.get("Access-Control-Request-Method")
    if request.method != "OPTIONS" or method is None or "Origin" not in request.headers:
        return None
    headers = {
        **CROSS_ORIGIN,
        "Access-Control-Allow-Methods": method,
        "Access-Control-Allow-Headers": request.headers.get("Access-Control-Request-Headers") or _SENDABLE,
        "Access-Control-Max-Age": str(_MAX_AGE_SECONDS),
        "Cache-Control": "no-store",
        "Vary": "Access-Control-Request-Method, Access-Control-Request-Headers",
    }
    if request.headers.get("Access-Control-Request-Private-Network") == "true":
        headers["Access-Control-Allow-Private-Network"] = "true"
    return Answer(204, headers, b"")
