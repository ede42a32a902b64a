"""The grammar of some header fields (RFC 9110, section 5.6, and RFC 9111, section 5.2)."""

from __future__ import annotations

import re

from contract_tests.wire.messages import Exchange

TOKEN, QUOTED = r"[\w!#$%&'*+.^`|~-]+", r'"(?:[^"\\]|\\.)*+"'
PARAMETER = rf"{TOKEN}=(?:{TOKEN}|{QUOTED})"
DIRECTIVE = rf"(?:max-age|s-maxage)=(?:\d+|{QUOTED})|(?!max-age|s-maxage)(?:{PARAMETER}|{TOKEN})"
LANGUAGE = r"[a-z]{1,8}(?:-[a-z\d]{1,8})*+"


def _list(item: str) -> str:
    """Return the expression of a list, whose items may be empty."""
    return rf"[ \t,]*+(?:(?:{item})[ \t]*+(?:,[ \t,]*+|$))*+"


GRAMMAR = {
    name: re.compile(grammar, re.ASCII | re.IGNORECASE)
    for name, grammar in {
        "Content-Type": rf"(?:{TOKEN}/{TOKEN}(?:[ \t]*+;(?:[ \t]*+{PARAMETER})?+)*+)?",  # a parameter may be empty
        "Cache-Control": _list(DIRECTIVE),
        "Vary": _list(TOKEN),
        "Content-Language": _list(LANGUAGE),
    }.items()
}


def malformed(exchange: Exchange) -> list[tuple[str, str]]:
    """Return the names and values of a response's fields that do not match their grammar."""
    values = ((name, value) for name in GRAMMAR for value in exchange.values(name))
    return [(name, value) for name, value in values if not GRAMMAR[name].fullmatch(value.strip(" \t"))]
