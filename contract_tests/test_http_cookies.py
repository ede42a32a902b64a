"""Cookies: each is well-formed, and protected."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from contract_tests.support.findings import Finding, Findings
from contract_tests.support.gate import Gate
from contract_tests.support.rules import advisory
from contract_tests.wire.messages import Exchange, Exchanges, with_field

SAME_SITE = {"strict", "lax", "none"}
# RFC 6265, section 4.1.1: printable ASCII without space, comma, semicolon, backslash and inner quotation marks.
COOKIE_VALUE = re.compile(r'[!#-+\--:<-\[\]-~]*|"[!#-+\--:<-\[\]-~]*"')
COOKIE_DATE = re.compile(r"[A-Z][a-z]{2}, \d\d[ -][A-Z][a-z]{2}[ -](?:\d\d)?\d\d \d\d:\d\d:\d\d GMT")
SESSIONS = {"jsessionid", "phpsessid", "connect.sid", "laravel_session", "sessionid", "asp.net_sessionid"}


@advisory(
    "RFC 6265, section 4.1.2: HttpOnly and Secure keep a cookie from scripts and from plain HTTP; "
    "OWASP Session Management Cheat Sheet: SameSite keeps it from requests of other sites"
)
def test_cookies_are_protected(gate: Gate, journal: Exchanges) -> Findings:
    """A cookie that a response sets SHOULD have `HttpOnly` and `SameSite`, and over HTTPS also `Secure`.

    `Secure` is also needed beside `SameSite=None`. A response deletes a cookie by no value or no `Max-Age`.
    `SameSite` has a known value. `Domain` is the host of the deployment, or a domain that contains it. A cookie whose
    name begins with `__Host-` has no `Domain`.
    """
    host = gate.settings.target.host.lower()
    usual = {"httponly", "samesite", *(["secure"] if gate.settings.target.scheme == "https" else [])}
    cookies = ((each, *cookie) for each in with_field(journal, "Set-Cookie") for cookie in _cookies(each))
    for exchange, name, value, attributes in cookies:
        is_deleted = not value.strip('"') or attributes.get("max-age", "").startswith(("0", "-"))
        domain, same_site = attributes.get("domain", "").removeprefix("."), attributes.get("samesite")
        if domain and name.lower().startswith("__host-"):
            yield Finding("a cookie for one host has a Domain", exchange, actual=f"{name}, Domain={domain}")
        elif domain and not is_deleted and not f".{host}".endswith(f".{domain}"):
            yield Finding("a cookie is for another host", exchange, expected=host, actual=domain)
        stated = attributes.keys() - (set() if same_site in SAME_SITE else {"samesite"})
        missing = (usual | {"secure"} if same_site == "none" else usual) - stated
        if missing and not is_deleted:
            yield Finding(f"a cookie lacks {' and '.join(sorted(missing))}", exchange, actual=name)


@advisory(
    "RFC 6265, section 4.1.1: the grammar of a cookie, and one field for each name; OWASP API4: a server keeps sessions"
)
def test_cookies_are_well_formed(journal: Exchanges) -> Findings:
    """A response SHOULD set each cookie once, with a name, and a value without commas, spaces and quotation marks.

    The value may be in quotation marks. `Expires` is an HTTP date, in which hyphens and two digits of the year are
    accepted, and `Max-Age` is a number. Two responses to requests without cookies do not start two sessions, by a name
    such as PHPSESSID.
    """
    setting = with_field(journal, "Set-Cookie")
    for exchange in setting:
        cookies = list(_cookies(exchange))
        names = Counter(name for name, _, _ in cookies)
        for name, value, attributes in cookies:
            if not name:
                yield Finding("a cookie has no name", exchange)
            if not COOKIE_VALUE.fullmatch(value):
                yield Finding("the value of a cookie is malformed", exchange, actual=name)
            if not re.fullmatch(r"-?\d+", attributes.get("max-age", "0")):
                problem = "Max-Age of a cookie is not a number of seconds"
                yield Finding(problem, exchange, actual=attributes["max-age"])
            if names[name] > 1:
                yield Finding("a cookie is set twice", exchange, actual=name)
                break
        for date in re.findall(r"(?i); *expires=([^;\n]*)", "\n".join(exchange.values("Set-Cookie"))):
            if not COOKIE_DATE.fullmatch(date.strip()):
                yield Finding("a cookie does not expire at a date", exchange, actual=date)
    yield from _started_sessions(setting)


def _started_sessions(setting: Exchanges) -> Findings:
    """Yield a finding if two responses to requests without cookies set the cookie of a session to two values."""
    first_with: dict[str, tuple[str, Exchange]] = {}
    without_cookies = (each for each in setting if not each.request.values("Cookie"))
    for exchange, name, value in ((each, *cookie[:2]) for each in without_cookies for cookie in _cookies(each)):
        if name.lower() in SESSIONS and value:
            first, other = first_with.setdefault(name.lower(), (value, exchange))
            if first != value:
                yield Finding("each request starts a session", exchange, related=(other,), actual=name)
                return


def _cookies(exchange: Exchange) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield the cookies that a response sets: name, value, and attributes, the latter in lower case."""
    for line in exchange.values("Set-Cookie"):
        (name, value), *attributes = (part.strip().partition("=")[::2] for part in line.split(";"))
        yield name, value, {key.lower(): text.strip('" ').lower() for key, text in attributes}
