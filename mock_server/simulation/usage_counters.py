"""Usage counters of one account, kept so that a response never counts anything again."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from copy import copy

from mock_server.fixtures.deployments import PROTOCOLS, Calls, Traffic

TOP_DOMAINS = 20


class UsageCounters:
    """The running totals of one account.

    The number of requests of a domain never decreases.
    The top 20 are therefore kept by comparing one domain with the last of them.
    """

    def __init__(self, traffic: Traffic) -> None:
        self.success = self.fail = self.bytes = 0
        self.by_protocol = dict.fromkeys(PROTOCOLS, 0)
        self._requests: Counter[str] = Counter()
        self._top: list[str] = []
        for domain, protocol, calls in _flatten(traffic):
            self._add(domain, protocol, calls)
        self._top = heapq.nsmallest(TOP_DOMAINS, filter(self._requests.get, self._requests), key=self._rank)

    @property
    def total(self) -> int:
        """The number of requests."""
        return self.success + self.fail

    @property
    def top_domains(self) -> list[tuple[str, int]]:
        """The domains with most requests, in descending order and then by name."""
        return [(domain, self._requests[domain]) for domain in self._top]

    def record(self, traffic: Traffic) -> None:
        """Add traffic."""
        for domain, protocol, calls in _flatten(traffic):
            self._add(domain, protocol, calls)
            if self._requests[domain]:
                if domain not in self._top:
                    self._top.append(domain)
                self._top.sort(key=self._rank)
                del self._top[TOP_DOMAINS:]

    def copy(self) -> UsageCounters:
        """Return an independent copy."""
        other = copy(self)
        other.by_protocol = self.by_protocol.copy()
        other._requests = self._requests.copy()
        other._top = self._top.copy()
        return other

    def _add(self, domain: str, protocol: str, calls: Calls) -> None:
        self.success += calls.requests - calls.failures
        self.fail += calls.failures
        self.bytes += calls.bytes
        self.by_protocol[protocol] += calls.requests
        self._requests[domain] += calls.requests

    def _rank(self, domain: str) -> tuple[int, str]:
        return -self._requests[domain], domain


def _flatten(traffic: Traffic) -> Iterator[tuple[str, str, Calls]]:
    return ((domain, protocol, calls) for domain, calls_of in traffic.items() for protocol, calls in calls_of.items())
