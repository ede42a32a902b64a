"""The figures of one 200 body, member by member; None where one is absent or has another type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from contract_tests.facts import READABLE_BODY, VALID_KEY
from contract_tests.message import Answer
from contract_tests.transport import NotTested

READING = (*VALID_KEY.reported_by, *READABLE_BODY.reported_by)  # the rules that report why a body cannot be read


@dataclass(frozen=True)
class Figures:
    """The usage metrics of one response; a member that is `invalid` against the schema is left to the schema rules."""

    answer: Answer
    invalid: frozenset[str] = frozenset()

    @cached_property
    def _body(self) -> dict[str, Any]:
        exact = self.answer.exact
        members = exact if isinstance(exact, dict) else {}
        return {name: value for name, value in members.items() if name not in self.invalid}

    @property
    def api_key(self) -> str | None:
        """The key as it is shown, whole or masked."""
        value = self._body.get("api_key")
        return value if isinstance(value, str) else None

    @property
    def total(self) -> int | None:
        """Requests across all protocols."""
        return _count(self._body.get("total"))

    @property
    def success(self) -> int | None:
        """Successful requests."""
        return _count(self._body.get("success"))

    @property
    def fail(self) -> int | None:
        """Failed requests."""
        return _count(self._body.get("fail"))

    @property
    def success_rate(self) -> Decimal | None:
        """The percentage, with the decimals that were sent."""
        return _number(self._body.get("success_rate"))

    @property
    def bytes_transferred(self) -> int | None:
        """Response bytes of HTTP fetch."""
        return _count(self._body.get("bytes_transferred"))

    @property
    def by_protocol(self) -> dict[str, int] | None:
        """Requests by protocol, undocumented protocols included; None where one is no count."""
        value = self._body.get("by_protocol")
        counts = {name: _count(count) for name, count in value.items()} if isinstance(value, dict) else {}
        return {n: c for n, c in counts.items() if c is not None} if counts and None not in counts.values() else None

    @cached_property
    def top_domains(self) -> list[tuple[str, int]] | None:
        """Domains with their requests, in order; None where a row is incomplete."""
        value = self._body.get("top_domains")
        if not isinstance(value, list):
            return None
        rows = [
            (row.get("domain"), _count(row.get("requests"))) if isinstance(row, dict) else (None, None) for row in value
        ]
        if any(not isinstance(domain, str) or count is None for domain, count in rows):
            return None
        return [(str(domain), count or 0) for domain, count in rows]

    @property
    def rps(self) -> Decimal | None:
        """Allowed requests per second."""
        return _number(self._limit.get("rps"))

    @property
    def burst(self) -> Decimal | None:
        """The bucket's capacity."""
        return _number(self._limit.get("burst"))

    @property
    def remaining(self) -> Decimal | None:
        """Tokens available at the time of the answer."""
        return _number(self._limit.get("remaining"))

    @property
    def _limit(self) -> dict[str, Any]:
        value = self._body.get("rate_limit")
        return value if isinstance(value, dict) else {}

    def told(self, problem: str) -> str:
        """Return the problem with the answer that shows it."""
        return f"{problem}\n{self.answer.seen}"


def having(figures: Sequence[Figures], *names: str) -> list[Figures]:
    """Return those that have all the members; NotTested where none has."""
    found = [each for each in figures if all(getattr(each, name) is not None for name in names)]
    if not found:
        because = (*READING, "schema/body-keeps-the-documented-ranges", "schema/body-has-every-documented-member")
        raise NotTested(f"no 200 response has a valid {' and '.join(names)}", because=because)
    return found


def _number(value: Any) -> Decimal | None:
    return None if isinstance(value, bool) or not isinstance(value, int | Decimal) else Decimal(value)


def _count(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number == number.to_integral_value() else None
