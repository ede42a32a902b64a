"""Accounts: everything that the running mock keeps for one key."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from copy import deepcopy
from fractions import Fraction
from typing import Any

from mock_server.fixtures.deployments import MAX_SAFE_INTEGER, PROTOCOLS, Calls, Key, RateLimit, Traffic
from mock_server.simulation.state import AccountRef, AccountSnapshot, BucketSpec

TOP_DOMAINS = 20

# The rounding of products with a float must not exceed a limit that is computed with floats.
SAFETY_FACTOR = 1 - 1e-9


class UsageCounters:
    """The running totals of one account.

    The number of requests of a domain never decreases.
    New traffic therefore moves only its own domains into the top 20.
    """

    def __init__(self, traffic: Traffic) -> None:
        self.success = self.fail = self.bytes = 0
        self.by_protocol = dict.fromkeys(PROTOCOLS, 0)
        self._requests: Counter[str] = Counter()
        #: The domains with most requests, in descending order and then by name, with their requests.
        self.top_domains: list[tuple[str, int]] = []
        self.record(traffic)

    @property
    def total(self) -> int:
        """The number of requests."""
        return self.success + self.fail

    def record(self, traffic: Traffic) -> None:
        """Add traffic."""
        for domain, calls_of in traffic.items():
            for protocol, calls in calls_of.items():
                self.success += calls.requests - calls.failures
                self.fail += calls.failures
                self.bytes += calls.bytes
                self.by_protocol[protocol] += calls.requests
                self._requests[domain] += calls.requests
        candidates = {domain for domain, _ in self.top_domains} | traffic.keys()
        requested = ((domain, self._requests[domain]) for domain in filter(self._requests.get, candidates))
        self.top_domains = heapq.nsmallest(TOP_DOMAINS, requested, key=lambda item: (-item[1], item[0]))


class Account:
    """The usage of one key from a moment on.

    The state identifies an account by its name and the mark of its facts.
    Other facts make another account, which keeps the bucket of the same limit.

    Args:
        name: The name of the account in the state.
        api_key: The key of the account.
        key: The facts of the key in the fixture files.
        now: The mock's time at which the account begins, in seconds.
        mark: A digest of the facts, empty where the state is not shared.
    """

    def __init__(self, name: str, api_key: str, key: Key, *, now: float, mark: str = "") -> None:
        self.name, self.api_key = name, api_key
        self.limit: RateLimit = key.rate_limit
        rps, burst = self.limit.rps, self.limit.burst
        self.bucket = BucketSpec(f"{name}\0{rps} {burst}", rps, burst, key.tokens, api_key)
        self.ref = AccountRef(f"{name}\0{mark}", api_key)
        self._since, self._traffic = now, key.traffic
        self._growth = [
            # Exactly: a rounded share could make more failures than requests.
            (domain, protocol, rate, Fraction(rate.failures) / Fraction(rate.requests) if rate.requests else Fraction())
            for domain, rates in key.growth.items()
            for protocol, rate in rates.items()
        ]
        rates = [rate for _, _, rate, _ in self._growth]
        self._rates = sum(rate.requests for rate in rates), sum(rate.bytes for rate in rates)
        #: Whether the usage metrics change with time alone.
        self.grows = bool(self._growth)
        #: Values that are derived from the usage metrics, by their owner; a change of the usage metrics clears them.
        self.derived: dict[object, Any] = {}
        self._recorded = self.counters = UsageCounters(key.traffic)
        self._grown: dict[tuple[str, str], Calls] = {}
        self._age = self._longest_age = 0.0  # seconds
        self._restart_growth(self._recorded)

    def record(self, traffic: Traffic) -> None:
        """Add traffic to the counters."""
        self._recorded.record(traffic)
        if self.counters is not self._recorded:
            self.counters.record(traffic)
        self._limit_growth()
        self.derived.clear()

    def apply_snapshot(self, snapshot: AccountSnapshot) -> None:
        """Replace the counters by what all processes have recorded."""
        self.ref, self._since = self.ref._replace(version=snapshot.version), snapshot.since
        self._restart_growth(UsageCounters(self._traffic))
        self.record(snapshot.traffic)

    def usage_metrics(self, remaining: Any) -> dict[str, Any]:
        """Return all usage metrics, by the document's member names, with a value for `rate_limit.remaining`.

        Source: the descriptions in the document's UsageResponse.
        """
        counters = self.counters
        return {
            "api_key": self.api_key,
            "total": counters.total,
            "success": counters.success,
            "fail": counters.fail,
            "success_rate": round(100 * counters.success / counters.total, 2) if counters.total else 0.0,
            "bytes_transferred": counters.bytes,
            "rate_limit": {"rps": self.limit.rps, "burst": self.limit.burst, "remaining": remaining},
            "by_protocol": counters.by_protocol,
            "top_domains": [{"domain": domain, "requests": requests} for domain, requests in counters.top_domains],
        }

    def grow(self, now: float) -> None:
        """Add the traffic that the fixture's growth has produced until `now`, while the usage metrics stay exact."""
        age = min(max(0.0, now - self._since), self._longest_age)
        if age < self._age:  # the clock was set back
            self._restart_growth(self._recorded)
        self._age = age
        for domain, protocol, rate, failure_share in self._growth:
            before = self._grown.get((domain, protocol), Calls(0))
            requests = math.floor(rate.requests * age)
            after = Calls(requests, math.floor(requests * failure_share), math.floor(rate.bytes * age))
            if after != before:
                self._grown[domain, protocol] = after
                added = (after.requests - before.requests, after.failures - before.failures, after.bytes - before.bytes)
                self.counters.record({domain: {protocol: Calls(*added)}})
                self.derived.clear()

    def _restart_growth(self, recorded: UsageCounters) -> None:
        """Forget all growth; `recorded` are the counters without it."""
        self._recorded, self.counters = recorded, deepcopy(recorded) if self.grows else recorded
        self._grown, self._age = {}, 0.0
        self._limit_growth()
        self.derived.clear()

    def _limit_growth(self) -> None:
        """Set the age at which the growth ends, so that every sum is an exact integer in JSON."""
        recorded = self._recorded.total, self._recorded.bytes
        room = (
            max(0, MAX_SAFE_INTEGER - number) / rate for number, rate in zip(recorded, self._rates, strict=True) if rate
        )
        self._longest_age = min(room, default=0.0) * SAFETY_FACTOR
