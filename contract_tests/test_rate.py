"""The key's rate limit: what is said of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise

import pytest

from contract_tests.figures import Figures, having
from contract_tests.gate import OPERATION, Gate
from contract_tests.message import Answer, Credential, Request
from contract_tests.not_tested import NotTested
from contract_tests.rules import AUTHENTICATION_GUIDE, DOCUMENT, ERRORS_GUIDE, holds
from contract_tests.validation import header_problems, problems

OFTEN = 3  # times: what happens as often is no coincidence
REPLICAS = 4  # processes behind one address, each with a bucket of its own: more would be no limit
BUCKET = f"{DOCUMENT}, UsageResponse.rate_limit; {AUTHENTICATION_GUIDE}: a token bucket"


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
    """Between two answers `rate_limit.remaining` MUST NOT grow faster than `rate_limit.rps` allows.

    A few processes with a bucket each are let pass: then the answers are those of a few such series.
    """
    buckets: dict[Credential | None, list[Figures]] = defaultdict(list)
    for each in sorted(having(figures, "remaining", "rps"), key=lambda each: each.answer.started):
        last = buckets[each.answer.request.credential]
        fitting = [place for place, before in enumerate(last) if _excess(before, each) <= 1]
        if fitting:
            last[max(fitting, key=lambda place: _excess(last[place], each))] = each
        else:
            last.append(each)
        assert len(last) <= REPLICAS, each.told(
            f"remaining is {each.remaining}, {_excess(last[-2], each):.1f} more than could come back since it was "
            f"{last[-2].remaining}, and that {REPLICAS} times"
        )


def _excess(before: Figures, after: Figures) -> Decimal:
    """Return how many tokens more than could come back in the meantime there are."""
    seconds = after.answer.started + after.answer.seconds - before.answer.started
    grown = (after.remaining or Decimal(0)) - (before.remaining or Decimal(0))
    return grown - (after.rps or Decimal(0)) * Decimal(seconds)


@pytest.mark.rule(level="documented", source=f"{BUCKET}; {ERRORS_GUIDE}: 429 is for what is over the limit")
def test_remaining_tokens_are_granted(gate: Gate, journal: tuple[Answer, ...]) -> None:
    """Right after an answer that states half a bucket or more, a request MUST NOT be answered 429 time and again."""
    for key in gate.keys:
        asked = [answer for answer in journal if answer.request.credential == key and gate.is_asked(answer.request)]
        baseless = [triple[1] for triple in zip(asked, asked[1:], asked[2:], strict=False) if _is_baseless(*triple)]
        assert len(baseless) < OFTEN, (
            f"{len(baseless)} times a 429 while the bucket was nearly full, and nobody used the key\n{baseless[0].seen}"
        )
        ours = [answer for answer in asked if answer.request.plain]
        entitled = [after for before, after in pairwise(ours) if _leaves_tokens(before, after)]
        refused = [answer for answer in entitled if answer.status == 429]
        by_chance = len(refused) < OFTEN or OFTEN * 2 * len(refused) < len(entitled)  # others may use the key as well
        assert by_chance, (
            f"{len(refused)} of {len(entitled)} requests met a 429 right after half a bucket or more remained\n"
            f"{refused[0].seen}"
        )


def _leaves_tokens(before: Answer, after: Answer) -> bool:
    figures = Figures(before)
    if before.status != 200 or figures.remaining is None or figures.burst is None:
        return False
    half_full = figures.remaining >= 2 and 2 * figures.remaining >= figures.burst
    return half_full and after.started - before.started < 1


def _is_baseless(before: Answer, refused: Answer, after: Answer) -> bool:
    """Whether a 429 came while four of five tokens were there, and the key's total says that nobody took them."""
    one, other = Figures(before), Figures(after)
    if refused.status != 429 or {before.status, after.status} != {200} or one.remaining is None or one.burst is None:
        return False
    if not (before.ended <= refused.started and refused.ended <= after.started):  # in a burst nobody knows the order
        return False
    nearly_full = one.remaining >= 4 and 5 * one.remaining >= 4 * one.burst
    unused = one.total is not None and other.total is not None and other.total - one.total < one.remaining
    return nearly_full and unused and refused.started - before.started < 0.5


@pytest.mark.rule(
    level="documented",
    source=f"{ERRORS_GUIDE}: 429 with Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining and a detail text",
)
def test_429_is_complete(gate: Gate, journal: tuple[Answer, ...]) -> None:
    """Every 429 to a valid key MUST carry Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining: 0 and a `detail`."""
    throttled = [answer for answer in journal if answer.status == 429 and _has_a_limit(gate, answer.request)]
    if not throttled:
        provoked = "the bursts provoked none" if gate.settings.intrusive else "only --intrusive provokes one"
        raise NotTested(f"no 429 was met; {provoked}", wanted="" if gate.settings.intrusive else "--intrusive")
    limits = {key: _stated_limits(journal, key) for key in {answer.request.credential for answer in throttled}}
    for answer in throttled:
        found = [*header_problems(OPERATION, answer), *_another_limit(limits[answer.request.credential], answer)]
        found += [f"the body {answer.coding_problem}"] if answer.coding_problem else []
        if not (answer.is_json and answer.has_true_charset) or answer.json.problem:
            found.append(f"the body is no JSON ({answer.header('Content-Type')})")
        else:
            found += problems(OPERATION, answer, "documented")
        holds(f"{problem}\n{answer.seen}" for problem in found)


def _has_a_limit(gate: Gate, request: Request) -> bool:
    """Whether the request is the operation's, with one valid key: nobody says how those who guess are kept off."""
    keys_sent = [name.lower() for name, _ in request.fields].count(gate.key_header.lower().encode())
    return request.credential in gate.keys and keys_sent == 1 and request.method == gate.operation.method


def _stated_limits(journal: tuple[Answer, ...], key: Credential | None) -> set[Decimal]:
    """Return the limits that the usage metrics of a key state."""
    of_the_key = [Figures(answer) for answer in journal if answer.request.credential == key]
    return {limit for each in of_the_key for limit in (each.rps, each.burst) if limit is not None}


def _another_limit(stated: set[Decimal], throttled: Answer) -> Iterator[str]:
    """Yield the limit that the 429 names where it is neither of those that the key's usage metrics state."""
    text = throttled.header("X-RateLimit-Limit") or ""
    if stated and text.isdecimal() and Decimal(text) not in stated:
        yield f"X-RateLimit-Limit is {text}, rps and burst are {' and '.join(str(limit) for limit in sorted(stated))}"
