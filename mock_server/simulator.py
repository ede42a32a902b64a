"""The simulator: everything that the mock pretends, and everything that can be changed while it runs."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import count

from mock_server.accounts import Account, Figures
from mock_server.clock import MockClock
from mock_server.delays import delay
from mock_server.fixtures import Key, Traffic
from mock_server.journal import Journal
from mock_server.library import Library
from mock_server.settings import NONE, NOTHING, Behaviour, FaultUse, Settings
from mock_server.state import BucketSpec, MemoryState, State


class UnknownKeyError(LookupError):
    """A key was named that the mock does not have; the text does not quote it."""

    def __init__(self) -> None:
        super().__init__("the mock has no such key; make it first")


class Simulator:
    """The accounts of a deployment, what was switched on for them, time, and the journal.

    `seed` decides what random delays come to.
    """

    def __init__(
        self,
        library: Library,
        clock: MockClock,
        *,
        start: Behaviour = Behaviour(),  # noqa: B008 - it is frozen
        state: State | None = None,
        journal: Journal | None = None,
        seed: int = 0,
    ) -> None:
        self.library, self.clock = library, clock
        self.settings = Settings(start)
        self.state: State = state or MemoryState()
        self.journal = journal or Journal()
        self.accounts: dict[str, Account] = {}
        self.figures: Figures | None = None  # the operation brings it
        self._start = start
        self._guests: dict[tuple[str, str], Account] = {}
        self._chance, self._seed = random.Random(seed), seed  # noqa: S311 - it only delays
        self._uses = count(1)
        self._check(start, None)

    @property
    def keys(self) -> list[str]:
        """The keys that the mock has: the deployment's, and those that were made."""
        return [*self.library.deployment.keys, *sorted(self.settings.made - self.library.deployment.keys.keys())]

    def has(self, key: str) -> bool:
        """Whether the mock has a key."""
        return key in self.library.deployment.keys or key in self.settings.made

    # What a request meets.

    def behaviour(self, key: str, request: Behaviour) -> Behaviour:
        """Return how a request with a key is answered, the scenario's own fault, code and delay included."""
        found = self.settings.behaviour(key, request)
        if found.scenario in (None, NONE):
            return found
        scenario = self.library.scenario(found.scenario)
        fault = FaultUse(scenario.fault, use=f"scenario {scenario.name}") if scenario.fault else None
        return found.over(Behaviour(code=scenario.code, fault=fault, delay=scenario.delay))

    def account(self, key: str, scenario: str | None = None) -> Account | None:
        """Return the account of a key, in the scenario that one request wants or as it is; None for an unknown key."""
        if scenario is not None:
            return self._guest(key, scenario)
        return self.accounts.get(key) or self._opened(key)

    def peek(self, key: str) -> Account | None:
        """Return what `account` would, and open nothing: an account's time begins with its first request."""
        if key in self.accounts or not self.has(key):
            return self.accounts.get(key)
        return self._open(key, key, self.settings.behaviour(key).scenario)

    def delay(self, text: str) -> float:
        """Draw the seconds of a delay."""
        return delay(text).draw(self._chance)

    def bucket(self, account: Account, fault: FaultUse | None) -> BucketSpec:
        """Return the bucket that an account really has: its own, or the one that a fault gives it."""
        if fault is None or fault.name == NONE:
            return account.bucket
        for index, each in enumerate(self.library.fault(fault.name).buckets):
            keys = each.keys or tuple(self.keys)
            if account.api_key in keys:
                stated = self.account(keys[0]) or account
                rps = stated.limit.rps if each.rps is None else float(each.rps)
                return BucketSpec(f"{fault.name} {index} {fault.use}", rps, each.burst or stated.limit.burst)
        return account.bucket

    # What can be changed while it runs.

    async def switch(self, change: Behaviour, key: str | None = None) -> None:
        """Switch things on, for one key or for everybody; a new scenario begins with new accounts.

        Raises UnknownKeyError, UnknownNameError, DelayError, and FixtureError for a file that cannot be used.
        """
        own = self.settings.everybody if key is None else self.settings.keys.get(key, NOTHING)
        await self.put(change.over(own), key)
        if change.scenario is not None:
            await self._forget(key)

    async def put(self, wanted: Behaviour, key: str | None = None) -> None:
        """Say all that is switched on for one key or for everybody: what is None there is taken back.

        Raises what `switch` raises.
        """
        self._check(wanted, key)
        if wanted.fault and not wanted.fault.use:
            wanted = replace(wanted, fault=replace(wanted.fault, use=f"use {next(self._uses)}"))
        before = self.settings.everybody if key is None else self.settings.keys.get(key, NOTHING)
        await self._change(self.settings.put(key, wanted))
        if wanted.scenario != before.scenario:
            await self._forget(key)

    async def make_key(self, key: str, scenario: str | None = None) -> None:
        """Make a key that was never used, or one in a scenario; one that is there begins anew."""
        change = Behaviour(scenario=scenario)
        self._check(change, None)
        made = self.settings.made | {key}
        await self._change(replace(self.settings.switched(key, change), made=made))
        await self._forget(key)

    async def record(self, key: str, traffic: Traffic) -> None:
        """Count simulated traffic of a key.

        Raises UnknownKeyError.
        """
        account = self.account(key)
        if account is None:
            raise UnknownKeyError
        await self.state.record(account.name, traffic)
        account.record(traffic)

    async def reset(self, key: str | None = None) -> None:
        """Put a key, or everything (None), back to what it was at the start, time and journal included.

        A key that was made stays, as one that was never used; with everything it goes.
        """
        if key is None:
            await self._change(Settings(self._start))
            self.clock.set(self.clock.base())
            self._chance.seed(self._seed)
            await self.state.clear()
        else:
            self._check(Behaviour(), key)
            kept = {name: each for name, each in self.settings.keys.items() if name != key}
            await self._change(replace(self.settings, keys=kept))
        await self._forget(key)
        self.journal.clear(key)

    def _check(self, change: Behaviour, key: str | None) -> None:
        if key is not None and not self.has(key):
            raise UnknownKeyError
        if change.scenario not in (None, NONE):
            self.library.scenario(change.scenario)
        if change.fault and change.fault.name != NONE:
            self.library.fault(change.fault.name)
        if change.delay not in (None, NONE):
            delay(change.delay)

    async def _change(self, settings: Settings) -> None:
        self.settings = settings
        await self.state.change(settings)

    async def _forget(self, key: str | None) -> None:
        gone = [name for name in self.accounts if key in (None, name)]
        guests = [each for each in self._guests if key in (None, each[0])]
        names = [self.accounts.pop(name).name for name in gone] + [self._guests.pop(each).name for each in guests]
        await self.state.forget(*names)

    def _opened(self, key: str) -> Account | None:
        if not self.has(key):
            return None
        account = self._open(key, key, self.settings.behaviour(key).scenario)
        if account:
            self.accounts[key] = account
        return account

    def _guest(self, key: str, scenario: str) -> Account | None:
        if not self.has(key):
            return None
        if (key, scenario) not in self._guests:
            account = self._open(f"{key}\0{scenario}", key, scenario)
            if account is None:
                return None
            self._guests[key, scenario] = account
        return self._guests[key, scenario]

    def _open(self, name: str, key: str, scenario: str | None) -> Account | None:
        facts = self.library.deployment.keys.get(key, Key())
        if scenario not in (None, NONE):
            found = self.library.scenario(scenario)
            if found.revoked:
                return None
            facts = found.key or facts
        assert self.figures is not None  # nobody asks before the operation has its route
        return Account(name, key, facts, self.figures, self.clock())
