"""The usage metrics of a 200 body, member by member."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from contract_tests.wire.messages import Credential, Exchange
from contract_tests.wire.not_tested import NotTested

MOST_COUNTS = 1000  # protocols or domains: usage metrics have a handful
LONGEST_TEXT = 10_000  # characters of a key or a domain


class UsageMetrics:
    """The usage metrics of one exchange; a member that is absent or has another type is None.

    Members that are `invalid` against the schema are None as well: the schema rules report them. `by_protocol`
    includes undocumented protocols; it is None where one of them is not a count, and `top_domains` where a row is
    incomplete. The members are small, however large the body is, and the body's parsed form is not kept.
    """

    def __init__(self, exchange: Exchange, invalid: frozenset[str] = frozenset()) -> None:
        self.exchange = exchange
        self.key = exchange.request.credential
        body = exchange.exact
        members = {name: value for name, value in body.items() if name not in invalid} if isinstance(body, dict) else {}
        self.api_key = _text(members.get("api_key"))
        self.total = _count(members.get("total"))
        self.success = _count(members.get("success"))
        self.fail = _count(members.get("fail"))
        self.success_rate = _number(members.get("success_rate"))
        self.bytes_transferred = _count(members.get("bytes_transferred"))
        self.by_protocol = _counts(members.get("by_protocol"))
        self.top_domains = _rows(members.get("top_domains"))
        limit = members.get("rate_limit")
        limits = limit if isinstance(limit, dict) else {}
        self.rps = _number(limits.get("rps"))
        self.burst = _number(limits.get("burst"))
        self.remaining = _number(limits.get("remaining"))


# Usage metrics, and the values of some of their members.
Stated = tuple[UsageMetrics, *tuple[Any, ...]]


def with_members(usage_metrics: Iterable[UsageMetrics], *names: str) -> Iterator[Stated]:
    """Yield the usage metrics that have all the members, each with the values of these members."""
    for metrics in usage_metrics:
        values = [getattr(metrics, name) for name in names]
        if None not in values:
            yield metrics, *values


def by_key(usage_metrics: Iterable[UsageMetrics]) -> defaultdict[Credential | None, list[UsageMetrics]]:
    """Return the usage metrics in the responses to each key, in their order."""
    found: defaultdict[Credential | None, list[UsageMetrics]] = defaultdict(list)
    for metrics in usage_metrics:
        found[metrics.key].append(metrics)
    return found


def check_several(usage_metrics: Iterable[UsageMetrics], least: int = 2) -> None:
    """Raise NotTested where no key has enough responses to compare, for example with a small --max-requests."""
    if max(map(len, by_key(usage_metrics).values()), default=0) < least:
        raise NotTested(f"no key has {least} responses that can be compared")


def _number(value: Any) -> Decimal | None:
    return None if isinstance(value, bool) or not isinstance(value, int | Decimal) else Decimal(value)


def _count(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number == number.to_integral_value() else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and len(value) <= LONGEST_TEXT else None


def _counts(value: Any) -> dict[str, int] | None:
    if not isinstance(value, dict) or len(value) > MOST_COUNTS:
        return None
    counts = {name: _count(count) for name, count in value.items() if len(name) <= LONGEST_TEXT}
    known = {name: count for name, count in counts.items() if count is not None}
    return known if known and len(known) == len(counts) else None


def _rows(value: Any) -> list[tuple[str, int]] | None:
    if not isinstance(value, list) or len(value) > MOST_COUNTS:
        return None
    rows = [(_text(row.get("domain")), _count(row.get("requests"))) for row in value if isinstance(row, dict)]
    known = [(domain, count) for domain, count in rows if domain is not None and count is not None]
    return known if len(known) == len(value) else None
