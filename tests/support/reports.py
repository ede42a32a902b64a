"""The reports of a run, and a file of known deviations for it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

import contract_tests.reports
from tests.support.gate import Run

ENTRY = 'rule = "{rule}"\nreason = "the gateway"\nowner = "platform"\nticket = "OPS-1"\nexpires = {expires}\n'
LATER, EARLIER = "9999-12-31", "2020-01-01"


@cache
def _validator() -> Draft202012Validator:
    schema = Path(contract_tests.reports.__file__).with_name("report.schema.json")
    return Draft202012Validator(json.loads(schema.read_text()), format_checker=FormatChecker())


def report(run: Run) -> dict[str, Any]:
    """Return the report that a run with `--report-dir out` has written; it must conform to its schema."""
    document: dict[str, Any] = json.loads((run.folder / "out" / "contract.json").read_text())
    _validator().validate(document)
    return document


def rules_of(run: Run) -> dict[str, Any]:
    """Return the rules of that report by id."""
    return {rule["id"]: rule for rule in report(run)["rules"]}


def listed(folder: Path, rule: str, expires: str = LATER) -> str:
    """Write a file with one known deviation, and return its path."""
    path = folder / "known.toml"
    path.write_text("[[deviation]]\n" + ENTRY.format(rule=rule, expires=expires))
    return str(path)
