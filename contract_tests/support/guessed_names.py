"""Names under which a server may look for a key, or for a reason to need none: usual ones, then composed ones."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib.resources import files
from itertools import product

_NAMES: dict[str, list[str]] = tomllib.loads(
    files("contract_tests.support").joinpath("guessed_names.toml").read_text(encoding="utf-8")
)
QUERY_NAMES, HEADER_NAMES, COOKIE_NAMES = _NAMES["query"], _NAMES["headers"], _NAMES["cookies"]
ADDRESSES, USERS, SWITCHES = _NAMES["addresses"], _NAMES["users"], _NAMES["switches"]
PARAMETERS, OTHER_PARAMETERS = _NAMES["parameters"], _NAMES["other_parameters"]
AGENTS = _NAMES["agents"]


def queries() -> list[str]:
    """Return names of query parameters, the most usual first."""
    composed = (
        name
        for owner, secret in _words()
        for name in (f"{owner}_{secret}", f"{owner}{secret.title()}", f"{owner}-{secret}", f"{owner}{secret}")
    )
    return list(dict.fromkeys((*QUERY_NAMES, *composed)))


def headers(key_header: str) -> list[str]:
    """Return names of header fields other than the key header, the most usual first.

    CGI and WSGI do not distinguish `X_API_Key` from `X-API-Key` (RFC 3875, section 4.1.18): an application behind them
    accepts a key under both names.
    """
    composed = (f"{prefix}{owner}-{secret}".title() for owner, secret in _words() for prefix in ("X-", ""))
    spellings: dict[str, str] = {}
    for name in (*HEADER_NAMES, *composed):
        spellings.setdefault(name.lower(), name)
    own = key_header.lower().replace("_", "-")
    return [name for lower, name in spellings.items() if lower.replace("_", "-") != own]


def cookies() -> list[str]:
    """Return names of cookies, the most usual first."""
    return list(dict.fromkeys((*COOKIE_NAMES, *queries())))


def _words() -> Iterator[tuple[str, str]]:
    return ((owner, secret) for secret, owner in product(_NAMES["secrets"], _NAMES["owners"]))
