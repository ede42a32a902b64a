"""The key's token bucket, emptied on purpose: what happens at the limit, and after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Unpack

import pytest

from contract_tests import keys
from contract_tests.facts import NEEDS_VALID_KEY
from contract_tests.figures import Figures
from contract_tests.gate import BROWSER, Gate, Special
from contract_tests.message import Answer, Credential
from contract_tests.not_tested import NotTested
from contract_tests.rules import AUTHENTICATION_GUIDE, DOCUMENT, ERRORS_GUIDE, holds
from contract_tests.transport import stated_wait

LIMIT = f"{DOCUMENT}, UsageResponse.rate_limit; {AUTHENTICATION_GUIDE}: a token bucket"
LARGEST = 40  # tokens: emptying a larger bucket would be a load test
FALL = 2  # tokens: if less are missing after a burst, nothing was taken
PATIENCE = 5.0  # seconds: how long a bucket is left to fill
STATED = "schema/body-keeps-the-documented-ranges"  # else what remains says nothing
MORE = 6  # requests beyond the bucket's size
SLOWEST = 0.6  # of the stated rate: what comes back more slowly is another rate
FULL = 1.3  # times the bucket's size: what has come back in a time that tells nothing of the rate any more
TAKEN = 0.7  # tokens: what a small bucket may lack for the request that looks, and for rounding
LONGEST = 60.0  # seconds: a Retry-After beyond is no answer to a bucket that fills in seconds
TRIES = 3  # a pattern that others' use of the key could explain must repeat itself as often


@dataclass(frozen=True)
class Bucket:
    """One key's bucket: its capacity in tokens and its rate in tokens a second, as stated."""

    gate: Gate
    key: Credential
    burst: int
    rps: float

    def ask(self, told: str, key: Credential | None = None, **special: Unpack[Special]) -> Answer:
        """Ask once, at once, and take a 429 for an answer."""
        return self.gate.transport.together([self.gate.request(key or self.key, told, **special)], paced=False)[0]

    def spend(self, times: int, *others: Credential) -> list[Answer]:
        """Ask as often at the same time, and with other keys beside it."""
        callers = [self.key] * times + list(others)
        return self.gate.transport.together([self.gate.request(key, "in a burst") for key in callers], paced=False)

    def in_a_row(self, times: int) -> list[Answer]:
        """Ask as often in one write on one connection: hardly any time passes between one request and the next."""
        return self.gate.transport.pipelined([self.gate.request(self.key, "one after the other")] * times)

    def fill(self, share: float = 1.0) -> None:
        """Wait until a share of the bucket has filled again."""
        self.gate.transport.rest(min(share * self.burst / self.rps, PATIENCE))

    def ask_after_waiting(self, throttled: Answer) -> Answer:
        """Ask again when the Retry-After of a 429 is over, however long that is within reason."""
        self.gate.transport.rest(min(stated_wait(throttled), LONGEST))
        return self.ask("after Retry-After")

    def takes_tokens(self) -> bool:
        """Whether `remaining` falls from one request to the next that follows at once, on one connection."""
        left = [remaining for answer in self.in_a_row(3) if (remaining := Figures(answer).remaining)]
        return len(left) > 1 and max(left) - min(left) >= len(left) - 1.5


@pytest.fixture(scope="session")
def buckets(gate: Gate, sample: object, others: object) -> list[Bucket]:
    """The keys' buckets that may be emptied; NotTested where all are large."""
    stated = [Bucket(gate, key, int(each.burst or 0), float(each.rps or 0)) for key, each in _limits(gate)]
    small = [each for each in stated if 0 < each.burst <= LARGEST and each.rps > 0]
    if not small:
        raise NotTested(f"no key states a burst of {LARGEST} or less")
    return small


@pytest.fixture(scope="session")
def bucket(buckets: list[Bucket]) -> Bucket:
    """The smallest bucket of all keys, the last key's among equals."""
    return min(reversed(buckets), key=lambda each: each.burst)


def _limits(gate: Gate) -> Iterable[tuple[Credential, Figures]]:
    """Yield each key with the last figures that state its limit."""
    for key in gate.keys:
        plain = [Figures(a) for a in gate.transport.journal if a.request.credential == key and a.request.plain]
        yield from [(key, each) for each in plain if each.burst is not None and each.rps is not None][-1:]


@pytest.fixture(scope="session")
def emptied(bucket: Bucket) -> list[Answer]:
    """What a burst larger than the bucket was answered; it ends throttled, if anything does."""
    return bucket.spend(bucket.burst + MORE)


@pytest.fixture(scope="session")
def throttled(emptied: list[Answer]) -> Answer:
    """One of the 429s; NotTested where the burst met none."""
    found = [answer for answer in emptied if answer.status == 429]
    if not found:
        because = ("bucket/over-the-limit-is-429", "bucket/burst-is-not-exceeded")
        raise NotTested("no request of the burst was answered 429", because=because)
    return found[0]


@pytest.fixture(scope="session")
def recovered(bucket: Bucket, throttled: Answer) -> Answer:
    """What came after the emptied bucket was left alone for as long as Retry-After says."""
    return bucket.ask_after_waiting(throttled)


@pytest.mark.needs(*NEEDS_VALID_KEY)
@pytest.mark.intrusive
@pytest.mark.rule(level="documented", source=LIMIT)
def test_burst_is_not_exceeded(bucket: Bucket, buckets: list[Bucket], emptied: list[Answer]) -> None:
    """Where a request takes a token, more than any key's bucket can hold MUST NOT be let through at once."""
    if _is_untouched(emptied) and not bucket.takes_tokens():
        raise NotTested("a request to this operation takes no token here")
    _check_burst(bucket, emptied)
    for each in buckets:
        if each != bucket:
            _check_burst(each, each.spend(each.burst + MORE))


def _is_untouched(emptied: list[Answer]) -> bool:
    """Whether all requests of a burst passed, and none was told that fewer tokens remain."""
    left = [Figures(answer).remaining for answer in emptied if answer.status == 200]
    stated = [remaining for remaining in left if remaining is not None]
    still = not stated or (max(stated) - min(stated) < FALL and min(stated) >= 1)
    return len(left) == len(emptied) and still


def _check_burst(bucket: Bucket, emptied: list[Answer]) -> None:
    passed = [answer for answer in emptied if answer.status == 200]
    seconds = max(a.ended for a in emptied) - min(a.started for a in emptied)
    assert len(passed) <= bucket.burst + bucket.rps * seconds + 1, (
        f"{len(passed)} of {len(emptied)} requests within {seconds:.2f} s passed a bucket of {bucket.burst}\n"
        f"{passed[-1].seen}"
    )


@pytest.mark.needs(*NEEDS_VALID_KEY)
@pytest.mark.intrusive
@pytest.mark.rule(level="documented", source=f"{ERRORS_GUIDE}: over the limit the answer is 429")
def test_over_the_limit_is_429(emptied: list[Answer]) -> None:
    """A request over the limit MUST be answered 429, and nothing else."""
    holds(f"{answer.status} in a burst\n{answer.seen}" for answer in emptied if answer.status not in {200, 429})


@pytest.mark.needs(*NEEDS_VALID_KEY)
@pytest.mark.intrusive
@pytest.mark.rule(level="documented", source=f"{ERRORS_GUIDE}: Retry-After")
def test_retry_after_suffices(bucket: Bucket, throttled: Answer, recovered: Answer) -> None:
    """After the seconds of Retry-After a request MUST pass again; it fails only if it never does."""
    starved = bucket.gate.transport.starved.values()
    holds(f"a 429 however often Retry-After was honoured\n{answer.seen}" for answer in starved)
    if not stated_wait(throttled):  # whoever is slower than the next token would not notice
        refused = [_refused_at_once(bucket) for _ in range(TRIES)]
        holds(
            f"{TRIES} times a 429 right after one that asked for no wait\n{each.seen}"
            for each in refused
            if each and all(refused)
        )
    after = recovered
    for attempt in range(TRIES):
        if attempt:
            bucket.fill()  # whether a wait is too short shows where the bucket is emptied anew
            throttled = next((each for each in bucket.spend(bucket.burst + 3) if each.status == 429), after)
            after = bucket.ask_after_waiting(throttled)
        wait = stated_wait(throttled)
        assert wait <= LONGEST, f"Retry-After asks for {wait:.0f} s at {bucket.rps:g} tokens a second\n{throttled.seen}"
        if after.status == 200:
            return
    raise AssertionError(f"{TRIES} times {after.status} after Retry-After was over\n{after.seen}")


def _refused_at_once(bucket: Bucket) -> Answer | None:
    """Return a 429 whose predecessor on the connection was one that asked for no wait, if there is such."""
    pairs = pairwise(bucket.in_a_row(bucket.burst + MORE))
    return next((b for a, b in pairs if a.status == b.status == 429 and not stated_wait(a)), None)


@dataclass(frozen=True)
class Refill:
    """A bucket, what emptied it, and what was answered while it filled."""

    bucket: Bucket
    spent: list[Answer]
    after: Answer

    @classmethod
    def of(cls, bucket: Bucket) -> Refill:
        """Empty a bucket and look at it before it is half full."""
        spent = bucket.spend(bucket.burst + MORE)
        bucket.fill(0.45)
        return cls(bucket, spent, bucket.ask("while the bucket fills"))

    @property
    def due(self) -> float:
        """How many tokens have come back at least, at the stated rate."""
        return self.bucket.rps * (self.after.started - max(answer.ended for answer in self.spent))

    def too_fast(self) -> str:
        """Say if more tokens are there than could come back."""
        refused = [answer.started for answer in self.spent if answer.status == 429]
        remaining = Figures(self.after).remaining
        if not refused or remaining is None:
            raise NotTested("the bucket could not be emptied again")
        seconds = self.after.ended - min(refused)
        too_many = float(remaining) > self.bucket.rps * seconds + 1
        return self._told(f"{seconds:.2f} s after none was left") if too_many else ""

    def too_slow(self) -> str:
        """Say if fewer tokens are there than must have come back."""
        remaining = Figures(self.after).remaining
        if self.after.status == 200 and remaining is None:
            raise NotTested("what remains is not stated")
        is_enough = float(remaining or 0) + TAKEN >= SLOWEST * min(self.bucket.burst, self.due)
        return "" if is_enough else self._told(f"when {self.due:.1f} had come back")

    def _told(self, when: str) -> str:
        remaining = Figures(self.after).remaining or 0
        return f"{remaining:g} tokens {when}, at {self.bucket.rps:g} a second\n{self.after.seen}"


@pytest.fixture(scope="session")
def refills(buckets: list[Bucket], throttled: object) -> list[Refill]:
    """How each key's bucket fills."""
    return [Refill.of(bucket) for bucket in buckets]


@pytest.mark.needs(*NEEDS_VALID_KEY, "rate/remaining-is-at-most-burst")
@pytest.mark.intrusive
@pytest.mark.rule(level="documented", source=LIMIT)
def test_refills_at_rps(refills: list[Refill]) -> None:
    """An emptied bucket MUST NOT fill faster than `rate_limit.rps` says; it fails only if it always does."""
    for refill in refills:
        _is_not_always(Refill.too_fast, refill)


@pytest.mark.needs(*NEEDS_VALID_KEY, STATED, "bucket/retry-after-suffices")
@pytest.mark.intrusive
@pytest.mark.rule(level="documented", source=f'{DOCUMENT}, UsageResponse.rate_limit.rps: "Allowed requests per second"')
def test_refills_as_fast_as_stated(
    bucket: Bucket, emptied: list[Answer], recovered: Answer, refills: list[Refill]
) -> None:
    """An emptied bucket MUST fill about as fast as `rate_limit.rps` says; it fails only if it never does."""
    telling = [each for each in (Refill(bucket, emptied, recovered), *refills) if each.due <= FULL * each.bucket.burst]
    if not telling:  # by then they are full at any rate
        raise NotTested("answers come too slowly to see the bucket fill")
    for refill in telling:
        _is_not_always(Refill.too_slow, refill)


def _is_not_always(problem_of: Callable[[Refill], str], refill: Refill) -> None:
    for attempt in range(TRIES):
        if attempt:
            refill = Refill.of(refill.bucket)
        problem = problem_of(refill)
        if not problem:
            return
    raise AssertionError(problem)


@pytest.mark.needs(*NEEDS_VALID_KEY, "bucket/burst-is-not-exceeded")
@pytest.mark.intrusive
@pytest.mark.rule(level="documented", source=f"{AUTHENTICATION_GUIDE}: each key has its own rate limit, one")
def test_nothing_else_brings_another_bucket(bucket: Bucket, throttled: Answer) -> None:
    """A key whose bucket is empty MUST NOT find a full one by a query or by fields; it fails only if it always does."""
    ways: dict[str, Special] = {
        "with a query": {"target": f"{bucket.gate.path}?page=2", "key_field": bucket.gate.key_header.lower()},
        "from elsewhere, as it says": {"fields": [("X-Forwarded-For", "203.0.113.7"), ("X-Real-IP", "203.0.113.7")]},
        "by HTTP/1.0": {"version": "HTTP/1.0"},
        "as another client": {"fields": [*BROWSER, ("Accept-Encoding", "gzip"), ("Cookie", "visitor=17")]},
    }
    gate, found = bucket.gate, ""
    for _ in range(TRIES):
        refused = [answer.started for answer in bucket.spend(bucket.burst + 3) if answer.status == 429]
        asked = [gate.request(bucket.key, f"{told}, after the bucket was emptied", **ways[told]) for told in ways]
        answers = dict(zip(ways, gate.transport.together(asked, paced=False), strict=True))
        due = bucket.rps * (max(answer.ended for answer in answers.values()) - min(refused, default=0.0))
        if 2 * due >= bucket.burst:
            continue
        ways = {told: ways[told] for told, answer in answers.items() if _is_filled(bucket, answer, due)}
        if not ways:
            return
        full = answers[next(iter(ways))]
        found = f"{Figures(full).remaining} of {bucket.burst} tokens right after none was left\n{full.seen}"
    if not found:
        raise NotTested("answers come too slowly to tell a full bucket from one that has filled again")
    raise AssertionError(found)


def _is_filled(bucket: Bucket, answer: Answer, due: float) -> bool:
    remaining = float(Figures(answer).remaining or 0)
    return answer.status == 200 and bucket.burst >= FALL and 2 * (remaining - due) >= bucket.burst - 1


@pytest.mark.needs(*NEEDS_VALID_KEY, "bucket/burst-is-not-exceeded", "bucket/retry-after-suffices")
@pytest.mark.intrusive
@pytest.mark.rule(level="documented", source=f'{DOCUMENT}, UsageResponse.rate_limit.remaining: "Available tokens now"')
def test_available_tokens_are_granted(bucket: Bucket) -> None:
    """A bucket left to fill MUST state about its burst, and as many requests MUST pass; it fails only if never."""
    problem, due = "", min(bucket.burst, bucket.rps * PATIENCE)
    if due < 2 <= bucket.burst:
        raise NotTested(f"the bucket fills too slowly to be looked at: {bucket.rps:g} tokens a second")
    for _ in range(TRIES):
        bucket.fill()
        stated = bucket.ask("to learn what remains")
        if stated.status == 200 and Figures(stated).remaining is None:
            raise NotTested("what remains is not stated")
        remaining = int(Figures(stated).remaining or 0)
        if remaining + TAKEN < SLOWEST * due - 1:
            problem = f"{remaining} tokens after {due:g} of {bucket.burst} have come back\n{stated.seen}"
            continue
        refused = [answer for answer in bucket.spend(remaining) if answer.status == 429]
        if (stated.status == 200 and bucket.burst < 2) or (remaining and len(refused) <= remaining // 10):
            return
        problem = f"{len(refused)} of {remaining} requests were refused while as many tokens remained\n{stated.seen}"
    raise AssertionError(problem)


@pytest.mark.needs(*NEEDS_VALID_KEY)
@pytest.mark.intrusive
@pytest.mark.rule(level="documented", source=f"{AUTHENTICATION_GUIDE}: each key has its own rate limit")
def test_keys_have_buckets_of_their_own(bucket: Bucket) -> None:
    """What one key spends, or a caller without one, MUST NOT be missing to another; it fails only if it always is."""
    gate, problem = bucket.gate, ""
    others = [key for key in gate.keys if key != bucket.key] or [gate.second]
    for _ in range(TRIES):
        bucket.fill()
        before = [bucket.ask("before others spend", key) for key in others]
        if any(answer.status == 200 and (Figures(answer).remaining or 0) < 1 for answer in before):
            raise NotTested("the bucket of another key states no token to spare")
        bucket.spend(bucket.burst + 3, *[keys.UNKNOWN] * bucket.burst)
        after = [bucket.ask("after others have spent", key) for key in others]
        problem = next(filter(None, map(partial(_missing, bucket), before, after)), "")
        if not problem:
            return
    raise AssertionError(problem)


def _missing(bucket: Bucket, before: Answer, after: Answer) -> str:
    """Say if a key has lost what others have spent."""
    fallen = (Figures(before).remaining or 0) - (Figures(after).remaining or 0)
    if before.status == after.status == 200 and fallen < max(4, bucket.burst // 2):
        return ""
    told = after.request.credential.told if after.request.credential else ""
    return f"others spent: {told} was answered {after.status}, with {fallen} tokens less\n{after.seen}"
