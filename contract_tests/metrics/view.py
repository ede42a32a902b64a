"""The figures of one 200 body, member by member; None where one is absent or has another type."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from contract_tests.wire.messages import Exchange

MOST_COUNTS = 1000  # protocols: usage metrics have a handful
LONGEST_TEXT = 10_000  # characters of a key or a domain


@dataclass(frozen=True)
class Members:
    """The readable members of one body; they are small, however large the body is.

    `by_protocol` includes undocumented protocols; it is None where one is not a count, and `top_domains` where a row
    is incomplete.
    """

    api_key: str | None
    total: int | None
    success: int | None
    fail: int | None
    success_rate: Decimal | None
    bytes_transferred: int | None
    by_protocol: dict[str, int] | None
    top_domains: list[tuple[str, int]] | None
    rps: Decimal | None
    burst: Decimal | None
    remaining: Decimal | None

    @classmethod
    def of(cls, body: object) -> Members:
        """Read the members of a JSON value with exact decimals."""
        members = body if isinstance(body, dict) else {}
        limit = members.get("rate_limit")
        limits = limit if isinstance(limit, dict) else {}
        return cls(
            api_key=_text(members.get("api_key")),
            total=_count(members.get("total")),
            success=_count(members.get("success")),
            fail=_count(members.get("fail")),
            success_rate=_number(members.get("success_rate")),
            bytes_transferred=_count(members.get("bytes_transferred")),
            by_protocol=_counts(members.get("by_protocol")),
            top_domains=_rows(members.get("top_domains")),
            rps=_number(limits.get("rps")),
            burst=_number(limits.get("burst")),
            remaining=_number(limits.get("remaining")),
        )


@dataclass(frozen=True)
class UsageMetrics:
    """The usage metrics of one response; a member that is `invalid` against the schema is left to the schema rules."""

    exchange: Exchange
    invalid: frozenset[str] = frozenset()

    @cached_property
    def _members(self) -> Members:
        exact = self.exchange.exact
        members = exact if isinstance(exact, dict) else {}
        return Members.of({name: value for name, value in members.items() if name not in self.invalid})

    @property
    def api_key(self) -> str | None:
        """The key as it is shown, whole or masked."""
        return self._members.api_key

    @property
    def total(self) -> int | None:
        """Requests across all protocols."""
        return self._members.total

    @property
    def success(self) -> int | None:
        """Successful requests."""
        return self._members.success

    @property
    def fail(self) -> int | None:
        """Failed requests."""
        return self._members.fail

    @property
    def success_rate(self) -> Decimal | None:
        """The percentage, with the decimals that were sent."""
        return self._members.success_rate

    @property
    def bytes_transferred(self) -> int | None:
        """Response bytes of HTTP fetch."""
        return self._members.bytes_transferred

    @property
    def by_protocol(self) -> dict[str, int] | None:
        """Requests by protocol, undocumented protocols included; None where one is no count."""
        return self._members.by_protocol

    @property
    def top_domains(self) -> list[tuple[str, int]] | None:
        """Domains with their requests, in order; None where a row is incomplete."""
        return self._members.top_domains

    @property
    def rps(self) -> Decimal | None:
        """Allowed requests per second."""
        return self._members.rps

    @property
    def burst(self) -> Decimal | None:
        """The bucket's capacity."""
        return self._members.burst

    @property
    def remaining(self) -> Decimal | None:
        """Tokens available at the time of the answer."""
        return self._members.remaining

    def label(self, problem: str) -> str:
        """Return the problem with the answer that shows it."""
        return f"{problem}\n{self.exchange.seen}"


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
    return {n: c for n, c in counts.items() if c is not None} if counts and None not in counts.values() else None


def _rows(value: Any) -> list[tuple[str, int]] | None:
    if not isinstance(value, list) or len(value) > MOST_COUNTS:
        return None
    rows = [
        (_text(row.get("domain")), _count(row.get("requests"))) if isinstance(row, dict) else (None, None)
        for row in value
    ]
    return None if any(None in row for row in rows) else [(str(domain), count or 0) for domain, count in rows]
