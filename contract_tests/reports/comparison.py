"""The comparison of a report with that of an earlier run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Literal

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from contract_tests.reports.model import FORMAT, Comparison, Outcome, RuleReport

State = Literal["kept", "broken", "untested"]

STATES: Mapping[Outcome, State] = {
    "held": "kept",
    "not applicable": "kept",
    "stale deviation": "kept",
    "broken": "broken",
    "known deviation": "broken",
    "reported": "broken",
    "not tested": "untested",
    "gate error": "untested",
}
MOST_IDS = 5  # of rules, on a line of the terminal


@dataclass(frozen=True)
class EarlierReport:
    """The members of an earlier `contract.json` that a comparison needs."""

    target: str
    started: str
    states: Mapping[str, State] = field(default_factory=dict)


def read_report(text: str) -> EarlierReport:
    """Read a `contract.json`; ValueError with the reason where it is not one of this format."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {error}") from None
    found = document.get("format") if isinstance(document, dict) else None
    if found != FORMAT:
        wrong = f"its format is {found[:40]!r}" if isinstance(found, str) else "it has no member `format`"
        raise ValueError(f"{wrong}; expected {FORMAT!r}")
    if violation := best_match(_validator().iter_errors(document)):
        raise ValueError(f"{violation.json_path}: {violation.message[:200]}")
    datetime.fromisoformat(document["started"])
    states = {rule["id"]: STATES[rule["outcome"]] for rule in document["rules"]}
    return EarlierReport(document["target"], document["started"], states)


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads(files("contract_tests.reports").joinpath("report.schema.json").read_text()))


def compare(earlier: EarlierReport, rules: Iterable[RuleReport]) -> Comparison:
    """Return the rules of this run whose state differs from that in the earlier run."""
    changes = [(rule.id, earlier.states.get(rule.id), STATES[rule.outcome]) for rule in rules]
    return Comparison(
        target=earlier.target,
        started=earlier.started,
        newly_broken=tuple(name for name, before, now in changes if now == "broken" != before),
        mended=tuple(name for name, before, now in changes if (before, now) == ("broken", "kept")),
        newly_untested=tuple(
            name for name, before, now in changes if now == "untested" and before in {"kept", "broken"}
        ),
    )


def comparison_lines(comparison: Comparison) -> Iterator[str]:
    """Yield the lines of a comparison for a terminal: the counts, then each list that is not empty."""
    counts = ", ".join(f"{len(ids)} {name}" for name, ids in comparison.changes)
    yield f"compared with the run of {comparison.started}: {counts}"
    for name, ids in comparison.changes:
        if ids:
            more = f" and {len(ids) - MOST_IDS} more" if len(ids) > MOST_IDS else ""
            yield f"{name}: {', '.join(ids[:MOST_IDS])}{more}"
