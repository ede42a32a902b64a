"""The token bucket of a key: these rules empty it, and check the responses at the limit and after it."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from itertools import pairwise

import pytest

from contract_tests.metrics.view import UsageMetrics, with_members
from contract_tests.reports.model import counted
from contract_tests.support import wrong_keys
from contract_tests.support.facts import NEEDS_VALID_KEY
from contract_tests.support.findings import TRIES, Finding, Findings, confirm, report
from contract_tests.support.gate import BROWSER, Gate, RequestOptions
from contract_tests.support.rules import (
    AUTHENTICATION_GUIDE,
    DOCUMENT,
    ERRORS_GUIDE,
    TOKEN_BUCKET,
    advisory,
    documented,
)
from contract_tests.support.token_bucket import (
    ALLOWANCE,
    BEYOND_CAPACITY,
    LONGEST_REFILL,
    LONGEST_WAIT,
    REMAINING,
    ROUNDING,
    SLOWEST_REFILL,
    SMALL_BUCKET,
    SMALLEST_READABLE,
    Bucket,
    Evasion,
    Refill,
    confirm_first,
    is_untouched,
    tokens_finding,
)
from contract_tests.wire.messages import Exchange, Exchanges
from contract_tests.wire.not_tested import NotTested, or_not_tested
from contract_tests.wire.pacing import stated_wait

bucket_rule = partial(documented, needs=NEEDS_VALID_KEY, intrusive=True)
LARGEST_BUCKET = 100  # tokens: emptying a larger bucket would be a load test
TAKEN_SHARE = Fraction(1, 10)  # of the remaining tokens: other users of the key may have taken as many
WAYS = 8  # requests at once, to an empty bucket
LEAST_LOSS = 4  # tokens: other users of a key may take fewer
RANGES = "schema/body-has-the-documented-ranges"  # without it, `remaining` may be any number


@pytest.fixture(scope="session")
def stated_buckets(client: Gate, main_key_responses: Exchanges, other_key_responses: Exchanges) -> list[Bucket]:
    """The buckets that responses state; NotTested without one."""
    responses = map(UsageMetrics, (*main_key_responses, *other_key_responses))
    last = {metrics.key: (burst, rps) for metrics, burst, rps in with_members(responses, "burst", "rps")}
    stated = ((key, *last[key]) for key in client.keys if key in last)
    usable = (Bucket(client, key, int(burst), float(rps)) for key, burst, rps in stated if burst >= 1 and rps > 0)
    return or_not_tested(usable, "no key states a burst and a rate")


@pytest.fixture(scope="session")
def smallest_bucket(stated_buckets: list[Bucket]) -> Bucket:
    """The smallest bucket; of equal ones that of the last key."""
    return min(reversed(stated_buckets), key=lambda each: each.burst)


@pytest.fixture(scope="session")
def bucket(smallest_bucket: Bucket) -> Bucket:
    """The smallest bucket; NotTested where it is too large to be emptied."""
    if smallest_bucket.burst > LARGEST_BUCKET:
        raise NotTested(f"no key states a burst of {LARGEST_BUCKET} or less")
    return smallest_bucket


@pytest.fixture(scope="session")
def buckets(bucket: Bucket, stated_buckets: list[Bucket]) -> list[Bucket]:
    """The small buckets, or a single larger one."""
    return [each for each in stated_buckets if each.burst <= SMALL_BUCKET] or [bucket]


@pytest.fixture(scope="session")
def emptied(bucket: Bucket) -> Exchanges:
    """The exchanges of a burst that is larger than the bucket."""
    return bucket.empty()


@pytest.fixture(scope="session")
def throttled(emptied: Exchanges) -> Exchange:
    """The first 429 of the burst; NotTested without one."""
    exchange = next((each for each in emptied if each.status == 429), None)
    if exchange is None:
        because = ("bucket/over-the-limit-is-429", "bucket/burst-is-not-exceeded")
        raise NotTested("no request of the burst was answered 429", because=because)
    return exchange


@pytest.fixture(scope="session")
def recovered(bucket: Bucket, throttled: Exchange) -> Exchange:
    """The exchange after the burst and the Retry-After of its 429."""
    return bucket.send_after_waiting(throttled)


@bucket_rule(TOKEN_BUCKET)
def test_burst_is_not_exceeded(bucket: Bucket, buckets: list[Bucket], emptied: Exchanges) -> Findings:
    """The server MUST NOT accept more requests of a key at once than its bucket can hold.

    This is not tested where a burst is accepted completely and `remaining` does not fall. The rule fails only after
    three attempts, because some buckets get the tokens of a second all at once.
    """
    if is_untouched(emptied) and not bucket.takes_tokens():
        raise NotTested(bucket.accepted_completely(emptied))

    def check(each: Bucket, attempt: int) -> Finding | None:
        if attempt:
            each.await_overflow()
        return each.exceeded(emptied if each == bucket and not attempt else each.empty())

    for each in (bucket, *(other for other in buckets if other != bucket)):
        if (yield from confirm(partial(check, each))):
            return


@advisory(TOKEN_BUCKET, needs=NEEDS_VALID_KEY, intrusive=True)
def test_stated_limit_is_enforced(bucket: Bucket, emptied: Exchanges) -> Findings:
    """A burst of more requests than `rate_limit.burst` SHOULD NOT be accepted completely while `remaining` stays equal.

    The guides do not state whether a request to this operation takes a token.
    """
    if is_untouched(emptied):
        if not bucket.exceeded(emptied):
            raise NotTested(bucket.accepted_completely(emptied))
        yield Finding(bucket.accepted_completely(emptied), emptied[-1], pointer=REMAINING)


@bucket_rule(f"{ERRORS_GUIDE}: the response over the limit is 429")
def test_over_the_limit_is_429(emptied: Exchanges) -> Findings:
    """A response to a request over the limit MUST have status 429."""
    for exchange in emptied:
        if exchange.status not in {200, 429}:
            problem = "a request over the limit has another status than 429"
            yield Finding(problem, exchange, expected="200 or 429", actual=exchange.outcome)


@bucket_rule(f"{ERRORS_GUIDE}: Retry-After")
def test_retry_after_is_sufficient(bucket: Bucket, throttled: Exchange, recovered: Exchange) -> Findings:
    """A request after the time in Retry-After MUST be accepted, and the time MUST be at most a minute.

    A request that is rejected is a failure only after three attempts.
    """
    exhausted = bucket.gate.transport.exhausted.values()
    if (yield from report(Finding("only 429 responses, also after Retry-After", exchange) for exchange in exhausted)):
        return
    if stated_wait(throttled) > LONGEST_WAIT:  # reported at once: three attempts would take hours
        problem = f"Retry-After is too long for an rps of {bucket.rps:g}"
        expected, actual = f"at most {LONGEST_WAIT:g} s", f"{stated_wait(throttled):g} s"
        yield Finding(problem, throttled, expected=expected, actual=actual)
        return
    # A client that is slower than the next token would not notice a Retry-After of 0 that is wrong.
    if not stated_wait(throttled) and (yield from confirm(lambda _: _rejected_at_once(bucket))):
        return

    def check(attempt: int) -> Finding | None:
        throttled_now, after = throttled, recovered
        if attempt:  # only a bucket that is emptied again shows whether a wait is too short
            bucket.await_refill()
            throttled_now = next((exchange for exchange in bucket.empty() if exchange.status == 429), throttled)
            after = bucket.send_after_waiting(throttled_now)
        if after.status == 200:
            return None
        problem = f"the request after Retry-After is not accepted, {TRIES} times"
        return Finding(problem, after, (throttled_now,), expected="200", actual=after.outcome)

    yield from confirm(check)


def _rejected_at_once(bucket: Bucket) -> Finding | None:
    """Return a finding for a 429 right after one whose Retry-After is 0, on the same connection."""
    exchanges = bucket.spend_in_turn(bucket.burst + BEYOND_CAPACITY)
    for before, after in pairwise(exchanges):
        if before.status == after.status == 429 and not stated_wait(before):
            problem = f"a 429 right after a 429 with a Retry-After of 0, {TRIES} times"
            return Finding(problem, after, (before,), expected="200", actual="429")
    return None


@pytest.fixture(scope="session")
def refills(buckets: list[Bucket], throttled: object) -> list[Refill]:
    """The refill of each bucket."""
    return [Refill.of(bucket) for bucket in buckets]


@bucket_rule(TOKEN_BUCKET, repeats=["rate/remaining-is-at-most-burst"])
def test_refills_no_faster_than_rps(refills: list[Refill]) -> Findings:
    """The server MUST NOT refill a bucket faster than `rate_limit.rps`. The rule fails only after three attempts."""
    yield from confirm_first(refills, Refill.too_fast)


@bucket_rule(
    f'{DOCUMENT}, UsageResponse.rate_limit.rps: "Allowed requests per second"',
    repeats=(RANGES, "bucket/retry-after-is-sufficient"),
)
def test_refills_as_fast_as_stated(
    bucket: Bucket, emptied: Exchanges, recovered: Exchange, refills: list[Refill]
) -> Findings:
    """The server MUST refill a bucket about as fast as `rate_limit.rps`. The rule fails only after three attempts."""
    yield from confirm_first(_timely((Refill(bucket, emptied, recovered), *refills)), Refill.too_slow)


@bucket_rule(
    TOKEN_BUCKET,
    repeats=(
        RANGES,
        "rate/remaining-is-at-most-burst",
        "bucket/retry-after-is-sufficient",
        "bucket/refills-no-faster-than-rps",
        "bucket/refills-as-fast-as-stated",
    ),
)
def test_refills_gradually(refills: list[Refill]) -> Findings:
    """The server MUST refill a bucket little by little, not all at once when a window of time ends.

    The rule fails only after three attempts that each find too many or too few tokens.
    """
    yield from confirm_first(_timely(refills), Refill.not_gradual)


def _timely(refills: Sequence[Refill]) -> list[Refill]:
    timely = (refill for refill in refills if refill.is_timely)
    return or_not_tested(timely, "responses arrive too slowly to observe the refill")


@bucket_rule(f"{AUTHENTICATION_GUIDE}: each key has one rate limit", repeats=["bucket/burst-is-not-exceeded"])
def test_request_details_do_not_change_the_bucket(bucket: Bucket, throttled: object) -> Findings:
    """A request with a key whose bucket is empty MUST be throttled, regardless of its target and header fields.

    The rule fails only after three attempts.
    """
    labels = list(_ways(bucket.gate, 0))
    evasions: list[Evasion] = []
    for attempt in range(TRIES):
        if attempt:
            bucket.await_refill()  # another bucket may be empty after the last attempt
        evasion = _send_in_each_way(bucket, labels, attempt)
        if not evasion.is_timely:
            continue
        evasions.append(evasion)
        if not evasion.suspects or (evasion.is_explained and len(labels) == 1):
            return
        labels = evasion.suspects  # more requests of each, so that the tokens that are due do not explain them
    unexplained = [evasion for evasion in evasions if not evasion.is_explained]
    if unexplained and len(evasions) == TRIES:
        yield unexplained[-1].finding()
    elif len(unexplained) == len(evasions):
        raise NotTested("responses arrive too slowly to distinguish another bucket from one that has been refilled")


def _send_in_each_way(bucket: Bucket, labels: Sequence[str], attempt: int) -> Evasion:
    """Empty the bucket, and send as many requests in each of the labelled ways."""
    rejected = [exchange.started for exchange in bucket.empty() if exchange.status == 429]
    each, ways = WAYS // len(labels), _ways(bucket.gate, attempt)
    requests = [
        bucket.gate.request(bucket.key, f"{label}, after a burst", **ways[label])
        for label in labels
        for _ in range(each)
    ]
    exchanges = bucket.gate.transport.send_concurrently(requests, is_paced=False)
    seconds = max(exchange.ended for exchange in exchanges) - min(rejected, default=0.0)
    by_label = {label: exchanges[number * each :][:each] for number, label in enumerate(labels)}
    return Evasion(bucket, by_label, bucket.rps * seconds)


def _ways(gate: Gate, attempt: int) -> dict[str, RequestOptions]:
    """Return what may select another bucket; other values in each attempt, as an earlier one may have emptied it."""
    path, address = gate.path, f"203.0.113.{attempt + 7}"
    return {
        "with a query": {"target": f"{path}?page={attempt + 2}", "key_field": gate.key_header.lower()},
        "at another spelling of the path": {"target": f"{path[:-1]}%{ord(path[-1]):02x}"},
        "with another address": {"fields": [("X-Forwarded-For", address), ("X-Real-IP", address)]},
        "from a browser": {"fields": [*BROWSER, ("Accept-Encoding", "gzip"), ("Cookie", f"visitor={attempt + 17}")]},
    }


@bucket_rule(
    f'{DOCUMENT}, UsageResponse.rate_limit.remaining: "Available tokens now"',
    repeats=("bucket/burst-is-not-exceeded", "bucket/retry-after-is-sufficient"),
)
def test_available_tokens_are_usable(smallest_bucket: Bucket) -> Findings:
    """`rate_limit.remaining` MUST be about the burst after a refill, and as many requests MUST be accepted.

    At most 100 requests are sent at once. The rule fails only after three attempts.
    """
    bucket = smallest_bucket
    due = min(bucket.burst, bucket.rps * LONGEST_REFILL)
    if due < SMALLEST_READABLE <= bucket.burst:
        raise NotTested(f"the bucket refills too slowly: its rps is {bucket.rps:g}")

    def check(_: int) -> Finding | None:
        bucket.await_refill()
        before = bucket.send("before a burst")
        if before.status == 200 and UsageMetrics(before).remaining is None:
            raise NotTested("the response does not state how many tokens remain")
        remaining = int(UsageMetrics(before).remaining or 0)
        sent = min(remaining, LARGEST_BUCKET)
        if remaining + ALLOWANCE < SLOWEST_REFILL * due - ROUNDING:
            problem = f"a refilled bucket has too few tokens, {TRIES} times"
            return tokens_finding(problem, before, f"about {due:g} of {counted(bucket.burst, 'token')}")
        exchanges = bucket.spend(sent)
        rejected = [exchange for exchange in exchanges if exchange.status == 429]
        is_single = before.status == 200 and bucket.burst < SMALLEST_READABLE  # the request above took the only token
        if is_single or (sent and len(rejected) <= sent * TAKEN_SHARE):
            return None
        problem = f"{len(rejected)} of {sent} requests are throttled while as many tokens remain, {TRIES} times"
        return Finding(problem, before, tuple(rejected[:1]), REMAINING)

    yield from confirm(check)


@bucket_rule(f"{AUTHENTICATION_GUIDE}: each key has its own rate limit")
def test_each_key_has_its_own_bucket(smallest_bucket: Bucket) -> Findings:
    """A request with one key, or without a valid one, MUST NOT take a token of another key.

    The rule fails only after three attempts.
    """
    bucket, gate = smallest_bucket, smallest_bucket.gate
    other_keys = [key for key in gate.keys if key != bucket.key] or [gate.second]

    def check(attempt: int) -> Finding | None:
        bucket.await_refill()
        # Replicas that take turns, each with its own bucket, are compared in another order in each attempt.
        before = [send_each("before a burst with another key") for _ in range(attempt + 1)][-1]
        for exchange in before:
            if exchange.status != 200:
                raise NotTested(f"another key gets {exchange.outcome} before the burst")
            if (UsageMetrics(exchange).remaining or 0) < 1:
                raise NotTested("the bucket of another key states that less than one token remains")
        bucket.spend(bucket.sample + BEYOND_CAPACITY, *[wrong_keys.UNKNOWN] * bucket.sample)
        after = send_each("after a burst with another key")
        return next(filter(None, map(lost_tokens, before, after)), None)

    def send_each(label: str) -> Exchanges:
        return [bucket.send(label, key) for key in other_keys]

    def lost_tokens(before: Exchange, after: Exchange) -> Finding | None:
        one, other = (UsageMetrics(exchange).remaining or 0 for exchange in (before, after))
        if after.status == 200 and one - other < max(LEAST_LOSS, bucket.sample // 2):
            return None
        problem = f"requests with one key, or without a valid one, take tokens of another key, {TRIES} times"
        return tokens_finding(problem, after, f"about {counted(one, 'token')}", before)

    yield from confirm(check)
