"""Attribution of usage metrics to keys, although counters change between two responses."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from statistics import median_low
from typing import Any

from contract_tests.metrics.view import UsageMetrics, by_key
from contract_tests.wire.messages import Credential

# The thresholds of all heuristics below, each with its reason.
DISTINCTIVE = range(1000, 2**53)  # smaller values are equal by chance, and larger ones are saturated counters
NEAR = Fraction(1, 100)  # of a value, or less, is near: a busy key adds less to a large counter within a run
FAR = Fraction(1, 20)  # of a value: more is far: no traffic within a run explains it
NEARBY_STEPS = 3  # a key's next value is at most three of its largest steps away: traffic varies within a run
IMPLAUSIBLE_FACTOR = 2  # no traffic of a moment doubles a large counter
SAME_DOMAINS = 0.8  # of the domains: more are common to two lists of one key: the last ranks change places
OTHER_DOMAINS = 0.5  # of the domains: fewer are common to two keys: even similar customers differ in half
FEW_DOMAINS = 3  # a shorter list does not distinguish two keys
MANY_DOMAINS, DIFFERENT_COUNTS = 5, 3  # a list with fewer may be the same for two keys by chance
FEW_REQUESTS = 100  # two keys with fewer may have fetched the same page, and have the same bytes
AGREEING = 2  # members that must agree: a single large count may be equal by chance

OWN_MEMBERS = ("total", "success", "bytes_transferred", "top_domains")
COUNTERS = ("total", "success", "bytes_transferred")
GROWING = ("total", "bytes_transferred")
SPECIFIC = frozenset({"bytes_transferred", "top_domains"})  # two keys hardly ever have one of these in common

# Usage metrics with an unusual value, an earlier value, the unusual value, and a later value.
Change = tuple[UsageMetrics, Decimal, Decimal, Decimal]


@dataclass(frozen=True)
class Profile:
    """The usual metrics of one key; `identity` is the most frequent combination of them."""

    key: Credential
    identity: Hashable
    total: int | None
    bytes_transferred: int | None
    top_domains: list[tuple[str, int]] | None

    def explains(self, metrics: UsageMetrics, own: Profile) -> bool:
        """Whether usage metrics are this key's, rather than those of the key with the profile `own`."""
        if own.identity == self.identity or own.identity == identity(metrics):
            return False
        if self.identity == identity(metrics):
            return True
        exact = {
            name
            for name in SPECIFIC
            if is_distinctive(value := getattr(metrics, name)) and getattr(self, name) == value
        }
        if any(getattr(own, name) != getattr(metrics, name) for name in exact):
            return True
        domains = {domain for domain, _ in self.top_domains or ()}
        has_other_domains = len(domains) >= FEW_DOMAINS and _overlap(domains, own) < OTHER_DOMAINS
        if metrics.top_domains == self.top_domains and has_other_domains:
            return True
        return not _votes(metrics, own, self) and len(_votes(metrics, self, own)) >= AGREEING


Profiles = dict[Credential, Profile]


def profiles(usage_metrics: Sequence[UsageMetrics], keys: Iterable[Credential]) -> Profiles:
    """Return the profile of each key that was ever used."""
    found, of_each = {}, by_key(usage_metrics)
    for key in keys:
        of_key = of_each[key]
        usual = Counter(filter(None, map(identity, of_key))).most_common(1)
        if usual:
            example = next(metrics for metrics in of_key if identity(metrics) == usual[0][0])
            found[key] = Profile(
                key,
                usual[0][0],
                _median(metrics.total for metrics in of_key),
                _median(metrics.bytes_transferred for metrics in of_key),
                example.top_domains,
            )
    return found


def identity(metrics: UsageMetrics) -> Hashable:
    """Return the combination of metrics that identifies a key; None for a key that was never used."""
    domains = tuple(metrics.top_domains or ())
    values = (metrics.total, metrics.success, metrics.fail, metrics.bytes_transferred, domains)
    return values if any(values) else None


def is_distinctive(value: int | list[tuple[str, int]] | None) -> bool:
    """Whether a count, or a list of domains, is so large that two keys do not have it in common by chance."""
    size = sum(count for _, count in value) if isinstance(value, list) else value or 0
    return abs(size) in DISTINCTIVE


def shared_metrics(one: Sequence[UsageMetrics], other: Sequence[UsageMetrics]) -> list[str]:
    """Return the members that show that two keys have one account, even if it is in use; empty for a coincidence.

    `one` and `other` are the usage metrics of the two keys, in the order of their requests.
    """
    same = [name for name in OWN_MEMBERS if is_distinctive(value := _usual(one, name)) and value == _usual(other, name)]
    if _usual(one, "total") in range(FEW_REQUESTS):
        same = [name for name in same if name != "bytes_transferred"]
    if len(same) >= AGREEING or SPECIFIC & set(same):
        return same
    if _share_domains_despite_totals(one, other):
        return ["top_domains"]
    near = [name for name in GROWING if _continues(one, other, name)]
    return near if len(near) >= AGREEING else []


def _usual(usage_metrics: Sequence[UsageMetrics], name: str) -> Any:
    values = [getattr(metrics, name) for metrics in usage_metrics]
    return max(values, key=values.count)


def _share_domains_despite_totals(one: Sequence[UsageMetrics], other: Sequence[UsageMetrics]) -> bool:
    """Whether two keys have many domains with the same counts, although one has far more requests than the other."""
    domains, totals = _usual(one, "top_domains") or [], (_usual(one, "total"), _usual(other, "total"))
    are_many = len(domains) >= MANY_DOMAINS and len({count for _, count in domains}) >= DIFFERENT_COUNTS
    if not are_many or domains != _usual(other, "top_domains") or None in totals:
        return False
    return is_implausible_jump(*map(Decimal, totals))


def _continues(one: Sequence[UsageMetrics], other: Sequence[UsageMetrics], name: str) -> bool:
    """Whether each value of the other key is near to the first key's preceding value.

    It is as near as the first key's values are to each other. In a recording, the requests with two keys may alternate.
    """
    before, after = _distinctive_values(one, name), _distinctive_values(other, name)
    step = max((abs(later - earlier) for (_, earlier), (_, later) in pairwise(before)), default=0)
    starts = [started for started, _ in before]
    steps = Counter[int]()
    for started, value in after:
        if place := bisect_right(starts, started):
            steps[place] += 1
            last = before[place - 1][1]
            distance = abs(value - last)
            if distance > NEARBY_STEPS * step * steps[place] or distance > last * NEAR:
                return False
    return bool(steps)


def _distinctive_values(usage_metrics: Sequence[UsageMetrics], name: str) -> list[tuple[float, int]]:
    """Return the large values of a counter, each with the time of its request."""
    values = ((each.exchange.started, getattr(each, name)) for each in usage_metrics)
    return [(started, value) for started, value in values if is_distinctive(value)]


def transient_changes(
    values: Sequence[tuple[UsageMetrics, Decimal]], differs: Callable[[Decimal, Decimal], bool]
) -> Iterator[Change]:
    """Yield each value that differs from an earlier one, while a later value does not."""
    for index, (metrics, value) in enumerate(values):
        for _, before in values[:index]:
            if not differs(before, value):
                continue
            back = next((after for _, after in values[index + 1 :] if not differs(before, after)), None)
            if back is not None:
                yield metrics, before, value, back
                break


def oscillations(values: Sequence[tuple[UsageMetrics, Decimal]]) -> Iterator[Change]:
    """Yield each value that is far from its predecessor, while its successor is near to that predecessor."""
    for (_, before), (metrics, value), (_, after) in zip(values, values[1:], values[2:], strict=False):
        is_far, is_back = abs(value - before) > int(before) * FAR, abs(after - before) < int(before) * NEAR
        if before >= DISTINCTIVE.start and is_far and is_back:
            yield metrics, before, value, after


def counters(usage_metrics: Iterable[UsageMetrics]) -> dict[str, list[tuple[UsageMetrics, Decimal]]]:
    """Return the values of each counter in their order, with their usage metrics; each protocol has a counter."""
    found: defaultdict[str, list[tuple[UsageMetrics, Decimal]]] = defaultdict(list)
    for metrics in usage_metrics:
        named = {name: getattr(metrics, name) for name in COUNTERS}
        named |= {f"by_protocol.{name}": count for name, count in (metrics.by_protocol or {}).items()}
        for name, value in named.items():
            if value is not None:
                found[name].append((metrics, Decimal(value)))
    return found


def is_implausible_jump(one: Decimal, other: Decimal) -> bool:
    """Whether no traffic of a moment explains the difference between two values of a counter."""
    return max(one, other) >= DISTINCTIVE.start and IMPLAUSIBLE_FACTOR * min(one, other) < max(one, other)


def _votes(metrics: UsageMetrics, candidate: Profile, against: Profile) -> list[str]:
    """Return the members that are near the candidate's, and far from those of the other profile."""
    votes = [name for name in GROWING if _is_nearer(metrics, name, candidate, against)]
    domains = {domain for domain, _ in metrics.top_domains or ()}
    if _overlap(domains, candidate) > SAME_DOMAINS and _overlap(domains, against) < OTHER_DOMAINS:
        votes.append("top_domains")
    return votes


def _is_nearer(metrics: UsageMetrics, name: str, candidate: Profile, against: Profile) -> bool:
    value, near, far = (getattr(each, name) for each in (metrics, candidate, against))
    if value is None or near is None or far is None or not is_distinctive(near):
        return False
    return bool(abs(value - near) <= abs(near) * NEAR and abs(value - far) > abs(far) * FAR)


def _overlap(domains: set[str], profile: Profile) -> float:
    usual = {domain for domain, _ in profile.top_domains or ()}
    return len(domains & usual) / len(domains | usual) if domains | usual else 0.0


def _median(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return median_low(known) if known else None
