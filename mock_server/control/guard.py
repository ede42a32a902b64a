"""Access to the control API: from this machine or with the token, and never from a page of another origin."""

from __future__ import annotations

import hmac
import re
from ipaddress import ip_address

from aiohttp import web

from mock_server.control.context import ControlError

SAFE = ("GET", "HEAD", "OPTIONS")

_HOST = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::\d{0,5})?")


def check(request: web.Request, token: str | None, *, is_public: bool) -> None:
    """Check the access of a request.

    Without a token, the socket and the Host header must both be those of this machine.
    A page that reaches the mock by DNS rebinding sends another Host header.
    With a token, every operation that is not public requires it.

    Raises:
        ControlError: The request is not allowed.
    """
    if token is None:
        _check_machine(request)
    elif not is_public:
        _check_token(request, token)
    if request.method not in SAFE:
        origin, host = request.headers.get("Origin"), request.headers.get("Host", "")
        is_foreign = origin is not None and origin.partition("://")[2].lower() != host.lower()
        if is_foreign or request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            raise ControlError(403, "foreign-origin", "A page of another origin must not change the mock.")


def _check_machine(request: web.Request) -> None:
    name = request.transport and request.transport.get_extra_info("sockname")
    if not is_loopback(str(name[0]) if isinstance(name, tuple) else "localhost" if name else ""):
        detail = "The control API responds on a loopback address only; --control-token admits other machines."
        raise ControlError(403, "not-loopback", detail)
    hosts = request.headers.getall("Host", ())
    found = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if not found or not is_loopback(found[1] or found[2] or ""):
        detail = "The Host header must name this machine, such as localhost; other names need --control-token."
        raise ControlError(403, "foreign-host", detail)


def _check_token(request: web.Request, token: str) -> None:
    scheme, _, given = ", ".join(request.headers.getall("Authorization", ())).partition(" ")
    same = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), token.encode())
    if scheme.lower() != "bearer" or not same:
        detail = "The control API requires the mock's --control-token as `Authorization: Bearer TOKEN`."
        raise ControlError(401, "no-control-token", detail, headers={"WWW-Authenticate": 'Bearer realm="control"'})


def is_loopback(name: str) -> bool:
    """Return whether a host name or an address is a loopback one."""
    if name.lower() == "localhost":
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
