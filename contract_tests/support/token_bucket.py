"""The token bucket of a key: the requests that empty it, and what its refill shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from contract_tests.metrics.view import Stated, UsageMetrics
from contract_tests.reports.model import counted
from contract_tests.support.findings import TRIES, Finding, Findings, confirm
from contract_tests.support.gate import Gate
from contract_tests.wire.messages import Credential, Exchange, Exchanges
from contract_tests.wire.not_tested import NotTested
from contract_tests.wire.pacing import stated_wait

REMAINING = "/rate_limit/remaining"

SMALL_BUCKET = 40  # tokens: buckets up to this size are emptied for all keys, some of them several times
BEYOND_CAPACITY = 6  # requests beyond the capacity: a few tokens are refilled during a burst
WAVE = 16  # requests at the same time, where more than a small bucket holds are sent
MOST_TIMES = 2  # times the capacity: a large bucket refills while it is emptied
ROUNDING = 1  # token: `remaining` may be rounded
LEAST_FALL = 2  # tokens: if fewer are missing after a burst, its requests took none
SMALLEST_READABLE = 2  # tokens: a smaller bucket is empty after the request that reads it
UNEVEN_FALL = 1.5  # tokens: three requests in turn take at least half a token less than one each
ALLOWANCE = 0.7  # tokens: a small bucket may lack them for the request that reads it, and for rounding
LONGEST_REFILL = 5.0  # seconds: the longest pause for a bucket to refill
LONGEST_OVERFLOW = 10.0  # seconds: the longest pause for a bucket that may hold more than stated
LONGEST_WAIT = 60.0  # seconds: a longer Retry-After does not describe a bucket that refills in seconds
HARDLY_HALF = 0.45  # of the capacity: the bucket is read while it refills, before it is half full
SLOWEST_REFILL = 0.6  # of the stated rate: a slower refill is another rate
CERTAINLY_FULL = 1.3  # times the capacity: after the time of as many tokens, a bucket is full at any rate


@dataclass(frozen=True)
class Bucket:
    """The bucket of one key: its capacity in tokens and its rate in tokens a second, as stated."""

    gate: Gate
    key: Credential
    burst: int
    rps: float

    def send(self, label: str, key: Credential | None = None) -> Exchange:
        """Send one request without waiting for the pace of its key, and also accept a 429."""
        (exchange,) = self.gate.transport.send_concurrently([self.gate.request(key or self.key, label)], is_paced=False)
        return exchange

    def spend(self, times: int, *further_keys: Credential) -> list[Exchange]:
        """Send `times` requests at the same time, together with one for each further key."""
        requests = [self.gate.request(key, "in a burst") for key in [self.key] * times + list(further_keys)]
        size = WAVE if self.burst > SMALL_BUCKET else len(requests)
        exchanges: list[Exchange] = []
        while len(exchanges) < len(requests):
            wave = requests[len(exchanges) :][:size]
            exchanges += self.gate.transport.send_concurrently(wave, is_paced=False)
        return exchanges

    def empty(self) -> list[Exchange]:
        """Send more requests at the same time than the bucket holds; to a large one in waves, up to the first 429."""
        if self.burst <= SMALL_BUCKET:
            return self.spend(self.burst + BEYOND_CAPACITY)
        exchanges: list[Exchange] = []
        while len(exchanges) < MOST_TIMES * (self.burst + BEYOND_CAPACITY):
            exchanges += self.spend(WAVE)
            if any(exchange.status == 429 for exchange in exchanges):
                break
        return exchanges

    @property
    def sample(self) -> int:
        """The number of tokens that show whether a burst takes tokens: all of a small bucket."""
        return min(self.burst, SMALL_BUCKET)

    def spend_in_turn(self, times: int) -> Exchanges:
        """Send `times` requests in one write: hardly any time passes between two of them."""
        request = self.gate.request(self.key, "in one write with equal requests")
        return self.gate.transport.send_pipelined([request] * times)

    def await_refill(self, share: float = 1.0) -> None:
        """Wait until a share of the bucket has been refilled."""
        self.gate.transport.pause(min(share * self.burst / self.rps, LONGEST_REFILL))

    def await_overflow(self) -> None:
        """Wait until the bucket has got more tokens than it can hold, by which a burst exceeds it."""
        self.gate.transport.pause(min((self.burst + BEYOND_CAPACITY) / self.rps, LONGEST_OVERFLOW))

    def send_after_waiting(self, throttled: Exchange) -> Exchange:
        """Send a request after the Retry-After of a 429, within reason."""
        self.gate.transport.pause(min(stated_wait(throttled), LONGEST_WAIT))
        return self.send("after Retry-After")

    def takes_tokens(self) -> bool:
        """Return whether `remaining` falls from one request to the next."""
        exchanges = self.spend_in_turn(3)
        left = [remaining for exchange in exchanges if (remaining := UsageMetrics(exchange).remaining)]
        return len(left) > 1 and max(left) - min(left) >= len(left) - UNEVEN_FALL

    def accepted_completely(self, emptied: Exchanges) -> str:
        """Return the sentence for a burst that leaves the bucket untouched: the measurement and its possible causes."""
        size, seconds = len(emptied), _seconds(emptied)
        if not self.exceeded(emptied):
            return f"all {size} requests are accepted, but within {seconds:.2f} s, so the bucket may have been refilled"
        return (
            f"all {size} requests within {seconds:.2f} s are accepted, the stated burst is {self.burst}, "
            "and `remaining` does not fall: a request takes no token, or the bucket holds more than stated"
        )

    def exceeded(self, emptied: Exchanges) -> Finding | None:
        """Return a finding if a burst was accepted that is larger than the bucket."""
        accepted = [exchange for exchange in emptied if exchange.status == 200]
        seconds = _seconds(emptied)
        most = self.burst + self.rps * seconds + ROUNDING
        if len(accepted) <= most:
            return None
        problem = f"more requests are accepted than a bucket of {counted(self.burst, 'token')} can hold"
        expected, actual = f"at most {most:.1f} requests within {seconds:.2f} s", f"{len(accepted)} of {len(emptied)}"
        return Finding(problem, accepted[-1], expected=expected, actual=actual)


@dataclass(frozen=True)
class Refill:
    """A bucket, the exchanges that emptied it, and an exchange while it refilled."""

    bucket: Bucket
    spent: Exchanges
    after: Exchange

    @classmethod
    def of(cls, bucket: Bucket) -> Refill:
        """Empty a bucket, and read it before it is half full."""
        spent = bucket.empty()
        if bucket.exceeded(spent):  # a window has ended within the burst, so that any number of tokens is left
            spent = bucket.empty()
        bucket.await_refill(HARDLY_HALF)
        return cls(bucket, spent, bucket.send("while the bucket refills"))

    @property
    def due(self) -> float:
        """The number of tokens that were refilled at least, at the stated rate."""
        return self.bucket.rps * (self.after.started - max(exchange.ended for exchange in self.spent))

    @property
    def is_timely(self) -> bool:
        """Whether the bucket was read before it was full again at any rate."""
        return self.due <= CERTAINLY_FULL * self.bucket.burst

    def too_fast(self) -> Finding | None:
        """Return a finding if there are more tokens than can have been refilled."""
        rejected = [exchange.started for exchange in self.spent if exchange.status == 429]
        remaining = UsageMetrics(self.after).remaining
        if rejected and self.after.status == 429:
            return None
        if not rejected or remaining is None:
            raise NotTested("the bucket could not be emptied again")
        seconds = self.after.ended - min(rejected)
        most = self.bucket.rps * seconds + ROUNDING
        if float(remaining) <= most:
            return None
        return self._finding("faster", f"at most {most:.1f} tokens after {seconds:.2f} s")

    def too_slow(self) -> Finding | None:
        """Return a finding if there are fewer tokens than must have been refilled."""
        remaining = UsageMetrics(self.after).remaining
        if self.after.status == 200 and remaining is None:
            raise NotTested("the response does not state how many tokens remain")
        if float(remaining or 0) + ALLOWANCE >= SLOWEST_REFILL * min(self.bucket.burst, self.due):
            return None
        return self._finding("slower", f"about {min(self.bucket.burst, self.due):.1f} tokens")

    def not_gradual(self) -> Finding | None:
        """Return a finding if there are more or fewer tokens than must have been refilled."""
        finding = self.too_fast() or (self.too_slow() if self.is_timely else None)
        problem = f"the bucket has too many or too few tokens at an rps of {self.bucket.rps:g}, {TRIES} times"
        return replace(finding, problem=problem) if finding else None

    def _finding(self, how: str, expected: str) -> Finding:
        problem = f"by its `remaining`, the bucket refills {how} than at an rps of {self.bucket.rps:g}, {TRIES} times"
        return tokens_finding(problem, self.after, expected)


@dataclass(frozen=True)
class Evasion:
    """An emptied bucket, and exchanges that may have used another one, by the way in which their requests differ.

    `due` is the number of tokens that can have been refilled until the last of these exchanges ended.
    """

    bucket: Bucket
    exchanges: Mapping[str, Exchanges]
    due: float

    @property
    def is_timely(self) -> bool:
        """Whether a bucket that has been refilled still differs from one that was never emptied."""
        return 2 * self.due < self.bucket.burst

    @property
    def suspects(self) -> list[str]:
        """The ways whose responses state a full bucket; if there are none, those that served several requests."""
        accepted = self._accepted
        full = [label for label, exchanges in accepted.items() if any(map(self._states_full, exchanges))]
        return full or [label for label, exchanges in accepted.items() if len(exchanges) > ROUNDING]

    @property
    def is_explained(self) -> bool:
        """Whether the tokens that are due explain all requests that the suspects served."""
        suspected = [exchange for label in self.suspects for exchange in self._accepted[label]]
        return not any(map(self._states_full, suspected)) and len(suspected) <= self.due + ROUNDING

    def finding(self) -> Finding:
        """Return the finding for the first suspect, with the response that states the most tokens."""
        shown = max(self._accepted[self.suspects[0]], key=lambda exchange: UsageMetrics(exchange).remaining or 0)
        served = "is served from a full bucket" if self._states_full(shown) else "is accepted"
        problem = f"this request {served}, while the bucket of its key is empty"
        return tokens_finding(problem, shown, f"about {self.due:.1f} of {counted(self.bucket.burst, 'token')}")

    @property
    def _accepted(self) -> dict[str, list[Exchange]]:
        return {label: [each for each in sent if each.status == 200] for label, sent in self.exchanges.items()}

    def _states_full(self, exchange: Exchange) -> bool:
        """Whether half of the bucket or more is filled beyond the tokens that are due."""
        remaining = float(UsageMetrics(exchange).remaining or 0)
        burst = self.bucket.burst
        return burst >= SMALLEST_READABLE and 2 * (remaining - self.due) >= burst - ROUNDING


def _seconds(burst: Exchanges) -> float:
    """Return the time between the first request of a burst and its last response."""
    return max(exchange.ended for exchange in burst) - min(exchange.started for exchange in burst)


def is_untouched(emptied: Exchanges) -> bool:
    """Whether all requests of a burst were accepted, and `remaining` stayed the same."""
    left = [UsageMetrics(exchange).remaining for exchange in emptied if exchange.status == 200]
    stated = [remaining for remaining in left if remaining is not None]
    is_unchanged = not stated or (max(stated) - min(stated) < LEAST_FALL and min(stated) >= 1)
    return len(left) == len(emptied) and is_unchanged


def remaining_above_burst(stated: Iterable[Stated]) -> Findings:
    """Yield a finding for each `remaining` that exceeds the `burst` stated with it."""
    for metrics, remaining, burst in stated:
        if remaining > burst:
            problem = "remaining exceeds burst"
            yield Finding(problem, metrics.exchange, (), REMAINING, f"at most {burst}", str(remaining))


def tokens_finding(problem: str, exchange: Exchange, expected: str, *related: Exchange) -> Finding:
    """Return a finding for a response that states another number of remaining tokens than expected."""
    actual = f"{counted(UsageMetrics(exchange).remaining or 0, 'token')} (status {exchange.outcome})"
    return Finding(problem, exchange, related, REMAINING, expected, actual)


def confirm_first(refills: Sequence[Refill], judge: Callable[[Refill], Finding | None]) -> Findings:
    """Confirm the problem of the first refill that has one, with further refills of its bucket."""

    def check(refill: Refill, attempt: int) -> Finding | None:
        return judge(Refill.of(refill.bucket) if attempt else refill)

    for refill in refills:
        if (yield from confirm(partial(check, refill))):
            return
