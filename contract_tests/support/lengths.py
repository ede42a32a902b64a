"""Content-Length of a response without a body, compared with the sizes of bodies."""

from __future__ import annotations

import re
from collections.abc import Callable

from contract_tests.support.findings import Finding, Findings
from contract_tests.wire.messages import Exchange, Exchanges

LENGTH = re.compile(r"[0-9]{1,18}")
Widen = Callable[[int, int], tuple[int, int]]  # the shortest and the longest body in bytes, with a tolerance


def twice_or_half(shortest: int, longest: int) -> tuple[int, int]:
    """Return a tolerance for usage metrics, which change from one response to the next."""
    return shortest // 2, 2 * longest


def states_a_length(exchange: Exchange, responses: Exchanges) -> bool:
    """Whether a response has a Content-Length that can be compared with bodies; no content coding may change these."""
    is_coded = any(each.header("Content-Encoding") for each in (exchange, *responses))
    has_200 = any(each.status == 200 for each in responses)
    return has_200 and not is_coded and LENGTH.fullmatch(exchange.header("Content-Length")) is not None


def other_length(exchange: Exchange, responses: Exchanges, widen: Widen) -> Findings:
    """Yield a finding for a Content-Length that no 200 response could have (RFC 9110, section 8.6)."""
    lengths = [each.size for each in responses if each.status == 200]
    stated = exchange.header("Content-Length")
    shortest, longest = widen(min(lengths), max(lengths))
    if not shortest <= int(stated) <= longest:
        expected = f"{min(lengths)} to {max(lengths)} bytes, as for GET"
        yield Finding("Content-Length is not that of GET", exchange, expected=expected, actual=stated)
