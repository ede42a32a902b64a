"""A fixture folder as the running mock sees it: each file is read when it is first asked for."""

from __future__ import annotations

from pathlib import Path

from mock_server.faults import Fault, for_deployment, load_fault
from mock_server.fixtures import Deployment, Key, folder
from mock_server.names import UnknownNameError
from mock_server.scenarios import Scenario, load_scenario
from mock_server.settings import NONE, Behaviour
from mock_server.validation import FixtureError

# What is raised for a scenario or a fault that there is not, or that cannot be used.
UNUSABLE = (UnknownNameError, FixtureError)


class Library:
    """The scenarios and faults of a folder, for the keys of one deployment."""

    def __init__(self, deployment: Deployment, fixtures: Path | None = None) -> None:
        self.deployment = deployment
        self._fixtures = fixtures
        self._scenarios: dict[str, Scenario] = {}
        self._faults: dict[str, Fault] = {}

    @property
    def folder(self) -> Path:
        """The folder."""
        return self._fixtures or folder()

    def scenario(self, name: str) -> Scenario:
        """Return a scenario.

        Raises UnknownNameError, and FixtureError for a file that cannot be used, or whose fault names other keys.
        """
        if name not in self._scenarios:
            scenario = load_scenario(name, self._fixtures)
            if scenario.fault:
                self.fault(scenario.fault)
            self._scenarios[name] = scenario
        return self._scenarios[name]

    def fault(self, name: str) -> Fault:
        """Return a fault or a variant.

        Raises UnknownNameError, and FixtureError for a file that cannot be used, or that names a key or a role
        which the deployment lacks.
        """
        if name not in self._faults:
            self._faults[name] = for_deployment(load_fault(name, self._fixtures), self.deployment)
        return self._faults[name]

    def check(self, behaviour: Behaviour) -> None:
        """Raise what `scenario` and `fault` raise, if there is something that cannot be used."""
        if behaviour.scenario not in (None, NONE):
            self.scenario(behaviour.scenario)
        if behaviour.fault and behaviour.fault.name != NONE:
            self.fault(behaviour.fault.name)

    def facts(self, key: str, scenario: str | None) -> Key | None:
        """Return what a key is and did in a scenario (None: in none); a revoked one is nothing.

        Raises what `scenario` raises.
        """
        own = self.deployment.keys.get(key, Key())
        if scenario in (None, NONE):
            return own
        found = self.scenario(scenario)
        return None if found.revoked else found.key or own

    def add(self, fault: Fault) -> None:
        """Take in a fault that did not come from the folder."""
        self._faults[fault.name] = for_deployment(fault, self.deployment)
