"""Whose figures an answer holds: evidence that stands although counters move between two answers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from statistics import median_low
from typing import Any

from contract_tests.metrics.view import UsageMetrics
from contract_tests.wire.messages import Credential

TELLING = range(1000, 2**53)  # figures that do not agree by chance, and are no saturated counters
OWN_FIGURES = ("total", "success", "bytes_transferred", "top_domains")
COUNTERS = ("total", "success", "bytes_transferred")
SPECIFIC = frozenset({"bytes_transferred", "top_domains"})  # hardly two keys agree in one of these
STEPS = 3  # how many times the largest step from one answer to the next still counts as near


@dataclass(frozen=True)
class Profile:
    """What one key's figures usually are; `identity` is all of them, as they were seen most often."""

    key: Credential
    identity: Hashable
    total: int | None
    bytes_transferred: int | None
    top_domains: list[tuple[str, int]] | None

    def explains(self, figures: UsageMetrics, own: Profile) -> bool:
        """Whether figures are this key's rather than those of their own key."""
        if own.identity == self.identity or own.identity == identity(figures):
            return False
        if self.identity == identity(figures):
            return True
        exact = {
            name
            for name in SPECIFIC
            if is_distinctive(value := getattr(figures, name)) and getattr(self, name) == value
        }
        if any(getattr(own, name) != getattr(figures, name) for name in exact):
            return True
        return not _votes(figures, own, self) and len(_votes(figures, self, own)) > 1


def profiles(figures: Sequence[UsageMetrics], keys: Iterable[Credential]) -> dict[Credential, Profile]:
    """Return the profile of each key that was ever used."""
    found = {}
    for key in keys:
        of_key = [each for each in figures if each.exchange.request.credential == key]
        usual = Counter(filter(None, map(identity, of_key))).most_common(1)
        if usual:
            example = next(each for each in of_key if identity(each) == usual[0][0])
            found[key] = Profile(
                key,
                usual[0][0],
                _middle(each.total for each in of_key),
                _middle(each.bytes_transferred for each in of_key),
                example.top_domains,
            )
    return found


def identity(figures: UsageMetrics) -> Hashable:
    """Return what tells one key's figures from another's; None for those of a key that was never used."""
    values = (figures.total, figures.success, figures.fail, figures.bytes_transferred, tuple(figures.top_domains or ()))
    return values if any(values) else None


def is_distinctive(value: int | list[tuple[str, int]] | None) -> bool:
    """Whether a figure, or a list of domains, is so large that two keys do not share it by chance."""
    size = sum(count for _, count in value) if isinstance(value, list) else value or 0
    return abs(size) in TELLING


def shared_figures(one: Sequence[UsageMetrics], other: Sequence[UsageMetrics]) -> list[str]:
    """Return which figures of two keys are one account's, also where it grew in the meantime; empty for a coincidence.

    `one` and `other` are the two keys' figures in the order in which they were asked for.
    """
    same = [name for name in OWN_FIGURES if is_distinctive(value := _usual(one, name)) and value == _usual(other, name)]
    if len(same) > 1 or SPECIFIC & set(same):
        return same
    near = [name for name in ("total", "bytes_transferred") if _continues(one, other, name)]
    return near if len(near) > 1 else []


def _usual(figures: Sequence[UsageMetrics], name: str) -> Any:
    values = [getattr(each, name) for each in figures]
    return max(values, key=values.count)


def _continues(one: Sequence[UsageMetrics], other: Sequence[UsageMetrics], name: str) -> bool:
    """Whether the other's values follow the one's last as the one's own values follow each other."""
    before, after = ([value for each in of if is_distinctive(value := getattr(each, name))] for of in (one, other))
    step = max((abs(later - earlier) for earlier, later in pairwise(before)), default=0)
    near = [min(STEPS * step * place, before[-1] // 100) for place in range(1, len(after) + 1)] if before else []
    return bool(near) and all(abs(value - before[-1]) <= most for value, most in zip(after, near, strict=True))


def transient_changes(
    values: Sequence[tuple[UsageMetrics, Decimal]], strays: Callable[[Decimal, Decimal], bool]
) -> Iterator[tuple[UsageMetrics, Decimal, Decimal, Decimal]]:
    """Yield each value that strays from one before it while a later one does not, between these two."""
    for place, (figures, value) in enumerate(values):
        for _, before in values[:place]:
            back = next((after for _, after in values[place + 1 :] if not strays(before, after)), None)
            if strays(before, value) and back is not None:
                yield figures, before, value, back
                break


def oscillations(
    values: Sequence[tuple[UsageMetrics, Decimal]],
) -> Iterator[tuple[UsageMetrics, Decimal, Decimal, Decimal]]:
    """Yield each value that is far from the one before it, while the one after it is not."""
    for (_, before), (figures, value), (_, after) in zip(values, values[1:], values[2:], strict=False):
        if before >= TELLING.start and abs(value - before) > before / 20 and abs(after - before) < before / 100:
            yield figures, before, value, after


def counters(figures: Iterable[UsageMetrics]) -> dict[str, list[tuple[UsageMetrics, Decimal]]]:
    """Return every counter's values in their order, those of the protocols included, with the figures they stand in."""
    found: defaultdict[str, list[tuple[UsageMetrics, Decimal]]] = defaultdict(list)
    for each in figures:
        named = {name: getattr(each, name) for name in COUNTERS}
        named |= {f"by_protocol.{name}": count for name, count in (each.by_protocol or {}).items()}
        for name, value in named.items():
            if value is not None:
                found[name].append((each, Decimal(value)))
    return found


def is_implausible_jump(one: Decimal, other: Decimal) -> bool:
    """Whether no use in a moment explains the difference between two values of a counter."""
    return max(one, other) >= TELLING.start and 2 * min(one, other) < max(one, other)


def is_different(one: Decimal, other: Decimal) -> bool:
    """Whether two values differ at all."""
    return one != other


def _votes(figures: UsageMetrics, for_one: Profile, against: Profile) -> list[str]:
    """Return the figures that are near the one profile and far from the other."""
    votes = [name for name in ("total", "bytes_transferred") if _is_nearer(figures, name, for_one, against)]
    names = {domain for domain, _ in figures.top_domains or ()}
    if _overlap(names, for_one) > 0.8 and _overlap(names, against) < 0.5:
        votes.append("top_domains")
    return votes


def _is_nearer(figures: UsageMetrics, name: str, for_one: Profile, against: Profile) -> bool:
    value, near, far = (getattr(each, name) for each in (figures, for_one, against))
    if value is None or near is None or far is None or not is_distinctive(near):
        return False
    return bool(abs(value - near) <= abs(near) // 100 and abs(value - far) > abs(far) // 20)


def _overlap(names: set[str], profile: Profile) -> float:
    theirs = {domain for domain, _ in profile.top_domains or ()}
    return len(names & theirs) / len(names | theirs) if names | theirs else 0.0


def _middle(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return median_low(known) if known else None
