"""What was switched on while the mock runs, for everybody and for single keys, and what outranks what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

from mock_server.simulation.clock import AS_BASE, Standing

NONE = "none"

# What the name of a fault's use begins with that was switched on while the mock runs.
SWITCHED_ON = "use "


@dataclass(frozen=True)
class FaultUse:
    """A fault in use: the first `after` requests pass, then it acts on `times` of them (None: on all).

    `use` tells one use from another of the same fault: what a fault remembers belongs to the use.
    `is_at_once` says that it acts whenever this allows it, whatever turns and keys its file names.
    """

    name: str
    after: int = 0
    times: int | None = None
    use: str = ""
    is_at_once: bool = False

    def is_turn(self, count: int) -> bool:
        """Whether it acts on the count'th request, from 1."""
        return count > self.after and (self.times is None or count <= self.after + self.times)

    def left(self, count: int) -> int | None:
        """Return on how many requests it still acts when it has met `count` of them; None for all."""
        return None if self.times is None else min(self.times, max(0, self.after + self.times - count))


@dataclass(frozen=True)
class Behaviour:
    """How requests are answered; None leaves a thing to what ranks lower, NONE says that there is none."""

    scenario: str | None = None
    code: int | None = None
    fault: FaultUse | None = None
    delay: str | None = None

    def __str__(self) -> str:
        """Return what is at work in words, such as `scenario=heavy, delay=0.2`; empty where nothing is."""
        named = {name: value for name, value in vars(self).items() if value is not None}
        return ", ".join(f"{name}={getattr(value, 'name', value)}" for name, value in named.items())

    @property
    def is_quiet(self) -> bool:
        """Whether it leaves an answer as the account has it: no code, no fault, no delay."""
        no_fault = self.fault is None or self.fault.name == NONE
        return no_fault and self.code is None and self.delay in (None, NONE)

    def over(self, lower: Behaviour) -> Behaviour:
        """Return the two of them as one, in which this one ranks higher."""
        ours = {each.name: value for each in fields(self) if (value := getattr(self, each.name)) is not None}
        return replace(lower, **ours)


NOTHING = Behaviour()


@dataclass(frozen=True)
class Settings:
    """Everything that was switched on; a change makes a new object.

    Precedence, the only place where it is stated in code: one request over one key over everybody
    over the start. A scenario's own fault and delay rank below all of them.
    """

    start: Behaviour = NOTHING
    everybody: Behaviour = NOTHING
    keys: Mapping[str, Behaviour] = field(default_factory=dict)
    made: frozenset[str] = frozenset()
    clock: Standing = AS_BASE

    def behaviour(self, key: str, request: Behaviour = NOTHING) -> Behaviour:
        """Return how a request with a key (empty: without one) is answered."""
        found = request
        for lower in (self.keys.get(key, NOTHING), self.everybody, self.start):
            found = found.over(lower)
        return found

    @cached_property
    def standing(self) -> dict[str, Behaviour]:
        """What `Simulator.standing` has found out under these settings."""
        return {}

    @cached_property
    def is_plain(self) -> bool:
        """Whether nothing at all was switched on."""
        return all(each == NOTHING for each in self.behaviours)

    @property
    def faults(self) -> list[FaultUse]:
        """The faults that somebody may meet."""
        return [each.fault for each in self.behaviours if each.fault and each.fault.name != NONE]

    def put(self, key: str | None, wanted: Behaviour) -> Settings:
        """Return the settings with just this for one key, or for everybody (None)."""
        if key is None:
            return replace(self, everybody=wanted)
        return replace(self, keys={**self.keys, key: wanted})

    def own(self, key: str | None) -> Behaviour:
        """Return just what is switched on for one key, or for everybody (None)."""
        return self.everybody if key is None else self.keys.get(key, NOTHING)

    def without(self, key: str) -> Settings:
        """Return the settings with nothing for one key."""
        return replace(self, keys={name: each for name, each in self.keys.items() if name != key})

    @property
    def behaviours(self) -> Iterable[Behaviour]:
        """Everything that was switched on, for whomever."""
        return (self.start, self.everybody, *self.keys.values())
