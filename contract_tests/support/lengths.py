"""Content-Length of a response without a body, compared with the sizes of bodies."""

from __future__ import annotations

import re

from contract_tests.support.findings import Findings, field_finding
from contract_tests.wire.messages import Exchange, Exchanges

LENGTH = re.compile(r"[0-9]{1,18}")


def states_a_length(exchange: Exchange, responses: Exchanges) -> bool:
    """Whether a response has a Content-Length that can be compared with bodies; no content coding may change these."""
    is_coded = any(each.header("Content-Encoding") for each in (exchange, *responses))
    lengths = _lengths(exchange, responses)
    return bool(lengths) and not is_coded and LENGTH.fullmatch(exchange.header("Content-Length")) is not None


def other_length(exchange: Exchange, responses: Exchanges, *, times: int = 1, margin: int = 0) -> Findings:
    """Yield a finding for a Content-Length that no response with the same status could have (RFC 9110, section 8.6).

    Usage metrics change, so it may be `times` the longest length, or that part of the shortest one, and `margin` bytes
    beyond these.
    """
    lengths = _lengths(exchange, responses)
    shortest, longest = min(lengths), max(lengths)
    if not shortest // times - margin <= int(exchange.header("Content-Length")) <= longest * times + margin:
        expected = f"{shortest} to {longest} bytes, as for GET"
        yield field_finding(exchange, "Content-Length", "Content-Length is not that of GET", expected)


def _lengths(exchange: Exchange, responses: Exchanges) -> list[int]:
    """Return the lengths of the bodies that the response stands for; 304 stands for 200."""
    status = 200 if exchange.status == 304 else exchange.status
    return [each.size for each in responses if each.status == status]
