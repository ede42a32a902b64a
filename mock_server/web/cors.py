"""Cross-origin requests: the headers with which a browser shows a response to a page of another origin.

Source: the Fetch standard, section 3.2 (CORS protocol), and Private Network Access, section 3.2.
"""

from __future__ import annotations

from aiohttp import web

from mock_server.web.responses import ALWAYS, REASON, PreparedResponse

_RESPONSE_HEADERS = (
    *("Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining"),
    *("Preference-Applied", REASON, "Mock-Ignored", "Mock-Reload"),
)

# Headers of every response. A page with credentials would read `*` as the name of a header, so the list is complete.
CROSS_ORIGIN = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": ", ".join(_RESPONSE_HEADERS)}

# The headers that a page may send if its browser does not name them.
_REQUEST_HEADERS = "X-API-Key, Prefer"
_MAX_AGE_SECONDS = 600


def preflight(request: web.Request) -> PreparedResponse | None:
    """Return the response to a CORS preflight request; None for any other request.

    Every method and header is allowed, so that a page receives the 405 or the 403 of the request itself.
    """
    method = request.headers.get("Access-Control-Request-Method")
    if request.method != "OPTIONS" or method is None or "Origin" not in request.headers:
        return None
    headers = {
        **CROSS_ORIGIN,
        "Access-Control-Allow-Methods": method,
        "Access-Control-Allow-Headers": request.headers.get("Access-Control-Request-Headers") or _REQUEST_HEADERS,
        "Access-Control-Max-Age": str(_MAX_AGE_SECONDS),
        **ALWAYS,
        "Vary": "Access-Control-Request-Method, Access-Control-Request-Headers",
    }
    if request.headers.get("Access-Control-Request-Private-Network") == "true":
        headers["Access-Control-Allow-Private-Network"] = "true"
    return PreparedResponse(204, headers, b"")
