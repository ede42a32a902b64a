"""The plan of a request: how the dispatcher wants it to be answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from mock_server.simulation.overrides import NO_OVERRIDE, Override


@dataclass(frozen=True)
class RequestPlan:
    """The overrides of one request.

    Attributes:
        override: The override in effect.
        scenario: The scenario that the request itself prefers; None for the scenario of its key.
        preferences: The preferences of the request that the mock knows.
        honoured: The names of the members of the override that have acted; a request and its clones share the set.
    """

    override: Override = NO_OVERRIDE
    scenario: str | None = None
    preferences: Mapping[str, str] = field(default_factory=dict)
    honoured: set[str] = field(default_factory=set)

    @property
    def preference_applied(self) -> str:
        """The value of `Preference-Applied` (RFC 7240, section 3), empty where no preference was honoured."""
        return ", ".join(f"{name}={value}" for name, value in self.preferences.items() if name in self.honoured)


PLAN = web.RequestKey("plan", RequestPlan)
