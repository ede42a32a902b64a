"""Who may use the control API: whoever is on this machine, or has the token; and no page of another site."""

from __future__ import annotations

import hmac
import re
from ipaddress import ip_address

from aiohttp import web

from mock_server.control.refusals import Refused

SAFE = ("GET", "HEAD", "OPTIONS")

_HOST = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::\d{0,5})?")


def check(request: web.Request, token: str | None, *, is_public: bool) -> None:
    """Let a request through, or raise Refused.

    Without a token, socket and Host must both be this machine's: a page whose name was made to lead here
    still sends its own name. With one, all but what is public needs it.
    """
    if not token:  # an empty one would be everybody's
        _check_place(request)
    elif not is_public:
        _check_token(request, token)
    if request.method not in SAFE:
        _check_origin(request)


def _check_place(request: web.Request) -> None:
    if not is_loopback(_socket_address(request)):
        detail = "The control API answers on a loopback address only; start the mock with --control-token for others."
        raise Refused(403, "not-loopback", detail)
    hosts = request.headers.getall("Host", ())
    found = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if not found or not is_loopback(found[1] or found[2] or ""):
        detail = "The Host header must name this machine, as localhost and 127.0.0.1 do; another needs --control-token."
        raise Refused(403, "foreign-host", detail)


def _check_token(request: web.Request, token: str) -> None:
    scheme, _, given = ", ".join(request.headers.getall("Authorization", ())).partition(" ")
    same = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), token.encode())
    if scheme.lower() != "bearer" or not same:
        detail = "The control API wants the mock's --control-token as `Authorization: Bearer TOKEN`."
        raise Refused(401, "no-control-token", detail, {"WWW-Authenticate": 'Bearer realm="control"'})


def _check_origin(request: web.Request) -> None:
    origin = request.headers.get("Origin")
    is_foreign = origin is not None and origin.partition("://")[2].lower() != request.headers.get("Host", "").lower()
    if is_foreign or request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        raise Refused(403, "foreign-origin", "A page of another origin must not change the mock.")


def _socket_address(request: web.Request) -> str:
    name = request.transport and request.transport.get_extra_info("sockname")
    return str(name[0]) if isinstance(name, tuple) else "localhost" if name else ""


def is_loopback(name: str) -> bool:
    """Whether a host name or an address is this machine's own."""
    if name.lower() == "localhost":
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
