"""Accounts: all that the running mock keeps for one key, and the answer that tells it."""

from __future__ import annotations

import math
from collections.abc import Callable

from mock_server.answers import Answer
from mock_server.figures import REMAINING, usage_figures
from mock_server.fixtures import Calls, Key, Rate, RateLimit, Traffic
from mock_server.state import BucketSpec, Known, Recorded
from mock_server.tally import Tally

Figures = Callable[[dict[str, object]], Answer]


class Account:
    """What one key is and did, from a moment on (`now`, seconds).

    `name` is what the state knows it by; `answer` makes a 200 of its figures, in whose body the mark
    REMAINING stands where the number of tokens goes.
    """

    def __init__(self, name: str, api_key: str, key: Key, answer: Figures, now: float) -> None:
        self.name, self.api_key = name, api_key
        self.limit: RateLimit = key.rate_limit
        rps, burst = self.limit.rps, self.limit.burst
        # A limit that has changed, because its file has, is another bucket.
        self.bucket = BucketSpec(f"{name}\0{rps} {burst}", rps, burst, key.tokens, api_key)
        self.known = Known(name, api_key)
        self.tally = Tally(key.traffic)
        self._answer, self._since, self._growth, self._traffic = answer, now, key.growth, key.traffic
        self._grown: dict[tuple[str, str], Calls] = {}
        self._rendered: tuple[Answer, list[bytes]] | None = None

    def tell_by(self, answer: Figures) -> None:
        """Make another 200 of the figures from now on."""
        self._answer, self._rendered = answer, None

    def record(self, traffic: Traffic) -> None:
        """Add traffic to the figures."""
        self.tally.record(traffic)
        self._rendered = None

    def restate(self, news: Recorded) -> None:
        """Begin anew with what all processes did to the account."""
        self.known, self._since = self.known._replace(version=news.version), news.since
        self.tally = Tally(self._traffic)
        self._grown.clear()
        self.record(news.traffic)

    def usage(self, remaining: float, now: float) -> Answer:
        """Return the 200 with `remaining` tokens, to one decimal."""
        if self._growth:
            self.grow(now)
        answer, pieces = self._rendered or self._render()
        return answer.of((b"%.1f" % remaining).join(pieces))

    def grow(self, now: float) -> None:
        """Catch up with what the key has done by itself."""
        seconds = max(0.0, now - self._since)
        for domain, rates in self._growth.items():
            for protocol, rate in rates.items():
                before = self._grown.get((domain, protocol), Calls(0))
                done = _done(rate, seconds)
                if done != before:
                    self._grown[domain, protocol] = done
                    self.record({domain: {protocol: _difference(done, before)}})

    def _render(self) -> tuple[Answer, list[bytes]]:
        answer = self._answer(usage_figures(self.api_key, self.limit, self.tally))
        self._rendered = answer, answer.body.split(REMAINING)
        return self._rendered


def _done(rate: Rate, seconds: float) -> Calls:
    requests = math.floor(rate.requests * seconds)
    failures = math.floor(requests * rate.failures / rate.requests) if rate.requests else 0
    return Calls(requests, failures, math.floor(rate.bytes * seconds))


def _difference(now: Calls, before: Calls) -> Calls:
    return Calls(now.requests - before.requests, now.failures - before.failures, now.bytes - before.bytes)
