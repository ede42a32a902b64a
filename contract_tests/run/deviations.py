"""Known deviations: accepted failures with an owner and an expiry date, read from a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from contract_tests.support.rules import unknown_rule

MEMBERS = {"rule": str, "reason": str, "owner": str, "ticket": str, "expires": date}


@dataclass(frozen=True)
class Deviation:
    """One accepted failure of a rule: its reason, its owner, and its expiry date."""

    rule: str
    reason: str
    owner: str
    ticket: str
    expires: date

    def __str__(self) -> str:
        return f"known deviation until {self.expires} ({self.owner}, {self.ticket}): {self.reason}"

    def has_expired(self, today: date) -> bool:
        """Whether the expiry date has passed."""
        return self.expires < today

    def stated(self, today: date) -> str:
        """Return the deviation as a sentence, or that it has expired."""
        expired = f"its known deviation expired on {self.expires} ({self.owner}, {self.ticket}): {self.reason}"
        return expired if self.has_expired(today) else str(self)


def read_deviations(path: Path, rules: Collection[str]) -> dict[str, Deviation]:
    """Read a file of `[[deviation]]` tables; UsageError names every entry that is not valid, with the reason."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise pytest.UsageError(f"--known-deviations: {path} cannot be read: {error}") from None
    entries = content.get("deviation", [])
    unknown = sorted(content.keys() - {"deviation"})
    problems = [f"{name!r} is not known; an entry starts with [[deviation]]" for name in unknown]
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise pytest.UsageError(f"--known-deviations: {path}: each entry starts with [[deviation]]")
    for number, entry in enumerate(entries, 1):
        problems += [f"entry {number}: {problem}" for problem in _problems(entry, rules)]
    named = [entry.get("rule") for entry in entries]
    repeated = {rule for rule in named if isinstance(rule, str) and named.count(rule) > 1}
    problems += [f"{rule} is listed twice" for rule in sorted(repeated)]
    if problems:
        raise pytest.UsageError(f"--known-deviations: {path}: " + "; ".join(problems))
    return {entry["rule"]: Deviation(**entry) for entry in entries}


def _problems(entry: dict[str, Any], rules: Collection[str]) -> Iterator[str]:
    for name, kind in MEMBERS.items():
        value = entry.get(name)
        if not isinstance(value, kind) or isinstance(value, datetime) or value == "":
            yield f"{name} is missing, or is not a {'date' if kind is date else 'text'}"
    for name in sorted(entry.keys() - MEMBERS.keys()):
        yield f"{name!r} is not known; the members are {', '.join(MEMBERS)}"
    rule = entry.get("rule")
    if isinstance(rule, str) and rule not in rules:
        yield unknown_rule(rule, rules)
