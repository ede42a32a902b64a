"""Faults: what a deployment does wrong, or merely unlike others, read from YAML and validated before it is served."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from mock_server.edits import FLAGS, Edit, End, Fill, Framing, filled
from mock_server.fixtures import Deployment, folder, validated, yaml_files
from mock_server.journal import masked
from mock_server.names import UnknownNameError, nearest
from mock_server.roles import ROLES, keys_by_role, placeholders, with_keys
from mock_server.validation import FixtureError
from usage_contract import Source, SourceError
from usage_contract.sources import pointer

# A variant is a fault that breaks nothing: unusual, and correct.
FOLDERS = ("faults", "variants")

Names = Mapping[str, str]


@dataclass(frozen=True)
class When:
    """The conditions of a step, of which all must hold; the patterns are for what was received."""

    path: re.Pattern[str]
    request: re.Pattern[str]
    body: re.Pattern[str] | None
    status: tuple[int, ...]
    key: str | None
    after: int
    first: int | None
    every: int

    def is_turn(self, count: int) -> bool:
        """Whether the count'th request (from 1) for which all else holds is one to act on."""
        place = count - self.after
        return place > 0 and (self.first is None or place <= self.first) and place % self.every == 0


@dataclass(frozen=True)
class Changes:
    """What a step changes of an answer; see `fixtures/fault.schema.json`, whose names these are."""

    patch: Sequence[Edit] = ()
    status: int | None = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    body: Sequence[Edit] = ()
    head: Sequence[Edit] = ()
    message: Sequence[Edit] = ()
    framing: Framing | None = None
    drip: float | None = None
    end: End | None = None

    def filled(self, fill: Fill) -> Changes:
        """Return the same changes with every text filled in."""
        return Changes(**{name: filled(value, fill) for name, value in vars(self).items()})


@dataclass(frozen=True)
class Step:
    """One thing that is done to an answer; `answer_as` is `as`, which is no name in Python."""

    when: When
    wait: float
    answer_as: str | None
    recall: str | None
    changes: Changes
    store: str | None


@dataclass(frozen=True)
class Bucket:
    """The bucket that keys really have: one for all of `keys`, whatever limit they state."""

    keys: tuple[str, ...]
    rps: float | None
    burst: int | None


@dataclass(frozen=True)
class Fault:
    """One file: what it shows, the ids of the rules that must notice, and what it does."""

    name: str
    description: str
    breaks: tuple[str, ...]
    buckets: tuple[Bucket, ...]
    received: Sequence[Edit]
    steps: tuple[Step, ...]
    source: Source

    def at_once(self) -> Fault:
        """Return the same fault without taking turns and for any key, as one who asks for it now means it."""
        here = [replace(each, when=replace(each.when, key=None, after=0, first=None, every=1)) for each in self.steps]
        return replace(self, steps=tuple(here))


def fault_names(fixtures: Path | None = None) -> list[str]:
    """Return the names of the faults and variants of a fixture folder, sorted."""
    return sorted(_files(fixtures or folder()))


def load_fault(name: str, fixtures: Path | None = None) -> Fault:
    """Load one fault or variant by name from a fixture folder (default: the shipped one).

    Raises UnknownNameError, and FixtureError, with every problem of the file, for one that cannot be used.
    """
    files = _files(fixtures or folder())
    if name not in files:
        raise UnknownNameError("fault", name, sorted(files))
    return _fault(name, validated(files[name], "fault"))


def for_deployment(fault: Fault, deployment: Deployment) -> Fault:
    """Return a fault that names the keys of a deployment instead of their roles.

    Raises FixtureError for a role or a key that the deployment lacks; the text does not disclose a key.
    """
    keys = keys_by_role(deployment)
    if errors := list(_errors(fault, deployment, keys)):
        raise FixtureError(errors)
    return replace(
        fault,
        buckets=tuple(replace(each, keys=tuple(keys.get(key, key) for key in each.keys)) for each in fault.buckets),
        received=with_keys(fault.received, keys),
        steps=tuple(_with_keys(step, keys) for step in fault.steps),
    )


def _errors(fault: Fault, deployment: Deployment, keys: Mapping[str, str]) -> Iterator[SourceError]:
    for place, name in _named_keys(fault):
        if name not in ROLES and name not in deployment.keys:
            problem = f"names a key that {deployment.name} does not have"
            yield fault.source.error(place, problem, _meant(name, deployment))
    needed = {name: place for place, name in _named_keys(fault) if name in ROLES}
    for at, text in _texts(fault.source.data):
        for role, problem in placeholders(text):
            if problem:
                yield fault.source.error(pointer(*at), problem)
            else:
                needed.setdefault(role, pointer(*at))
    for role in needed.keys() - keys.keys():
        problem = f"the deployment {deployment.name} has no {role}, which the fault {fault.name} needs"
        yield fault.source.error(needed[role], problem)


def _named_keys(fault: Fault) -> Iterator[tuple[str, str]]:
    """Yield the place and the text of each key, or role, of a condition or a bucket."""
    for index, step in enumerate(fault.steps):
        if step.when.key is not None:
            yield pointer("do", index, "when", "key"), step.when.key
    for index, each in enumerate(fault.buckets):
        for number, key in enumerate(each.keys):
            yield pointer("buckets", index, "keys", number), key


def _texts(data: Any, *place: str | int) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield the place and the text of every string in a file."""
    if isinstance(data, str):
        yield place, data
    elif isinstance(data, Mapping | list):
        for token, part in data.items() if isinstance(data, Mapping) else enumerate(data):
            yield from _texts(part, *place, token)


def _with_keys(step: Step, keys: Mapping[str, str]) -> Step:
    def compiled(pattern: re.Pattern[str]) -> re.Pattern[str]:
        return re.compile(with_keys(pattern.pattern, keys, re.escape), pattern.flags)

    when = replace(
        step.when,
        path=compiled(step.when.path),
        request=compiled(step.when.request),
        body=compiled(step.when.body) if step.when.body else None,
        key=keys.get(step.when.key or "", step.when.key),
    )
    return replace(
        step,
        when=when,
        answer_as=with_keys(step.answer_as, keys),
        recall=with_keys(step.recall, keys),
        changes=Changes(**with_keys(vars(step.changes), keys)),
        store=with_keys(step.store, keys),
    )


def _meant(name: str, deployment: Deployment) -> str:
    near = nearest(name, [*ROLES, *deployment.keys])
    if near is None:
        return "name one of its keys, or a role"
    return f"did you mean {near if near in ROLES else masked(near)}?"


def _files(fixtures: Path) -> dict[str, Path]:
    """Return the files by name; where both folders have one, the fault's."""
    return {name: path for kind in reversed(FOLDERS) for name, path in yaml_files(fixtures / kind).items()}


def _fault(name: str, source: Source) -> Fault:
    data = source.data
    return Fault(
        name,
        data["description"],
        tuple(data["breaks"]),
        tuple(_bucket(each) for each in data.get("buckets", ())),
        data.get("received", ()),
        tuple(_step(each) for each in data.get("do", ())),
        source,
    )


def _bucket(data: Mapping[str, Any]) -> Bucket:
    burst = data.get("burst")
    return Bucket(tuple(data.get("keys", ())), data.get("rps"), None if burst is None else int(burst))


def _step(data: Mapping[str, Any]) -> Step:
    changes = Changes(**{each.name: data[each.name] for each in fields(Changes) if each.name in data})
    return Step(
        _when(data.get("when", {})),
        data.get("wait", 0),
        data.get("as"),
        data.get("recall"),
        changes,
        data.get("store"),
    )


def _when(data: Mapping[str, Any]) -> When:
    return When(
        path=re.compile(data.get("path", "/usage")),
        request=re.compile(data.get("request", ""), FLAGS),
        body=re.compile(data["body"], FLAGS) if "body" in data else None,
        status=tuple(data.get("status", ())),
        key=data.get("key"),
        after=int(data.get("after", 0)),
        first=data.get("first"),
        every=int(data.get("every", 1)),
    )
