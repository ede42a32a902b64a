"""The key's rate limit: what is said of it, and what happens at its end."""

from __future__ import annotations

from decimal import Decimal

import pytest

from contract_tests.figures import Figures, having
from contract_tests.gate import OPERATION, Gate
from contract_tests.message import Answer, Credential
from contract_tests.rules import AUTHENTICATION_GUIDE, DOCUMENT, ERRORS_GUIDE, SOUND, holds
from contract_tests.transport import NotTested, retry_after
from contract_tests.validation import header_problems, problems

BUCKET = f"{DOCUMENT}, UsageResponse.rate_limit; {AUTHENTICATION_GUIDE}: a token bucket"
LARGEST_BUCKET = 40  # tokens: emptying a larger one would be a load test
PATIENCE = 5.0  # seconds: how long a Retry-After is waited for
TRIES = 3


@pytest.mark.rule(level="documented", source=BUCKET)
def test_remaining_is_at_most_burst(figures: list[Figures]) -> None:
    """`rate_limit.remaining` MUST NOT exceed `rate_limit.burst`, the capacity."""
    holds(
        each.told(f"remaining {each.remaining} of a burst of {each.burst}")
        for each in having(figures, "remaining", "burst")
        if (each.remaining or 0) > (each.burst or 0)
    )


@pytest.mark.rule(level="documented", source=BUCKET)
def test_remaining_refills_at_rps(figures: list[Figures]) -> None:
    """Between two answers `rate_limit.remaining` MUST NOT grow faster than `rate_limit.rps` allows."""
    last: dict[Credential | None, Figures] = {}
    for each in sorted(having(figures, "remaining", "rps"), key=lambda each: each.answer.started):
        before = last.get(each.answer.request.credential, each)
        last[each.answer.request.credential] = each
        seconds = each.answer.started + each.answer.seconds - before.answer.started
        grown, allowed = (
            (each.remaining or Decimal(0)) - (before.remaining or Decimal(0)),
            (each.rps or Decimal(0)) * Decimal(seconds),
        )
        assert grown <= allowed + 1, each.told(
            f"remaining grew by {grown} within {seconds:.3f} s at {each.rps} a second"
        )


@pytest.mark.rule(
    level="documented",
    source=f"{ERRORS_GUIDE}: 429 with Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining and a detail text",
)
def test_429_is_complete(journal: tuple[Answer, ...]) -> None:
    """Every 429 MUST carry Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining: 0 and a `detail` text."""
    throttled = [answer for answer in journal if answer.status == 429]
    if not throttled:
        raise NotTested("no 429 was met, and --intrusive was not given to provoke one")
    for answer in throttled:
        found = [*header_problems(OPERATION, answer)]
        if not answer.is_json or answer.json.problem:
            found.append(f"the body is no JSON ({answer.header('Content-Type')})")
        else:
            found += problems(OPERATION, "429", "documented", answer.json.value)
        holds(f"{problem}\n{answer.seen}" for problem in found)


@pytest.fixture(scope="session")
def smallest(gate: Gate, sample: object, others: object) -> tuple[Credential, int, float]:
    """The key with the smallest bucket, its burst in tokens, and its rate in tokens a second."""
    stated = [
        (int(each.burst or 0), float(each.rps or 0), key) for key in gate.settings.keys for each in _last(gate, key)
    ]
    small = [limit for limit in stated if limit[0] <= LARGEST_BUCKET and limit[1] > 0]
    if not small:
        raise NotTested(f"no key states a burst of {LARGEST_BUCKET} or less")
    burst, rps, key = min(reversed(small), key=lambda limit: limit[0])
    return key, burst, rps


def _last(gate: Gate, key: Credential) -> list[Figures]:
    """Return the key's last figures that state a limit, in a list of one or none."""
    plain = [answer for answer in gate.transport.journal if answer.request.credential == key and answer.request.plain]
    limits = [each for each in map(Figures, plain) if each.burst is not None and each.rps is not None]
    return limits[-1:]


def _burst(gate: Gate, key: Credential, times: int) -> list[Answer]:
    return gate.transport.together([gate.request(key, "in a burst") for _ in range(times)], paced=False)


def _rest(gate: Gate, burst: int, rps: float) -> None:
    gate.transport.rest(min(burst / rps + 0.5, PATIENCE))


@pytest.fixture(scope="session")
def emptied(gate: Gate, smallest: tuple[Credential, int, float]) -> list[Answer]:
    """What a burst larger than the smallest bucket was answered; it ends throttled, if anything does."""
    key, burst, _ = smallest
    return _burst(gate, key, burst + 6)


@pytest.mark.needs(*SOUND)
@pytest.mark.intrusive
@pytest.mark.rule(level="documented", source=BUCKET)
def test_burst_is_not_exceeded(emptied: list[Answer], smallest: tuple[Credential, int, float]) -> None:
    """Where a request takes a token, more than the bucket can hold MUST NOT be let through at once."""
    _, burst, rps = smallest
    passed = [answer for answer in emptied if answer.status == 200]
    spans = max(a.started + a.seconds for a in emptied) - min(a.started for a in emptied)
    left = [remaining for answer in passed if (remaining := Figures(answer).remaining) is not None]
    if len(passed) == len(emptied) and (not left or min(left) >= 1):
        raise NotTested("a request to this operation takes no token here")
    assert len(passed) <= burst + rps * spans + 1, (
        f"{len(passed)} of {len(emptied)} requests within {spans:.2f} s passed a bucket of {burst}\n{passed[-1].seen}"
    )


@pytest.mark.needs(*SOUND)
@pytest.mark.intrusive
@pytest.mark.rule(level="documented", source=f"{ERRORS_GUIDE}: over the limit the answer is 429")
def test_over_the_limit_is_429(emptied: list[Answer]) -> None:
    """A request over the limit MUST be answered 429, and nothing else."""
    holds(f"{answer.status} in a burst\n{answer.seen}" for answer in emptied if answer.status not in {200, 429})


@pytest.mark.needs(*SOUND, "rate/over-the-limit-is-429")
@pytest.mark.intrusive
@pytest.mark.rule(level="documented", source=f"{ERRORS_GUIDE}: Retry-After")
def test_retry_after_suffices(gate: Gate, emptied: list[Answer], smallest: tuple[Credential, int, float]) -> None:
    """After the seconds of Retry-After a request MUST pass again; it fails only if it never does."""
    key, burst, _ = smallest
    seen: list[Answer] = []
    for _ in range(TRIES):
        throttled = next((a for a in (seen or emptied)[::-1] if a.status == 429), None) or next(
            (a for a in _burst(gate, key, burst + 6) if a.status == 429), None
        )
        if throttled is None:
            raise NotTested("the burst met no 429")
        wait = retry_after(throttled)
        if wait > 60:
            raise AssertionError(
                f"Retry-After asks for {wait:.0f} s at {smallest[2]} tokens a second\n{throttled.seen}"
            )
        gate.transport.rest(wait)
        seen.append(gate.transport.send(gate.request(key, "after Retry-After"), patient=False))
        if seen[-1].status == 200:
            return
    raise AssertionError(f"{TRIES} times {seen[-1].status} after Retry-After was over\n{seen[-1].seen}")


@pytest.mark.needs(*SOUND, "rate/over-the-limit-is-429")
@pytest.mark.intrusive
@pytest.mark.rule(level="documented", source=f'{DOCUMENT}, UsageResponse.rate_limit.remaining: "Available tokens now"')
def test_available_tokens_are_granted(gate: Gate, smallest: tuple[Credential, int, float]) -> None:
    """As many requests as `rate_limit.remaining` says MUST pass; it fails only if they never do."""
    key, burst, rps = smallest
    short: list[str] = []
    for _ in range(TRIES):
        _rest(gate, burst, rps)
        stated = gate.transport.send(gate.request(key, "to learn what remains"), patient=False)
        remaining = int(Figures(stated).remaining or 0)
        if stated.status == 200 and remaining < 1:
            raise NotTested("the bucket never has a token to spare")
        answers = _burst(gate, key, remaining) if remaining else [stated]
        throttled = [answer for answer in answers if answer.status == 429]
        if not throttled:
            return
        short.append(
            f"{len(throttled)} of {remaining} requests were refused while as many tokens remained\n{throttled[0].seen}"
        )
    raise AssertionError(short[-1])


@pytest.mark.needs(*SOUND, "rate/over-the-limit-is-429")
@pytest.mark.intrusive
@pytest.mark.rule(level="documented", source=f"{AUTHENTICATION_GUIDE}: each key has its own rate limit")
def test_keys_have_buckets_of_their_own(gate: Gate, smallest: tuple[Credential, int, float]) -> None:
    """What one key spends MUST NOT be missing to another; it fails only if it always is."""
    spender, burst, rps = smallest
    other = gate.main if spender != gate.main else gate.second
    problem = ""
    for attempt in range(TRIES):
        _rest(gate, burst if attempt else 1, rps)
        before = gate.transport.send(gate.request(other, "before another key spends"), patient=False)
        _burst(gate, spender, burst + 3)
        after = gate.transport.send(gate.request(other, "after another key has spent"), patient=False)
        fallen = (Figures(before).remaining or Decimal(0)) - (Figures(after).remaining or Decimal(0))
        if before.status == after.status == 200 and fallen < max(4, burst // 2):
            return
        spent = f"{spender.told} spent {burst} tokens"
        problem = f"{spent}: {other.told} was answered {after.status} and has {fallen} tokens less\n{after.seen}"
    raise AssertionError(problem)
