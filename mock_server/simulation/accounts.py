"""Accounts: all that the running mock keeps for one key, and the answer that tells it."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from mock_server.fixtures.deployments import MOST, Calls, Key, Rate, RateLimit, Traffic
from mock_server.simulation.state import BucketSpec, Known, Recorded
from mock_server.simulation.usage_counters import Tally
from mock_server.simulation.usage_metrics import REMAINING, usage_figures
from mock_server.web.responses import Answer

Figures = Callable[[dict[str, object]], Answer]


class Account:
    """What one key is and did, from a moment on (`now`, seconds).

    The state knows it by its `name` and the `mark` of its facts: with other facts it is another account,
    with the same bucket. `answer` makes a 200 of its figures, in whose body the mark REMAINING stands where the
    number of tokens goes.
    """

    def __init__(self, name: str, api_key: str, key: Key, answer: Figures, now: float, mark: str = "") -> None:
        self.name, self.api_key = name, api_key
        self.limit: RateLimit = key.rate_limit
        rps, burst = self.limit.rps, self.limit.burst
        # A limit that has changed, because its file has, is another bucket.
        self.bucket = BucketSpec(f"{name}\0{rps} {burst}", rps, burst, key.tokens, api_key)
        self.known = Known(f"{name}\0{mark}", api_key)
        self._answer, self._since, self._traffic = answer, now, key.traffic
        self._growth = [
            (domain, protocol, rate, _failing(rate))
            for domain, rates in key.growth.items()
            for protocol, rate in rates.items()
        ]
        self._rendered: tuple[Answer, list[bytes]] | None = None
        self._grown: dict[tuple[str, str], Calls] = {}
        self._aged = 0.0  # seconds
        self._begin(Tally(key.traffic))

    def tell_by(self, answer: Figures) -> None:
        """Make another 200 of the figures from now on."""
        self._answer, self._rendered = answer, None

    def record(self, traffic: Traffic) -> None:
        """Add traffic to the figures."""
        self._still.record(traffic)
        if self.tally is not self._still:
            self.tally.record(traffic)
        self._rendered = None

    def restate(self, news: Recorded) -> None:
        """Begin anew with what all processes did to the account."""
        self.known, self._since = self.known._replace(version=news.version), news.since
        self._begin(Tally(self._traffic))
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
        if seconds < self._aged:  # somebody has set time back
            self._begin(self._still)
        self._aged = seconds
        for domain, protocol, rate, failing in self._growth:
            before, done = self._grown.get((domain, protocol), Calls(0)), _done(rate, failing, seconds)
            if done != before:
                self._grown[domain, protocol] = done
                self.tally.record({domain: {protocol: _difference(done, before)}})
                self._rendered = None

    def _begin(self, still: Tally) -> None:
        """Let the key have done nothing by itself yet; `still` is what it did otherwise."""
        self._still, self.tally = still, still.copy() if self._growth else still
        self._grown, self._aged, self._rendered = {}, 0.0, None

    def _render(self) -> tuple[Answer, list[bytes]]:
        answer = self._answer(usage_figures(self.api_key, self.limit, self.tally))
        self._rendered = answer, answer.body.split(REMAINING)
        return self._rendered


def _failing(rate: Rate) -> Fraction:
    """Return the share that fails: exactly, or more might fail in a moment than is asked in it."""
    return Fraction(rate.failures) / Fraction(rate.requests) if rate.requests else Fraction()


def _done(rate: Rate, failing: Fraction, seconds: float) -> Calls:
    requests = _whole(rate.requests * seconds)
    return Calls(requests, math.floor(requests * failing), _whole(rate.bytes * seconds))


def _difference(now: Calls, before: Calls) -> Calls:
    return Calls(now.requests - before.requests, now.failures - before.failures, now.bytes - before.bytes)


def _whole(number: float) -> int:
    return min(MOST, math.floor(number))
