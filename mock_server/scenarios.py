"""Scenarios: what happens to an account, by name, read from YAML and validated before it is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mock_server.delays import DelayError, delay
from mock_server.faults import fault_names, load_fault
from mock_server.fixtures import Key, folder, key_of, validated, yaml_files
from mock_server.names import UnknownNameError, nearest
from mock_server.validation import FixtureError
from usage_contract import Source


@dataclass(frozen=True)
class Scenario:
    """One file. What it leaves out (None) stays as it was: the key's own facts, no fault, no delay."""

    name: str
    description: str
    key: Key | None = None
    revoked: bool = False
    code: int | None = None
    fault: str | None = None
    delay: str | None = None


def scenario_names(fixtures: Path | None = None) -> list[str]:
    """Return the names of the scenarios of a fixture folder, sorted."""
    return sorted(yaml_files((fixtures or folder()) / "scenarios"))


def load_scenario(name: str, fixtures: Path | None = None) -> Scenario:
    """Load one scenario by name from a fixture folder (default: the shipped one).

    Raises UnknownNameError, and FixtureError, with every problem of the file, for one that cannot be used.
    """
    files = yaml_files((fixtures or folder()) / "scenarios")
    if name not in files:
        raise UnknownNameError("scenario", name, sorted(files))
    source = validated(files[name], "scenario")
    facts = dict(source.data)
    _check(source, facts, fixtures)
    return Scenario(name, **(facts | {"key": key_of(facts["key"]) if "key" in facts else None}))


def _check(source: Source, facts: Mapping[str, Any], fixtures: Path | None) -> None:
    """Raise FixtureError for what a schema cannot say."""
    errors = []
    try:
        if "delay" in facts:
            delay(facts["delay"])
    except DelayError as error:
        errors.append(source.error("/delay", str(error), "see docs/faults.md"))
    if 200 < facts.get("code", 200) < 400:
        errors.append(source.error("/code", f"{facts['code']} is never answered", "200 and 400 to 599 are"))
    fault: str | None = facts.get("fault")
    faults = fault_names(fixtures)
    if fault and fault not in faults:
        near = nearest(fault, faults)
        advice = f"did you mean {near!r}?" if near else "add faults/NAME.yaml"
        errors.append(source.error("/fault", f"{fault!r} is not a fault of this folder", advice))
    if errors:
        raise FixtureError(errors)
    if fault and load_fault(fault, fixtures).received:
        problem = f"{fault!r} changes what is received, before it is known who asks"
        raise FixtureError([source.error("/fault", problem, "switch it on for everybody, beside the scenario")])
