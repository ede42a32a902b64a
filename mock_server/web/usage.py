"""The simulation of GET /usage: who asks, whether they may, and what they are told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from mock_server.fixtures.deployments import Calls, RateLimit
from mock_server.simulation.accounts import Account
from mock_server.simulation.overrides import NONE, NOTHING, Behaviour
from mock_server.simulation.simulator import Simulator
from mock_server.simulation.state import MemoryState, Taken
from mock_server.simulation.usage_counters import Tally
from mock_server.simulation.usage_metrics import usage_figures
from mock_server.web.responses import REASON, Answer, documented_answer, reason_of, refusal
from usage_contract import ContractError, Operation

NO_STORE = {"Cache-Control": "no-store"}
CHALLENGE = {"WWW-Authenticate": 'ApiKey realm="usage"'}

# What stands before the application leaves in a request: how it is to be answered, and in which scenario of its own.
WANTED = web.RequestKey("wanted", Behaviour)
SCENARIO = web.RequestKey("scenario", str)

# What of it was done: the names of preferences. A request and its clones share the set.
HONOURED = web.RequestKey("honoured", set[str])


class Usage:
    """Answers GET /usage for the keys of a simulator.

    `cost` is the number of tokens that an answered request takes: 0 lifts the rate limit. `headers` are
    in every answer.
    Raises ContractError for a document whose operation cannot be simulated.
    """

    def __init__(
        self,
        operation: Operation,
        simulator: Simulator,
        cost: int,
        unknown_key_status: int,
        headers: Mapping[str, str],
    ) -> None:
        if operation.key_header is None:
            raise ContractError(f"{operation}: the document asks for no API key, the mock has figures only by key")
        self._operation = operation
        self.key_header = operation.key_header
        self.path = operation.path if operation.method == "GET" else None
        self._simulator = simulator
        self._cost, self._headers = cost, headers
        self._missing_key = _refused(operation, 401, "missing-key", headers)
        self._unknown_key = _refused(operation, unknown_key_status, "unknown-key", headers)
        _refused(operation, 429, "no-token", headers)  # a document without it is told now
        self._limit_headers = _documented_limit_headers(operation)
        self._refuse = lru_cache(maxsize=1024)(self._over_limit)  # few limits, few waits
        self.codes = sorted(int(status) for status in operation.responses)
        simulator.figures = self._figures
        self._figures(
            usage_figures("", RateLimit(), Tally({"": {"fetch": Calls(1)}}))
        )  # a figure it lacks is told at once

    def serve(self, simulator: Simulator) -> None:
        """Go on for another simulator, which another document served so far."""
        self._simulator = simulator
        simulator.tell_by(self._figures)

    def _figures(self, figures: Mapping[str, Any]) -> Answer:
        return documented_answer(self._operation, 200, figures, {**NO_STORE, **self._headers})

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one request in aiohttp's own way."""
        keys = request.headers.getall(self.key_header, ())
        wanted = request.get(WANTED, NOTHING)
        answer = await self.decided(keys, wanted, request.get(SCENARIO))
        request.get(HONOURED, set()).update(self._honoured(keys, wanted, request.get(SCENARIO), answer))
        return answer.response()

    def _honoured(self, keys: Sequence[str], wanted: Behaviour, scenario: str | None, answer: Answer) -> Iterator[str]:
        if wanted.code == answer.status:
            yield "code"
            if scenario not in (None, NONE) and self._simulator.library.scenario(scenario).code == wanted.code:
                yield "scenario"
        if wanted.code in (None, 200) and len(keys) == 1 and self._simulator.has(keys[0]):
            yield "scenario"

    async def decided(self, keys: Sequence[str], wanted: Behaviour = NOTHING, scenario: str | None = None) -> Answer:
        """Return the answer to a request with these keys; only an authorised one reaches the bucket.

        `scenario` is one that this request alone wants.
        """
        if wanted.code not in (None, 200):
            return self._as_wanted(wanted.code, keys, scenario)
        account = self._admitted(keys, scenario)
        if isinstance(account, Answer):
            return account
        now, cost = self._simulator.clock(), 0 if wanted.code == 200 else self._cost
        bucket = self._simulator.bucket(account, wanted.fault)
        taken = await self._simulator.state.take(bucket, now, cost, account.known)
        if taken.news:
            account.restate(taken.news)
        return self._told(account, taken, now)

    def decided_now(self, keys: Sequence[str], state: MemoryState) -> Answer:
        """Do what `decided` does for a request that wants nothing, where the state is in memory."""
        account = self._admitted(keys)
        if isinstance(account, Answer):
            return account
        now = self._simulator.clock()
        return self._told(account, state.take_now(account.bucket, now, self._cost), now)

    def _admitted(self, keys: Sequence[str], scenario: str | None = None) -> Account | Answer:
        if len(keys) != 1 or not keys[0].strip():
            return self._missing_key
        return self._simulator.account(keys[0], scenario) or self._unknown_key

    def _told(self, account: Account, taken: Taken, now: float) -> Answer:
        if taken.remaining is None:
            return self._refuse(account.limit, taken.retry_after)
        return account.usage(taken.remaining, now)

    def _as_wanted(self, code: int, keys: Sequence[str], scenario: str | None) -> Answer:
        if code == 429:
            account = self._admitted(keys, scenario)
            return self._refuse(RateLimit() if isinstance(account, Answer) else account.limit, 1)
        if str(code) in self._operation.responses:
            return _refused(self._operation, code, "code-wanted", self._headers)
        detail = reason_of(code) or "An error that the mock was asked for."
        return refusal(code, detail, "code-wanted", self._headers)

    def _over_limit(self, limit: RateLimit, retry_after: int) -> Answer:
        values = _limit_values(limit, retry_after)
        named = {name: values[name] for name in self._limit_headers}
        return _refused(self._operation, 429, "no-token", {**self._headers, **named})


def _refused(operation: Operation, status: int, reason: str, more: Mapping[str, str]) -> Answer:
    """Build a documented refusal, which says what the document says of its status."""
    response = operation.responses.get(str(status))
    headers = {**NO_STORE, **CHALLENGE} if status == 401 else NO_STORE
    members = {"detail": response.description if response else ""}
    return documented_answer(operation, status, members, {**headers, **more, REASON: reason})


def _documented_limit_headers(operation: Operation) -> tuple[str, ...]:
    names = tuple(operation.responses["429"].headers)
    known = _limit_values(RateLimit(), 1)
    if missing := [name for name in names if name not in known]:
        raise ContractError(f"{operation} 429: the mock cannot fill {', '.join(missing)}; it fills {', '.join(known)}")
    return names


def _limit_values(limit: RateLimit, retry_after: int) -> CIMultiDict[str]:
    rps = int(limit.rps) if limit.rps.is_integer() else limit.rps
    return CIMultiDict({"Retry-After": str(retry_after), "X-RateLimit-Limit": str(rps), "X-RateLimit-Remaining": "0"})
