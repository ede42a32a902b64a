"""Undocumented figures in a 200 body agree with those beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

from contract_tests.metrics.members import in_snake_case, named_objects
from contract_tests.support.findings import Finding, Findings
from contract_tests.support.gate import Gate
from contract_tests.support.rules import USAGE, advisory
from contract_tests.wire.messages import Exchange, Exchanges, kept_whole

# Words of names, in the ascending order of the values of members whose names are otherwise equal.
ORDERS = (("min", "p50", "p75", "p90", "p95", "p99", "max"), ("min", "avg", "max"), ("min", "mean", "max"))
PERIODS = (("period_start", "period_end"), ("window_start", "window_end"), ("start", "end"), ("from", "to"))
DURATION = re.compile(r"(?:latenc(?:y|ies)|durations?|response_times?)(?:_|$)|(?:^|_)(?:ms|seconds)$")
COUNT = re.compile(r"(?:^(?:retries|pending|queued|in_flight)|_(?:count|requests|errors|retries|bytes|ms|seconds))$")
SIGNED = re.compile(
    r"delta|diff|change|offset|skew|drift|trend|adjust|remaining|left|ttl|reset|balance|credit|_in_|avail|gain"
    r"|growth|margin|net_|over|sav|slack|varia|_vs_"
)
EXPLAINED = re.compile(r"(?:percent|percentage|ratio|_at|reset|window|seconds)$")  # figures that change no quota
TOLERANCE = Decimal("1.5")  # percentage points: two rounded percentages
SAME = (("requests_per_second", "rps"), ("capacity", "burst"))
HUNDRED = Decimal(100)
UNLIMITED = -1
MOST_MEMBERS = 100  # of an object that is compared


@advisory(f"{USAGE}: figures of one key; an undocumented figure is one, too")
def test_further_members_agree(ok_responses: Exchanges) -> Findings:
    """Undocumented figures in one object of a 200 response SHOULD NOT contradict each other, or documented ones.

    `failure_rate` or `fail_rate` is 100 less `success_rate`. A rate of success is at most 100, and `success` at most
    `requests`, unless it may be a percentage. `used` and `remaining` add up to `limit`. Durations named `p50` and
    `p95`, or `min`, `avg` and `max`, are in this order, and a period starts before its end. In `rate_limit`,
    `requests_per_second` is at most `rps`, and `capacity` at most `burst`. The names in `by_protocol` do not differ
    in case alone. Shares of 1, and a quota that is exceeded or has further parts, are accepted.
    """
    for exchange in kept_whole(each for each in ok_responses if each.is_complete_200):
        for place, members in named_objects(exchange.exact):
            if len(members) > MOST_MEMBERS:
                continue  # a map of data
            for problem, names in _contradictions(place, members):
                actual = ", ".join(f"{name}: {members[name]}" for name in names)
                yield Finding(problem, exchange, actual=actual)


def _contradictions(place: str, members: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Yield each problem of an object in the member `place`, with the names of the members that show it."""
    figures = {name: Decimal(value) for name, value in members.items() if _is_number(value)}
    yield from _rates(place, figures)
    if {"used", "remaining", "limit"} <= figures.keys() and not _is_quota(figures):
        yield "used and remaining do not add up to limit", ["used", "remaining", "limit"]
    for other, name in SAME if place == "rate_limit" else ():
        if {other, name} <= figures.keys() and figures[other] > figures[name]:
            yield f"{other} exceeds {name}", [other, name]
    for order in ORDERS:
        yield from _unordered(place, figures, order)
    for first, last in PERIODS:
        if _is_before(members.get(last), members.get(first)):
            yield "a period ends before it starts", [first, last]
    if place == "by_protocol" and len({name.lower() for name in members}) < len(members):
        yield "two protocols differ only in case", sorted(members)


def _rates(place: str, figures: dict[str, Decimal]) -> Iterator[tuple[str, list[str]]]:
    success, total = figures.get("success_rate", Decimal(0)), figures.get("total", Decimal(0))
    if place and success > HUNDRED:
        yield "success_rate exceeds 100", ["success_rate"]
    is_row = place == "top_domains" and {"success", "requests"} <= figures.keys()
    if is_row and figures["success"] > max(figures["requests"], HUNDRED):
        yield "success exceeds requests", ["success", "requests"]
    for name in {"failure_rate", "fail_rate"} & figures.keys() if success > 1 else ():
        rate, rest = figures[name], HUNDRED - success
        failed = HUNDRED * figures["fail"] / total if total >= 1 and "fail" in figures else rest
        is_far = all(abs(rate - expected) > TOLERANCE for expected in (rest, failed))
        if rate > 1 and is_far:
            yield f"{name} and success_rate do not add up to 100", [name, "success_rate"]


def _is_quota(figures: dict[str, Decimal]) -> bool:
    """Whether a quota adds up, or may have a reason not to."""
    others = (name for name in figures.keys() - {"used", "remaining", "limit"} if not EXPLAINED.search(name))
    used, remaining, limit = figures["used"], figures["remaining"], figures["limit"]
    is_clamped = limit <= 0 or remaining <= 0
    return is_clamped or any(others) or abs(used + remaining - limit) <= 1 + limit / 100


def _unordered(place: str, figures: dict[str, Decimal], order: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    for names in _named_alike(place, figures, order):
        for first, second in pairwise(names):
            if figures[first] > figures[second] > 0:
                yield "durations are not in ascending order", [first, second]


def _named_alike(place: str, figures: dict[str, Decimal], words: Iterable[str]) -> Iterator[list[str]]:
    """Yield the names of durations that differ in one of the words, in the order of the words."""
    groups: dict[str, list[str]] = {}
    for word in words:
        for name in figures:
            parts = in_snake_case(name).split("_")
            if word in parts:
                rest = "_".join(part for part in parts if part != word)
                groups.setdefault(rest, []).append(name)
    yield from (names for rest, names in groups.items() if DURATION.search(f"{place}_{rest}".strip("_")))


def _is_before(one: object, other: object) -> bool:
    """Whether two texts are times, and the first is before the second; both or none have an offset from UTC."""
    if not isinstance(one, str) or not isinstance(other, str):
        return False
    try:
        return datetime.fromisoformat(one) < datetime.fromisoformat(other)
    except (ValueError, TypeError):
        return False


@advisory(f"{USAGE}: counts of one key; a count or a duration of less than nothing is an error of a program")
def test_further_counts_are_not_negative(ok_responses: Exchanges) -> Findings:
    """An undocumented count or duration in a 200 response SHOULD NOT be negative.

    Its name is `retries`, `pending` or the like, or ends with a unit such as `_count`, `_bytes` or `_ms`. The value -1
    may stand for "not known" or "unlimited" and is accepted, and so is a difference or an offset.
    """
    for exchange in kept_whole(each for each in ok_responses if each.is_complete_200):
        for place, members in named_objects(exchange.exact):
            for name, value in members.items():
                path = in_snake_case(f"{place}_{name}")
                is_count = COUNT.search(path.removeprefix(f"{place.lower()}_")) and not SIGNED.search(path)
                if is_count and _is_number(value) and value < 0 and value != UNLIMITED:
                    yield Finding(f"{exchange.excerpt(name)} is negative", exchange, actual=str(value))


@advisory(f"{USAGE}: an object; PHP writes an empty one as a list")
def test_further_objects_are_not_lists(gate: Gate, ok_responses: Exchanges) -> Findings:
    """An undocumented member that is an object in one 200 response SHOULD NOT be an empty list in another."""
    objects: dict[str, Exchange] = {}
    lists: dict[str, Exchange] = {}
    for exchange in kept_whole(each for each in ok_responses if each.is_complete_200):
        for name, value in exchange.object.items():
            if name not in gate.members and value == []:
                lists.setdefault(name, exchange)
            elif name not in gate.members and isinstance(value, dict):
                objects.setdefault(name, exchange)
    for name in objects.keys() & lists.keys():
        problem = f"{objects[name].excerpt(name)} is a list, and an object in another response"
        yield Finding(problem, lists[name], related=(objects[name],), actual="[]")


def _is_number(value: object) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)
