"""What one key has done, kept so that an answer never counts anything again."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from copy import copy

from mock_server.fixtures.deployments import PROTOCOLS, Calls, Traffic

TOP_DOMAINS = 20


class Tally:
    """The running figures of one key.

    Requests never get fewer, so the top 20 is kept by comparing one domain with the last of them.
    """

    def __init__(self, traffic: Traffic) -> None:
        self.success = self.fail = self.bytes = 0
        self.by_protocol = dict.fromkeys(PROTOCOLS, 0)
        self._requests: Counter[str] = Counter()
        self._top: list[str] = []
        for domain, protocol, calls in _each(traffic):
            self._count(domain, protocol, calls)
        self._top = heapq.nsmallest(TOP_DOMAINS, filter(self._requests.get, self._requests), key=self._rank)

    @property
    def top_domains(self) -> list[tuple[str, int]]:
        """The domains with most requests, the most first and equal ones by name."""
        return [(domain, self._requests[domain]) for domain in self._top]

    def record(self, traffic: Traffic) -> None:
        """Add traffic."""
        for domain, protocol, calls in _each(traffic):
            self._count(domain, protocol, calls)
            self._place(domain)

    def copy(self) -> Tally:
        """Return the same figures, which then go their own way."""
        other = copy(self)
        other.by_protocol, other._requests, other._top = (
            self.by_protocol.copy(),
            self._requests.copy(),
            self._top.copy(),
        )
        return other

    def _count(self, domain: str, protocol: str, calls: Calls) -> None:
        self.success += calls.requests - calls.failures
        self.fail += calls.failures
        self.bytes += calls.bytes
        self.by_protocol[protocol] += calls.requests
        self._requests[domain] += calls.requests

    def _place(self, domain: str) -> None:
        if not self._requests[domain]:
            return
        if domain not in self._top:
            self._top.append(domain)
        self._top.sort(key=self._rank)
        del self._top[TOP_DOMAINS:]

    def _rank(self, domain: str) -> tuple[int, str]:
        return -self._requests[domain], domain


def _each(traffic: Traffic) -> Iterator[tuple[str, str, Calls]]:
    return ((domain, protocol, calls) for domain, each in traffic.items() for protocol, calls in each.items())
