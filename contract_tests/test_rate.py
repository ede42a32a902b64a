"""The rate limit of a key, as responses describe it."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from contract_tests.metrics.view import Stated, UsageMetrics, check_several, with_members
from contract_tests.support.facts import having
from contract_tests.support.findings import Finding, Findings, field_finding, header_findings, json_findings
from contract_tests.support.gate import OPERATION, Gate
from contract_tests.support.rules import ERRORS_GUIDE, TOKEN_BUCKET, advisory, documented, specified
from contract_tests.support.token_bucket import REMAINING, ROUNDING, remaining_above_burst
from contract_tests.wire.dates import made_at
from contract_tests.wire.messages import Credential, Exchange, Exchanges, Request
from contract_tests.wire.not_tested import NotTested, or_not_applicable
from contract_tests.wire.pacing import is_retry_after, stated_wait

MOST_PROCESSES = 4  # behind one address, each with its own bucket: more of them would not be a limit
OFTEN = 3  # times: fewer may be a coincidence
UNEXPLAINED_SHARE = Fraction(1, 6)  # of such requests: fewer 429 may be due to other users of the key
HALF_FULL = Decimal("0.5")  # a bucket with as many tokens outlasts the traffic of a second
NEARLY_FULL = Decimal("0.8")  # so full, a bucket is not emptied by other users without a trace in `total`
FEWEST_OF_HALF = 2  # tokens: one may be gone before the next request
FEWEST_OF_NEARLY_FULL = 4  # tokens: a few may be gone before the next request
RIGHT_AFTER = 1.0  # seconds: "right after" a response, at the usual pace of the gate
AT_ONCE = 0.5  # seconds: an even shorter time, because a single 429 counts here
SOME_TOKENS = 3  # tokens: rounding, a request without a response, and a use that `total` does not show yet
RECENT = 10.0  # seconds: `remaining` of an older response describes another state of the bucket
RATE_FIELD = re.compile(r"(?i)(?:x-)?rate-?limit(?:-|$)")  # RateLimit, X-RateLimit-Limit
RESET_ROUNDING = 10  # seconds: a response may be some seconds old, and a full bucket is reset now
EPOCH_DIGITS = 10  # of the seconds since 1970
EPOCH = re.compile(r"[12]\d{9}(?:\d{3})?")  # seconds or milliseconds since 1970
RESET = re.compile(rf"-(?!1$)\d{{1,15}}|\d{{1,15}}, ?\d{{1,15}}|{EPOCH.pattern}")  # also a negative one, or two
WINDOWS = re.compile(r"(?i)x-ratelimit-remaining(-(?:second|minute|hour|day|month|year))?")
LEAST_TIME = 1_000_000_000  # a larger number of seconds is not a duration
YEAR_2020 = 1_577_836_800  # seconds since 1970
NUMBER_OR_LIST = re.compile(r"(?i)\d[\d.]*(?:\s*[,;].*)?|unlimited")
SIGNED = re.compile(r"-?\d{1,15}")
NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,15})?")  # other forms, such as a list with policies, are not documented


@documented(TOKEN_BUCKET)
def test_remaining_is_at_most_burst(usage_metrics: list[UsageMetrics]) -> Findings:
    """`rate_limit.remaining` MUST NOT exceed `rate_limit.burst`, the capacity."""
    yield from remaining_above_burst(having(usage_metrics, "remaining", "burst"))


@documented(TOKEN_BUCKET, reads=["time"])
def test_remaining_grows_no_faster_than_rps(usage_metrics: list[UsageMetrics]) -> Findings:
    """`rate_limit.remaining` MUST NOT grow faster between two responses than `rate_limit.rps` allows.

    The responses may come from a few processes with a bucket each.
    """
    check_several(usage_metrics)
    buckets: dict[Credential | None, list[Stated]] = defaultdict(list)
    for stated in sorted(having(usage_metrics, "remaining", "rps"), key=lambda each: each[0].exchange.started):
        metrics, remaining, _ = stated
        last = buckets[metrics.key]
        fitting = [index for index, before in enumerate(last) if _excess(before, stated) <= ROUNDING]
        if fitting:
            last[max(fitting, key=lambda index: _excess(last[index], stated))] = stated
        else:
            last.append(stated)
        if len(last) > MOST_PROCESSES:
            problem = f"remaining grows faster than rps, {MOST_PROCESSES} times"
            most, before = f"at most {remaining - _excess(last[-2], stated):.1f}", last[-2][0].exchange
            yield Finding(problem, metrics.exchange, (before,), REMAINING, most, str(remaining))
            return


def _excess(before: Stated, after: Stated) -> Decimal:
    """Return the number of tokens beyond those that can have been refilled in the meantime."""
    (earlier, had, _), (later, has, rps) = before, after
    refilled = rps * Decimal(later.exchange.ended - earlier.exchange.started)
    return Decimal(has - had - refilled)


@documented(f"{TOKEN_BUCKET}; {ERRORS_GUIDE}: 429 is for a request over the limit", reads=["one run"])
def test_remaining_tokens_are_usable(gate: Gate, journal: Exchanges) -> Findings:
    """A response MUST NOT repeatedly have status 429 right after a response that states half a bucket or more."""
    for key in gate.keys:
        of_key = [each for each in journal if each.request.credential == key and gate.is_operation(each.request)]
        triples = zip(of_key, of_key[1:], of_key[2:], strict=False)
        unfounded = [triple[:2] for triple in triples if _is_unfounded(*triple)]
        baseline = [exchange for exchange in of_key if exchange.request.is_baseline]
        entitled = [pair for pair in pairwise(baseline) if _leaves_tokens(*pair)]
        rejected = [pair for pair in entitled if pair[1].status == 429]
        if len(unfounded) >= OFTEN:
            yield _repeated_429(f"a 429 with a nearly full bucket, {len(unfounded)} times", unfounded)
        elif len(rejected) >= OFTEN and len(rejected) >= len(entitled) * UNEXPLAINED_SHARE:
            problem = f"a 429 after half a bucket or more remained, for {len(rejected)} of {len(entitled)} requests"
            yield _repeated_429(problem, rejected)


def _repeated_429(problem: str, pairs: Sequence[tuple[Exchange, Exchange]]) -> Finding:
    """Return the finding for 429 responses, each after a response that states tokens."""
    before, throttled = pairs[0]
    return Finding(problem, throttled, related=(before,), expected="200", actual="429")


def _leaves_tokens(before: Exchange, after: Exchange) -> bool:
    """Whether a request was sent right after a response with half a bucket or more."""
    return after.started - before.started < RIGHT_AFTER and _is_filled(before, HALF_FULL, FEWEST_OF_HALF)


def _is_unfounded(before: Exchange, throttled: Exchange, after: Exchange) -> bool:
    """Whether a 429 followed a nearly full bucket, while the key's total shows no use that would explain it."""
    if throttled.status != 429 or after.status != 200 or not _is_filled(before, NEARLY_FULL, FEWEST_OF_NEARLY_FULL):
        return False
    is_in_order = before.ended <= throttled.started and throttled.ended <= after.started  # unknown within a burst
    one, other = UsageMetrics(before), UsageMetrics(after)
    if not is_in_order or one.total is None or other.total is None or one.remaining is None:
        return False
    return other.total - one.total < one.remaining and throttled.started - before.started < AT_ONCE


def _is_filled(exchange: Exchange, share: Decimal, fewest: int) -> bool:
    """Whether a response states that a share of the bucket is filled, and at least some tokens."""
    if exchange.status != 200:
        return False
    metrics = UsageMetrics(exchange)
    if metrics.remaining is None or metrics.burst is None:
        return False
    return metrics.remaining >= fewest and metrics.remaining >= share * metrics.burst


@advisory(
    f"{ERRORS_GUIDE}: 429 is for a request over the limit; a limit by address may also cause it",
    repeats=(
        "rate/remaining-tokens-are-usable",
        "bucket/available-tokens-are-usable",
        "bucket/each-key-has-its-own-bucket",
        "bucket/refills-no-faster-than-rps",
        "bucket/request-details-do-not-change-the-bucket",
    ),
    reads=["one run", "time"],
)
def test_429_follows_an_empty_bucket(gate: Gate, journal: Exchanges) -> Findings:
    """A response SHOULD NOT repeatedly have status 429 while three tokens or more remain.

    The tokens are those of the last 200 response, less one for each request with the key since then. The growth of
    `total` counts as requests of other users.
    """
    pairs = [pair for key in gate.keys for pair in _pairs_with_tokens(gate, journal, key)]
    if len(pairs) >= OFTEN:
        yield _repeated_429(f"a 429 while {SOME_TOKENS} tokens or more remain, {len(pairs)} times", pairs)


def _pairs_with_tokens(gate: Gate, journal: Exchanges, key: Credential) -> Iterator[tuple[Exchange, Exchange]]:
    """Yield each 429 to a key that has tokens left, with the last 200 before it."""
    of_key = sorted((each for each in journal if each.request.credential == key), key=lambda each: each.started)
    rejected = [each for each in of_key if each.status == 429 and _is_harmless(gate, each.request, of_key)]
    accepted = [UsageMetrics(each) for each in of_key if rejected and gate.is_ok(each)]
    stated = [(metrics.exchange, *values) for metrics, *values in with_members(accepted, "remaining", "total")]
    for throttled in rejected:
        before = next((each for each in reversed(stated) if each[0].ended <= throttled.started), None)
        after = next((each for each in stated if each[0].started >= throttled.ended), None)
        if before is None or after is None or throttled.started - before[0].started > RECENT:
            continue
        (last, remaining, total), (*_, later_total) = before, after
        since = sum(last.started < each.ended and each.started < throttled.ended for each in of_key)
        others = since - 2  # without these two; each of them may have taken a token
        if remaining - others - abs(later_total - total) >= SOME_TOKENS:
            yield last, throttled


def _is_harmless(gate: Gate, request: Request, of_key: Exchanges) -> bool:
    """Whether a firewall has no reason to reject a request: it is a usual one, or it was accepted when sent again."""
    usual = gate.request(request.credential)
    is_usual = (request.target, request.fields, request.body) == (usual.target, usual.fields, usual.body)
    return gate.is_operation(request) and (
        is_usual or any(each.request is request and each.status == 200 for each in of_key)
    )


@advisory(f"{ERRORS_GUIDE}: X-RateLimit-Limit and X-RateLimit-Remaining describe the bucket of the key")
def test_200_fields_agree_with_the_body(ok_responses: Exchanges, journal: Exchanges) -> Findings:
    """X-RateLimit-Limit and X-RateLimit-Remaining of a 200 response SHOULD agree with `rate_limit` of its body.

    They may differ by one token. The limit is `rps` or `burst`. Two fields of a name agree with each other, and each is
    a number or a list. RateLimit-Remaining agrees with the body if RateLimit-Limit is the limit of the bucket.
    X-RateLimit-Remaining of another response is not negative, and that of a window, such as
    X-RateLimit-Remaining-Minute, is at most its limit.
    """
    impossible = [finding for exchange in journal for finding in _impossible_remaining(exchange)]
    yield from impossible
    names = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "RateLimit-Remaining")
    with_fields = (each for each in ok_responses if each.is_complete_200 and any(map(each.values, names)))
    missing = f"no 200 response has {' or '.join(names)}"
    for exchange in with_fields if impossible else or_not_applicable(with_fields, missing):
        metrics = UsageMetrics(exchange)
        stated = {"X-RateLimit-Limit": (metrics.rps, metrics.burst), "X-RateLimit-Remaining": (metrics.remaining,)}
        if exchange.header("RateLimit-Limit").strip() in map(str, stated["X-RateLimit-Limit"]):
            stated["RateLimit-Remaining"] = (metrics.remaining,)
        for name, values in stated.items():
            text = exchange.header(name).strip()
            if len(several := set(exchange.values(name))) > 1 and all(map(NUMBER.fullmatch, several)):
                yield Finding(f"{name} is sent twice with different values", exchange, actual=text)
            elif exchange.values(name) and not NUMBER_OR_LIST.fullmatch(text):
                yield Finding(f"{name} is not a number of tokens", exchange, actual=text)
            known = [value for value in values if value is not None]
            if known and NUMBER.fullmatch(text) and all(abs(Decimal(text) - value) > ROUNDING for value in known):
                expected = " or ".join(map(str, dict.fromkeys(known)))
                yield Finding(f"{name} differs from the body", exchange, expected=expected, actual=text)


def _impossible_remaining(exchange: Exchange) -> Findings:
    """Yield a finding for a number of remaining requests that is negative, or above the limit of its window."""
    for name, value in exchange.fields:
        window, text = WINDOWS.fullmatch(name), value.decode("latin-1").strip()
        if not window or not SIGNED.fullmatch(text):
            continue
        limit = exchange.header(f"X-RateLimit-Limit{window[1]}").strip() if window[1] else ""
        is_unlimited = "-" in (exchange.header("X-RateLimit-Limit")[:1], limit[:1])
        if int(text) < 0 and exchange.status != 200 and not is_unlimited:
            yield Finding(f"{name} is negative", exchange, expected="at least 0", actual=text)
        elif NUMBER.fullmatch(limit) and int(text) > Decimal(limit):
            yield Finding(f"{name} is above the limit", exchange, expected=f"at most {limit}", actual=text)


@advisory(
    "RFC 9110, section 10.2.3; RFC 6585, section 4: Retry-After is for 503, 429 and redirects; some clients always wait"
)
def test_200_has_no_retry_after(ok_responses: Exchanges) -> Findings:
    """A 200 response SHOULD NOT have `Retry-After`."""
    for exchange in ok_responses:
        if exchange.status == 200 and exchange.values("Retry-After"):
            yield field_finding(exchange, "Retry-After", "a 200 response has Retry-After")


@advisory("RFC 9110, section 10.2.3: Retry-After is the time before a request that may succeed; another key is needed")
def test_auth_errors_have_no_retry_after(documented_errors: Exchanges) -> Findings:
    """A response with status 401 or 403 SHOULD NOT have `Retry-After`, unless others with this status have none."""
    without = {each.status for each in documented_errors if not each.values("Retry-After")}  # others refuse for a time
    for exchange in documented_errors:
        if exchange.status not in without:
            actual = exchange.header("Retry-After")
            yield Finding(f"a {exchange.status} response has Retry-After", exchange, actual=actual)


@advisory(
    f"{ERRORS_GUIDE}: such fields describe the bucket of the key; a client relies on a field that it has received",
    reads=["one run"],
)
def test_every_200_has_the_same_rate_fields(gate: Gate, ok_responses: Exchanges) -> Findings:
    """A 200 response SHOULD have each field about the rate limit that other 200 responses to the same key have."""
    for key in gate.keys:
        of_key = [each for each in ok_responses if each.status == 200 and each.request.credential == key]
        names = {name.lower() for each in of_key for name, _ in each.fields if RATE_FIELD.match(name)}
        for name in sorted(names):
            if lacking := [each for each in of_key if not each.values(name)]:
                stating = next(each for each in of_key if each.values(name))
                yield Finding(f"{name} is missing, and other responses have it", lacking[0], related=(stating,))
                return


@advisory(
    "RateLimit header fields for HTTP (draft): the time until the limit is reset; many servers state a date instead"
)
def test_reset_is_not_in_the_past(journal: Exchanges) -> Findings:
    """X-RateLimit-Reset and RateLimit-Reset SHOULD NOT be a time from 2020 to ten seconds before `Date`.

    A smaller number may be a duration, and is not negative, except -1. RateLimit-Reset is a duration, and SHOULD NOT be
    a time since 1970. Neither is stated twice with different values.
    """
    names = ("X-RateLimit-Reset", "RateLimit-Reset")
    stated = [(each, name) for each in journal for name in names if RESET.fullmatch(each.header(name))]
    for exchange, name in or_not_applicable(stated, f"no response has {' or '.join(names)} as a date"):
        text = exchange.header(name)
        if not EPOCH.fullmatch(text):
            problem = "is negative" if text.startswith("-") else "is stated twice"
            if len(set(exchange.values(name))) > 1 or text.startswith("-"):
                yield Finding(f"{name} {problem}", exchange, actual=text)
            continue
        seconds = int(text[:EPOCH_DIGITS])  # a longer one is in milliseconds
        if name == "RateLimit-Reset":
            yield Finding(f"{name} is a time since 1970", exchange, expected="a number of seconds", actual=text)
        elif YEAR_2020 <= seconds < made_at(exchange) - RESET_ROUNDING:
            yield Finding(f"{name} is in the past", exchange, expected=f"at least {made_at(exchange):.0f}", actual=text)


@specified(
    "RFC 9110, section 10.2.3: Retry-After is a date, or a number of whole seconds",
    repeats=["rate/429-is-complete"],
)
def test_retry_after_is_well_formed(journal: Exchanges) -> Findings:
    """`Retry-After` MUST be a date or a number of seconds without a fraction, in any response."""
    waits = ((exchange, value) for exchange in journal for value in exchange.values("Retry-After"))
    for exchange, value in or_not_applicable(waits, "no response has Retry-After"):
        if not is_retry_after(value.strip()):
            yield Finding("Retry-After is not a time", exchange, expected="seconds or a date", actual=value)


@documented(f"{ERRORS_GUIDE}: 429 with Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining and a detail text")
def test_429_is_complete(gate: Gate, journal: Exchanges) -> Findings:
    """A 429 response to a valid key MUST have Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining and a `detail`.

    X-RateLimit-Remaining is 0. X-RateLimit-Limit is the limit of the key if its bucket is empty. If it is not, the 429
    may be that of another limit, such as one by address.
    """
    throttled = [exchange for exchange in _throttled(gate, journal) if not exchange.is_zstd]
    limits = {key: _stated_limits(journal, key) for key in {exchange.request.credential for exchange in throttled}}
    of_other_limits = _of_other_limits(gate, journal)
    for exchange in throttled:
        yield from header_findings(OPERATION, exchange)
        if exchange not in of_other_limits:
            yield from _other_limit(exchange, limits[exchange.request.credential])
        if exchange.coding_problem:
            yield Finding(f"the body {exchange.coding_problem}", exchange)
        yield from json_findings(OPERATION, exchange, "documented")


@advisory(
    f"{ERRORS_GUIDE}: Retry-After is the time after which to retry; a client that waits longer leaves tokens unused",
    repeats=["bucket/retry-after-is-sufficient", "rate/429-is-complete"],
)
def test_retry_after_is_not_longer_than_a_refill(gate: Gate, journal: Exchanges) -> Findings:
    """Retry-After SHOULD be at most a second longer than an empty bucket of the key takes until it is full.

    Fractions of a second are rounded up. A 429 while tokens remain may be that of another limit. A member
    `retry_after` of the body is the same time, in seconds or milliseconds.
    """
    usual = [UsageMetrics(exchange) for exchange in journal if gate.is_ok(exchange)]
    buckets = {metrics.key: (burst, rps) for metrics, burst, rps in with_members(usual, "burst", "rps")}
    of_other_limits = _of_other_limits(gate, journal)
    for exchange in _throttled(gate, journal):
        if other := _other_wait(exchange):
            expected = exchange.header("Retry-After")
            yield Finding("retry_after of the body is another time", exchange, expected=expected, actual=other)
            return
        burst, rps = buckets.get(exchange.request.credential, (Decimal(0), Decimal(0)))
        rounded = Decimal(math.ceil(stated_wait(exchange))) - 2
        # Not burst / rps, which may be too large for a number.
        if burst > 0 and rps > 0 and rounded * rps >= burst and exchange not in of_other_limits:
            expected, actual = f"at most {math.ceil(burst / rps) + 1} s", exchange.header("Retry-After")
            yield Finding("Retry-After is longer than a refill", exchange, expected=expected, actual=actual)
            return


def _other_wait(throttled: Exchange) -> str:
    """Return `retry_after` of the body where it differs from Retry-After by more than a second; or else nothing."""
    body = {} if throttled.abridged else throttled.object
    stated, text = body.get("retry_after", body.get("retryAfter")), throttled.header("Retry-After").strip()
    if not isinstance(stated, int | float) or isinstance(stated, bool) or not NUMBER.fullmatch(text):
        return ""
    if stated >= LEAST_TIME:
        return ""
    return str(stated) if all(abs(each - float(text)) > 1 for each in (stated, stated / 1000)) else ""


def _of_other_limits(gate: Gate, journal: Exchanges) -> Exchanges:
    return [throttled for key in gate.keys for _, throttled in _pairs_with_tokens(gate, journal, key)]


def _throttled(gate: Gate, journal: Exchanges) -> Exchanges:
    """Return the responses with status 429 to a valid key; NotTested without any."""
    throttled = (each for each in journal if each.status == 429 and gate.is_authorized(each.request))
    # The limits of a request with several keys are not documented.
    if of_a_key := [each for each in throttled if len(each.request.values(gate.key_header)) == 1]:
        return of_a_key
    if gate.transport.is_recorded:
        raise NotTested("no recorded response to a valid key has status 429")
    if gate.settings.intrusive:
        raise NotTested("no response has status 429; the bursts caused none")
    raise NotTested("no response has status 429; only --intrusive causes one", wanted="--intrusive")


def _stated_limits(journal: Exchanges, key: Credential | None) -> set[Decimal]:
    """Return the values of rps and burst in the usage metrics of a key."""
    of_key = [exchange for exchange in journal if exchange.request.credential == key]
    return {limit for each in map(UsageMetrics, of_key) for limit in (each.rps, each.burst) if limit is not None}


def _other_limit(throttled: Exchange, stated: set[Decimal]) -> Findings:
    text = throttled.header("X-RateLimit-Limit")
    if stated and text.isdecimal() and all(abs(Decimal(text) - limit) >= 1 for limit in stated):  # it may be rounded
        expected = " or ".join(map(str, sorted(stated)))
        yield Finding("X-RateLimit-Limit differs from the usage metrics", throttled, expected=expected, actual=text)
