"""The simulator: the accounts of a deployment, and everything that can be changed at run time."""

from __future__ import annotations

import random
import secrets
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import sha256
from typing import Any

from mock_server.fixtures.delays import parse_delay
from mock_server.fixtures.deployments import MAX_SAFE_INTEGER, Calls, Key, KeyFacts, Traffic, check_facts, key_of
from mock_server.fixtures.files import NONE
from mock_server.fixtures.library import Library
from mock_server.masking import mask_key
from mock_server.simulation.accounts import Account
from mock_server.simulation.clock import END_OF_TIME, ClockRangeError, MockClock
from mock_server.simulation.overrides import (
    NO_OVERRIDE,
    RUNTIME_USE,
    Answer,
    FaultUse,
    ForcedResponse,
    Override,
    Overrides,
)
from mock_server.simulation.state import BucketSpec, MemoryState, StaleError, State
from usage_contract.suggestions import LISTED, closest_match, first_of


class UnknownKeyError(LookupError):
    """The mock does not have a key; the text does not quote it.

    Args:
        key: The unknown key.
        shown: The keys of the mock, each with its name for people.
        hint: A hint where no key is similar.
    """

    def __init__(self, key: str, shown: dict[str, str], hint: str = "create it first") -> None:
        by_name = {mask_key(each): name for each, name in shown.items()} | shown
        if match := closest_match(key, by_name):
            advice = f"did you mean {by_name[match]}?"
        else:
            advice = f"it has {first_of(list(shown.values()), LISTED) or 'none'}; {hint}"
        super().__init__(f"the mock does not have this key; {advice}")


class RevokedKeyError(LookupError):
    """A key that its scenario revokes has no account."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the key {mask_key(key)} is revoked by its scenario and has no usage metrics")


class TotalRangeError(ValueError):
    """The usage metrics of a key would no longer be exact in JSON."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the usage metrics of the key {mask_key(key)} would exceed {MAX_SAFE_INTEGER}; reset the key")


class Simulator:
    """The accounts of a deployment with their overrides, and the clock.

    Args:
        library: The fixture files.
        clock: The mock's clock.
        start: The overrides from the start.
        state: The state, where other processes share it.
        seed: The seed of random delays.
    """

    def __init__(
        self,
        library: Library,
        clock: MockClock,
        *,
        start: Override = NO_OVERRIDE,
        state: State | None = None,
        seed: int = 0,
    ) -> None:
        self.library, self.clock = library, clock
        self.overrides = Overrides(start)
        self.state: State = state or MemoryState()
        # By key, and by the scenario of a single request; None for the other requests.
        self._accounts: dict[tuple[str, str | None], Account] = {}
        #: The number of exchanges on which each fault and each status code has acted, by its use.
        self.acted: Counter[str] = Counter()
        self._random, self._seed = random.Random(seed), seed  # noqa: S311 - for delays only
        start.check(library)

    @property
    def keys(self) -> list[str]:
        """The keys of the deployment, then the keys that were created at run time."""
        deployed = self.library.deployment.keys
        return [*deployed, *sorted(self.overrides.created_keys.keys() - deployed.keys())]

    def has(self, key: str) -> bool:
        """Return whether the mock has a key."""
        return key in self.library.deployment.keys or key in self.overrides.created_keys

    def label(self, key: str) -> str | None:
        """Return the name for people of a key."""
        return self._own_facts(self.library, key).label

    def find(self, name: str) -> str:
        """Return the key with a name, which is the key itself or its identifier.

        Raises:
            UnknownKeyError: The mock does not have the key.
        """
        if self.has(name):
            return name
        key = next((key for key in self.keys if mask_key(key) == name), None)
        if key is None:
            raise self.unknown_key(name)
        return key

    def unknown_key(self, key: str, **hint: str) -> UnknownKeyError:
        """Return the error for a key that the mock does not have."""
        shown = self.library.deployment.shown
        return UnknownKeyError(key, {each: self.label(each) or shown(each) for each in self.keys}, **hint)

    # Reading, for each request.

    def resolve(
        self, key: str, request: Override, *, overrides: Overrides | None = None, due: Override | None = None
    ) -> Override:
        """Return the override of a request with a key, with the scenario's own status code, fault and delay.

        Args:
            key: The key.
            request: The override of the request itself.
            overrides: The overrides in force when the request was received; None for the latest.
            due: The override of the response that is due; see `Overrides.merged`.

        Raises:
            UnknownNameError: Another process has switched on a scenario or fault that this one does not have.
            FixtureError: The file of the scenario or fault cannot be used.
        """
        override = (overrides or self.overrides).merged(key, request, due=due)
        override.check(self.library)
        if override.active_scenario is None:
            return override
        scenario = self.library.scenario(override.active_scenario)
        faults = (FaultUse(scenario.fault, use=f"scenario {scenario.name}"),) if scenario.fault else None
        has_code = scenario.code is not None and due is None
        answer = Answer((ForcedResponse(scenario.code),)) if has_code else None
        return override.merged_over(Override(answer=answer, faults=faults, delay=scenario.delay))

    def effective(self, key: str) -> Override:
        """Return the override of a request without preferences; it is computed once."""
        if self.overrides.is_empty:
            return NO_OVERRIDE
        name = key if self.has(key) else ""  # the number of unknown keys is not bounded
        override = self.overrides.effective.get(name)
        if override is None:
            override = self.overrides.effective[name] = self.resolve(name, NO_OVERRIDE)
        return override

    def account(self, key: str, scenario: str | None = None) -> Account | None:
        """Return the account of a key, in the scenario of a single request where it has one.

        Returns None for an unknown or revoked key.
        """
        account = self._accounts.get((key, scenario))
        if account is None and (account := self.peek(key, scenario)):
            self._accounts[key, scenario] = account
        return account

    def peek(self, key: str, scenario: str | None = None) -> Account | None:
        """Return the account of a key without opening it: an account begins with its first request."""
        if (key, scenario) in self._accounts or not self.has(key):
            return self._accounts.get((key, scenario))
        if scenario is None:
            return self._open(key, key, self.overrides.merged(key).scenario)
        return self._open(f"{key}\0{scenario}", key, scenario)

    def draw_delay(self, text: str) -> float:
        """Draw the seconds of a delay."""
        return parse_delay(text).draw(self._random)

    def bucket(self, account: Account, faults: Iterable[FaultUse] | None) -> BucketSpec:
        """Return the bucket of an account: its own, or the one that the last fault with a bucket gives it."""
        found = account.bucket
        for use in faults or ():
            found = self._fault_bucket(account, use) or found
        return found

    def _fault_bucket(self, account: Account, use: FaultUse) -> BucketSpec | None:
        for index, bucket in enumerate(self.library.fault(use.name).buckets):
            keys = bucket.keys or tuple(self.keys)
            if account.api_key in keys:
                stated = (self.peek(keys[0]) or account).limit
                rps, burst = stated.rps if bucket.rps is None else float(bucket.rps), bucket.burst or stated.burst
                name = f"{use.name} {index} {use.use}\0{rps} {burst}"
                return BucketSpec(name, rps, burst, interval=bucket.interval)
        return None

    # Changes at run time.

    async def switch(self, key: str | None = None, **changes: Any) -> None:
        """Set or (None) clear members of the override of a key, or of everyone; a new scenario restarts the account.

        Args:
            key: The key; None for everyone.
            changes: Members of an Override; other members stay as the latest overrides have them.

        Raises:
            UnknownKeyError: The mock does not have the key.
            UnknownNameError: The fixture folder does not have the scenario or fault.
            FixtureError: The file of the scenario or fault cannot be used.
            DelayError: The delay is not valid.
        """
        await self.catch_up()
        self._check_key(key)
        Override(**changes).check(self.library)
        if uses := changes.get("faults"):
            changes["faults"] = _at_run_time(uses)
        if answer := changes.get("answer"):
            changes["answer"] = replace(answer, use=_new_use())
        restart = changes.get("scenario") is not None
        await self._change(
            lambda old: old.with_override(key, replace(old.override_for(key), **changes)), key, restart=restart
        )
        uses = {turns.use for turns in self.overrides.turns}
        self.acted = Counter({use: count for use, count in self.acted.items() if use in uses})

    async def make_key(
        self,
        key: str,
        scenario: str | None = None,
        *,
        faults: tuple[FaultUse, ...] | None = None,
        facts: KeyFacts | None = None,
    ) -> None:
        """Create a key; an existing key restarts.

        Args:
            key: The key.
            scenario: Its scenario.
            faults: Its faults.
            facts: Its facts; without them, a key of the deployment keeps its own, and another key is unused.

        Raises:
            UnknownNameError: The fixture folder does not have the scenario or a fault.
            FixtureError: The file of the scenario or a fault cannot be used.
            FactsError: A deployment file must not have the facts.
        """
        override, facts = Override(scenario=scenario, faults=faults and _at_run_time(faults)), facts or {}
        override.check(self.library)
        check_facts(facts)
        await self._change(
            lambda old: replace(old.with_override(key, override), created_keys={**old.created_keys, key: facts}),
            key,
            restart=True,
        )

    async def record(self, key: str, traffic: Traffic) -> None:
        """Record simulated traffic of a key.

        Raises what `check_room` raises.
        """
        await self.catch_up()
        account = self.check_room(key, [calls for protocols in traffic.values() for calls in protocols.values()])
        await self.state.record(account.ref, self.clock(), traffic)
        account.record(traffic)

    def check_room(self, key: str, calls: Iterable[Calls]) -> Account:
        """Return the account that is to record calls.

        Raises:
            UnknownKeyError: The mock does not have the key.
            RevokedKeyError: The scenario of the key revokes it.
            TotalRangeError: The usage metrics would exceed the largest exact integer in JSON.
        """
        account = self.account(key) if isinstance(key, str) else None
        if account is None:
            self._check_key(key)
            raise RevokedKeyError(key)
        account.grow(self.clock())
        calls, counters = list(calls), account.counters
        requests = counters.total + sum(call.requests for call in calls)
        if max(requests, counters.bytes + sum(call.bytes for call in calls)) > MAX_SAFE_INTEGER:
            raise TotalRangeError(key)
        return account

    async def adjust_clock(self, adjust: Callable[[MockClock], None]) -> None:
        """Freeze, resume, set or advance the clock of every process.

        Raises:
            ClockRangeError: The new time has no date.
        """

        def adjusted(old: Overrides) -> Overrides:
            clock = MockClock(self.clock.base, old.clock)
            adjust(clock)
            if clock() > END_OF_TIME:
                raise ClockRangeError(f"the mock's time ends {END_OF_TIME} seconds after 1970")
            return replace(old, clock=clock.offset)

        await self._change(adjusted)

    async def reset(self, key: str | None = None) -> None:
        """Reset a key, or everything (None), to the start, including the clock.

        A created key stays, with the facts that it was created with; a reset of everything removes it.
        """
        if key is None:
            await self._change(lambda _: Overrides(self.overrides.start), restart=True, force=True)
            await self.state.forget_counts()
            self.acted.clear()
            self._random.seed(self._seed)
        else:
            await self.catch_up()
            self._check_key(key)
            await self._change(lambda old: old.with_override(key, NO_OVERRIDE), key, restart=True)

    async def catch_up(self) -> None:
        """Apply the changes of other processes."""
        latest = await self.state.latest()
        if latest is None:
            return
        old = self.overrides
        self.overrides, self.clock.offset = replace(latest, start=old.start), latest.clock
        self._close(
            key
            for key, _ in self._accounts
            if self.overrides.created_keys.get(key) != old.created_keys.get(key)
            or self.overrides.merged(key).scenario != old.merged(key).scenario
        )

    def swap_library(self, library: Library) -> None:
        """Replace the fixture files.

        An account with other facts restarts; its bucket stays if its limit is the same.

        Raises:
            UnknownNameError: The new files lack a scenario or fault that is switched on. Nothing is changed.
            FixtureError: The file of such a scenario or fault cannot be used. Nothing is changed.
        """
        self.check_library(library)
        before, self.library = self.library, library
        scenarios = {key: self.overrides.merged(key).active_scenario for key, _ in self._accounts}
        self._close(
            key
            for key, scenario in scenarios.items()
            if not self.has(key) or self._facts(before, key, scenario) != self._facts(library, key, scenario)
        )
        self._accounts = {place: account for place, account in self._accounts.items() if place[1] is None}
        for account in self._accounts.values():
            account.derived.clear()
        self.overrides.effective.clear()

    def check_library(self, library: Library) -> None:
        """Check that fixture files have every scenario and fault that is switched on.

        Raises what `swap_library` raises.
        """
        for override in self.overrides.all:
            override.check(library)

    def _check_key(self, key: str | None) -> None:
        if key is not None and not isinstance(key, str):
            raise TypeError(f"key: {key!r} is not a text; other arguments have names, such as times=2")
        if key is not None and not self.has(key):
            raise self.unknown_key(key)

    async def _change(
        self,
        change: Callable[[Overrides], Overrides],
        key: str | None = None,
        *,
        restart: bool = False,
        force: bool = False,
    ) -> None:
        """Change the overrides; a new scenario or `restart` restarts the account of a key, or all accounts (None)."""
        while True:
            old = replace(self.overrides, clock=self.clock.offset)
            new = change(old)
            restarts = restart or new.override_for(key).scenario != old.override_for(key).scenario
            try:
                await self.state.change(new, restart=restarts, key=key, force=force)
                break
            except StaleError:
                await self.catch_up()
        self.overrides, self.clock.offset = new, new.clock
        if restarts:
            self._close((key for key, _ in self._accounts) if key is None else [key])

    def _close(self, keys: Iterable[str]) -> None:
        closed = set(keys)
        self._accounts = {place: account for place, account in self._accounts.items() if place[0] not in closed}

    def _own_facts(self, library: Library, key: str) -> Key:
        """Return the facts of a key without a scenario: those that it was created with, or those of a deployment."""
        created = self.overrides.created_keys.get(key)
        return key_of(created) if created else library.deployment.keys.get(key, Key())

    def _facts(self, library: Library, key: str, scenario: str | None) -> Key | None:
        return library.in_scenario(self._own_facts(library, key), scenario)

    def _open(self, name: str, key: str, scenario: str | None) -> Account | None:
        facts = self._facts(self.library, key, None if scenario == NONE else scenario)
        if facts is None:
            return None
        mark = "" if isinstance(self.state, MemoryState) else sha256(repr(facts).encode()).hexdigest()[:16]
        return Account(name, key, facts, now=self.clock(), mark=mark)


def _at_run_time(uses: Iterable[FaultUse]) -> tuple[FaultUse, ...]:
    """Return uses of faults that are switched on now, each with an identifier that no other use has in any process."""
    return tuple(replace(use, use=_new_use()) for use in uses)


def _new_use() -> str:
    return f"{RUNTIME_USE}{secrets.token_hex(8)}"
