"""Overrides: behaviour that is switched on for all keys, one key or one request, and its precedence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Any

from mock_server.fixtures.delays import parse_delay
from mock_server.fixtures.files import NONE
from mock_server.options import fault_names
from mock_server.simulation.clock import NO_OFFSET, ClockOffset

if TYPE_CHECKING:
    from mock_server.fixtures.deployments import KeyFacts
    from mock_server.fixtures.library import Library

# The use of a fault that was switched on at run time begins with this text.
RUNTIME_USE = "use "


@dataclass(frozen=True, kw_only=True)
class Turns:
    """The requests on which a fault or a status code acts.

    Attributes:
        after: The number of requests that pass before.
        times: The number of requests on which it acts; None for all.
        use: Distinguishes two uses that are otherwise equal: each has a memory and a count of its own.
    """

    after: int = 0
    times: int | None = None
    use: str = ""

    @property
    def is_limited(self) -> bool:
        """Whether requests must be counted."""
        return bool(self.after or self.times)

    def is_turn(self, count: int) -> bool:
        """Return whether the count'th request, from 1, is one of them."""
        return count > self.after and (self.times is None or count <= self.after + self.times)

    def left(self, count: int) -> int | None:
        """Return how many of them are left after `count` requests; None for all."""
        return None if self.times is None else min(self.times, max(0, self.after + self.times - count))


@dataclass(frozen=True)
class FaultUse(Turns):
    """A fault in use.

    Attributes:
        name: The name of the fault.
        is_unconditional: The fault ignores the turns and keys that its file names.
    """

    name: str
    is_unconditional: bool = False


@dataclass(frozen=True)
class ForcedResponse:
    """A response that an override demands.

    Attributes:
        code: The status code; None for that of the account.
        body: The body; None for that of the status code.
        headers: Header fields that replace those of the same name; None for a field to remove.
        fault: The names of faults that change this response only; None for those of the override.
        delay: The delay of this response only; None for that of the override.
    """

    code: int | None
    body: str | None = None
    headers: Mapping[str, str | None] = field(default_factory=dict)
    fault: str | None = None
    delay: str | None = None

    @property
    def is_code_only(self) -> bool:
        """Whether this response has neither a fault nor a delay of its own."""
        return self.fault is None and self.delay is None

    def own_override(self, use: str = "") -> Override:
        """Return the override that acts on this response only: its fault, with an identifier, and its delay."""
        faults = None if self.fault is None else fault_uses(self.fault, use=use, is_unconditional=True)
        return Override(faults=faults, delay=self.delay)


@dataclass(frozen=True)
class Answer(Turns):
    """The responses that an override demands: the same one for each of its requests, or a sequence.

    Attributes:
        responses: One response, or one for each request.
    """

    responses: tuple[ForcedResponse, ...]

    @property
    def overrides(self) -> tuple[Override, ...]:
        """The overrides of the requests that get these responses."""
        return tuple(map(self._override, self.responses))

    def override_at(self, count: int) -> Override:
        """Return the override of the count'th request, from 1; an empty one where it is not one of the requests."""
        if not self.is_turn(count):
            return NO_OVERRIDE
        return self._override(self.responses[(count - self.after - 1) % len(self.responses)])

    def _override(self, response: ForcedResponse) -> Override:
        answer = None if response.code is None else replace(self, responses=(response,))
        return replace(response.own_override(self.use), answer=answer)


@dataclass(frozen=True)
class Override:
    """Overrides of one level of precedence; None leaves a member to the next lower level.

    Attributes:
        scenario: The name of a scenario, or NONE.
        answer: Responses with a status code; in the override of one request, the response to it.
        faults: Faults, in the order in which they are applied; an empty tuple switches faults off.
        delay: A delay as a text, or NONE.
        server: The variant of the whole server, which is applied before the faults; only the start has one.
    """

    scenario: str | None = None
    answer: Answer | None = None
    faults: tuple[FaultUse, ...] | None = None
    delay: str | None = None
    server: FaultUse | None = None

    def __str__(self) -> str:
        """Return the members that are set, such as `scenario=heavy, delay=0.2`."""
        names = self.fault_names
        fault = f'"{names}"' if names and " " in names else names
        members = {"scenario": self.scenario, "code": self.code, "fault": fault, "delay": self.delay}
        return ", ".join(f"{name}={value}" for name, value in members.items() if value is not None)

    @property
    def code(self) -> int | None:
        """The status code."""
        return None if self.answer is None else self.answer.responses[0].code

    @property
    def fault_names(self) -> str | None:
        """The names of the faults, separated by spaces; NONE if faults are switched off."""
        return None if self.faults is None else " ".join(use.name for use in self.faults) or NONE

    @property
    def applied(self) -> tuple[FaultUse, ...]:
        """The variant of the server and the faults, in the order in which they are applied."""
        return (*((self.server,) if self.server else ()), *(self.faults or ()))

    @property
    def active_scenario(self) -> str | None:
        """The scenario, unless it is switched off."""
        return None if self.scenario == NONE else self.scenario

    @property
    def active_delay(self) -> str | None:
        """The delay, unless it is switched off."""
        return None if self.delay == NONE else self.delay

    @property
    def is_passthrough(self) -> bool:
        """Whether the response of the account stays unchanged: no status code, no fault and no delay."""
        return not self.applied and self.answer is None and self.active_delay is None

    def check(self, library: Library) -> None:
        """Check the delay, and that a fixture folder has the scenario and the faults.

        Raises:
            UnknownNameError: The folder does not have the scenario or a fault.
            FixtureError: The file of the scenario or a fault cannot be used.
            DelayError: The delay is not valid.
        """
        if self.active_scenario is not None:
            library.scenario(self.active_scenario)
        for use in self.applied:
            library.fault(use.name)
        if self.active_delay is not None:
            parse_delay(self.active_delay)
        for response in self.answer.responses if self.answer else ():
            if not response.is_code_only:
                response.own_override().check(library)

    def merged_over(self, lower: Override) -> Override:
        """Return both overrides as one; this one takes precedence."""
        members = {member.name: value for member in fields(self) if (value := getattr(self, member.name)) is not None}
        return replace(lower, **members)


NO_OVERRIDE = Override()


def fault_uses(names: str | Iterable[str], **members: Any) -> tuple[FaultUse, ...]:
    """Return the uses of faults, each one once.

    Args:
        names: The names of the faults, as in an option; NONE alone switches faults off.
        members: The other members of each use.
    """
    listed = list(dict.fromkeys(fault_names(names)))
    return () if listed == [NONE] else tuple(FaultUse(name, **members) for name in listed)


@dataclass(frozen=True)
class Overrides:
    """All overrides; a change makes a new object.

    Precedence: request > key > everyone > start > scenario.
    This is the only place that states it in code; the simulator adds the scenario's own override below all others.
    """

    start: Override = NO_OVERRIDE
    everyone: Override = NO_OVERRIDE
    keys: Mapping[str, Override] = field(default_factory=dict)
    created_keys: Mapping[str, KeyFacts] = field(default_factory=dict)
    clock: ClockOffset = NO_OFFSET
    #: A cache of `Simulator.effective`, by key; it lasts as long as these overrides.
    effective: dict[str, Override] = field(default_factory=dict, init=False, compare=False)

    def merged(self, key: str, request: Override = NO_OVERRIDE, *, due: Override | None = None) -> Override:
        """Return the override of a request with a key; an empty text means a request without one.

        Args:
            key: The key.
            request: The override of the request itself.
            due: The override of the response that is due, where the answer in force depends on a count.
                It acts at the level of this answer, so a higher level outranks it.
        """
        levels = [request, self.override_for(key), self.everyone, self.start]
        if due is not None:
            owner = next(index for index, level in enumerate(levels) if level.answer)
            levels[owner] = due.merged_over(levels[owner])
        override = reduce(Override.merged_over, levels)
        return override if due is None else replace(override, answer=due.answer)

    @cached_property
    def is_empty(self) -> bool:
        """Whether no override is set."""
        return all(override == NO_OVERRIDE for override in self.all)

    @property
    def all(self) -> tuple[Override, ...]:
        """The overrides of every level."""
        return (self.start, self.everyone, *self.keys.values())

    @cached_property
    def faults(self) -> list[FaultUse]:
        """The faults of every level."""
        of_answers = [each for override in self.all if override.answer for each in override.answer.overrides]
        return [use for override in (*self.all, *of_answers) for use in override.applied]

    @property
    def turns(self) -> list[Turns]:
        """The faults and the status codes of every level."""
        uses = [use for override in self.all for use in override.faults or ()]
        return [*uses, *(override.answer for override in self.all if override.answer)]

    def override_for(self, key: str | None) -> Override:
        """Return the override of one key, or of everyone (None)."""
        return self.everyone if key is None else self.keys.get(key, NO_OVERRIDE)

    def with_override(self, key: str | None, override: Override) -> Overrides:
        """Return these overrides with another one for a key, or for everyone (None)."""
        if key is None:
            return replace(self, everyone=override)
        return replace(self, keys={**self.keys, key: override})
