"""The simulator: everything that the mock pretends, and everything that can be changed while it runs."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import sha256
from typing import Any

from mock_server.fixtures.delays import delay
from mock_server.fixtures.deployments import MOST, Calls, Traffic
from mock_server.fixtures.library import Library
from mock_server.simulation.accounts import Account, Figures
from mock_server.simulation.clock import END_OF_TIME, EndOfTimeError, MockClock
from mock_server.simulation.journal import Journal, masked
from mock_server.simulation.overrides import NONE, NOTHING, SWITCHED_ON, Behaviour, FaultUse, Settings
from mock_server.simulation.state import BucketSpec, MemoryState, StaleError, State
from mock_server.suggestions import nearest


class UnknownKeyError(LookupError):
    """A key was named that the mock does not have; the text does not quote it."""

    def __init__(self, key: str, keys: Iterable[str]) -> None:
        near = nearest(str(key), keys)
        hint = f"; did you mean {masked(near)}?" if near else "; make it first"
        super().__init__(f"the mock has no such key{hint}")


class RevokedKeyError(LookupError):
    """A key was to do what its scenario, in which it is revoked, leaves no account for."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the key {masked(key)} is revoked by its scenario, and has no figures")


class FullError(ValueError):
    """Figures would no longer be exact in JSON."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the figures of the key {masked(key)} would pass {MOST}; reset it")


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
        self.problem: str | None = None  # why files that have changed are not served
        self._start = start
        self._guests: dict[tuple[str, str], Account] = {}
        self._chance, self._seed = random.Random(seed), seed  # noqa: S311 - it only delays
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
        """Return how a request with a key is answered, the scenario's own fault, code and delay included.

        Raises UnknownNameError, or FixtureError, for what another process has switched on and this one does not have.
        """
        found = self.settings.behaviour(key, request)
        self.library.check(found)
        if found.scenario in (None, NONE):
            return found
        scenario = self.library.scenario(found.scenario)
        fault = FaultUse(scenario.fault, use=f"scenario {scenario.name}") if scenario.fault else None
        return found.over(Behaviour(code=scenario.code, fault=fault, delay=scenario.delay))

    def standing(self, key: str) -> Behaviour:
        """Return how a request with a key is answered that prefers nothing; it is worked out once."""
        if self.settings.is_plain:
            return NOTHING
        known = key if self.has(key) else ""  # of unknown ones there may be any number
        found = self.settings.standing.get(known)
        if found is None:
            found = self.settings.standing[known] = self.behaviour(known, NOTHING)
        return found

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
                stated = (self.peek(keys[0]) or account).limit
                rps, burst = stated.rps if each.rps is None else float(each.rps), each.burst or stated.burst
                return BucketSpec(f"{fault.name} {index} {fault.use}\0{rps} {burst}", rps, burst)
        return account.bucket

    # What can be changed while it runs.

    async def switch(self, key: str | None = None, **changes: Any) -> None:
        """Switch things on, or (None) take them back, for one key or for everybody; a new scenario begins anew.

        `changes` are members of a Behaviour; what is not named stays as the latest settings have it.
        Raises UnknownKeyError, UnknownNameError, DelayError, and FixtureError for a file that cannot be used.
        """
        await self.catch_up()
        self._check(Behaviour(**changes), key)
        if use := changes.get("fault"):  # a new one, which no use in any process is mistaken for
            changes["fault"] = replace(use, use=f"{SWITCHED_ON}{secrets.token_hex(8)}", is_at_once=True)
        anew = changes.get("scenario") is not None
        await self._change(lambda old: old.put(key, replace(old.own(key), **changes)), key, anew=anew)

    async def make_key(self, key: str, scenario: str | None = None) -> None:
        """Make a key that was never used, or one in a scenario; one that is there begins anew."""
        wanted = Behaviour(scenario=scenario)
        self._check(wanted, None)
        await self._change(lambda old: replace(old.put(key, wanted), made=old.made | {key}), key, anew=True)

    async def record(self, key: str, traffic: Traffic) -> None:
        """Count simulated traffic of a key.

        Raises what `check_room` raises.
        """
        await self.catch_up()
        account = self.check_room(key, [calls for each in traffic.values() for calls in each.values()])
        await self.state.record(account.known, self.clock(), traffic)
        account.record(traffic)

    def check_room(self, key: str, calls: Iterable[Calls]) -> Account:
        """Return the account of a key that is to count calls.

        Raises UnknownKeyError, RevokedKeyError, and FullError for calls that are too many.
        """
        account = self.account(key)
        if account is None:
            raise RevokedKeyError(key) if self.has(key) else UnknownKeyError(key, self.keys)
        account.grow(self.clock())
        calls, tally = list(calls), account.tally
        requests = tally.success + tally.fail + sum(each.requests for each in calls)
        if max(requests, tally.bytes + sum(each.bytes for each in calls)) > MOST:
            raise FullError(key)
        return account

    async def turn(self, change: Callable[[MockClock], None]) -> None:
        """Freeze, resume, set or advance the clock, for every process.

        Raises EndOfTimeError.
        """

        def turned(old: Settings) -> Settings:
            clock = MockClock(self.clock.base, old.clock)
            change(clock)
            if clock() > END_OF_TIME:
                raise EndOfTimeError
            return replace(old, clock=clock.standing)

        await self._change(turned)

    async def reset(self, key: str | None = None) -> None:
        """Put a key, or everything (None), back to what it was at the start, time and journal included.

        A key that was made stays, as one that was never used; with everything it goes.
        """
        if key is None:
            await self._change(lambda _: Settings(self._start), anew=True)
            await self.state.forget_counts()
            self._chance.seed(self._seed)
        else:
            await self.catch_up()
            self._check(NOTHING, key)
            await self._change(lambda old: old.without(key), key, anew=True)
        self.journal.clear(key)

    async def catch_up(self) -> None:
        """Take over what other processes have changed."""
        latest = await self.state.latest()
        if latest is None:
            return
        old, self.settings, self.clock.standing = self.settings, replace(latest, start=self._start), latest.clock
        self._close(key for key in tuple(self.accounts) if not self._is_same(key, old))

    def renew(self, library: Library) -> None:
        """Go on with other files.

        An account whose facts are others begins anew; its bucket stays as it is if its limit is the same.
        Raises UnknownNameError, or FixtureError, for something switched on that is no more; nothing is changed then.
        """
        for behaviour in self.settings.behaviours:
            library.check(behaviour)
        before, self.library = self.library, library
        self._close([key for key in self.accounts if self._differs(key, before)])
        self._guests.clear()
        self.settings.standing.clear()

    def tell_by(self, figures: Figures) -> None:
        """Make other answers of the figures from now on."""
        self.figures = figures
        for account in (*self.accounts.values(), *self._guests.values()):
            account.tell_by(figures)

    def _differs(self, key: str, before: Library) -> bool:
        scenario = self.settings.behaviour(key).scenario
        return before.facts(key, scenario) != self.library.facts(key, scenario) or not self.has(key)

    def _check(self, change: Behaviour, key: str | None) -> None:
        if key is not None and not self.has(key):
            raise UnknownKeyError(key, self.keys)
        self.library.check(change)
        if change.delay not in (None, NONE):
            delay(change.delay)

    async def _change(
        self, change: Callable[[Settings], Settings], key: str | None = None, *, anew: bool = False
    ) -> None:
        """Change the settings; with a new scenario, or if it is wanted, a key (None: every one) begins anew."""
        while True:
            old = replace(self.settings, clock=self.clock.standing)
            new = change(old)
            begins = anew or new.own(key).scenario != old.own(key).scenario
            try:
                await self.state.change(new, anew=begins, key=key)
                break
            except StaleError:
                await self.catch_up()
        self.settings, self.clock.standing = new, new.clock
        if begins:
            self._close(tuple(self.accounts) if key is None else [key])

    def _is_same(self, key: str, old: Settings) -> bool:
        return self.has(key) and self.settings.behaviour(key).scenario == old.behaviour(key).scenario

    def _close(self, keys: Iterable[str]) -> None:
        gone = set(keys)
        for key in gone:
            self.accounts.pop(key, None)
        self._guests = {place: guest for place, guest in self._guests.items() if place[0] not in gone}

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
        facts = self.library.facts(key, scenario)
        if facts is None:
            return None
        assert self.figures is not None  # nobody asks before the operation has its route
        mark = "" if isinstance(self.state, MemoryState) else sha256(repr(facts).encode()).hexdigest()[:16]
        return Account(name, key, facts, self.figures, self.clock(), mark)
