"""The operation GET /usage: authentication, rate limit and response."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import orjson
from aiohttp import web
from multidict import CIMultiDict

from mock_server.fixtures.deployments import Calls, Key, RateLimit
from mock_server.fixtures.files import NONE
from mock_server.masking import has_key_in_target
from mock_server.options import MockOptions
from mock_server.simulation.accounts import Account
from mock_server.simulation.overrides import NO_OVERRIDE, Override
from mock_server.simulation.simulator import Simulator
from mock_server.simulation.state import MemoryState, TakeResult
from mock_server.web.answers import with_answer
from mock_server.web.cors import CROSS_ORIGIN
from mock_server.web.reasons import NO_KEY, UNKNOWN_KEY, reason_of_unknown
from mock_server.web.responses import REASON, PreparedResponse, documented_response, error_response, reason_phrase
from usage_contract import ContractError, Operation

CHALLENGE = {"WWW-Authenticate": 'ApiKey realm="usage"'}

# JSON text never contains a raw NUL, so this marks the place of `rate_limit.remaining` in a rendered body.
REMAINING = b"\0"


@dataclass(frozen=True)
class RequestPlan:
    """The overrides of one request.

    Attributes:
        override: The override in effect.
        scenario: The scenario that the request itself prefers; None for the scenario of its key.
        preferences: The preferences of the request that the mock knows.
    """

    override: Override = NO_OVERRIDE
    scenario: str | None = None
    preferences: Mapping[str, str] = field(default_factory=dict)


class Unmodified(NamedTuple):
    """A response without a fault, and the names of the members of the override that have acted on it."""

    response: web.Response
    honoured: frozenset[str] = frozenset()


Handle = Callable[[web.Request], Awaitable[Unmodified]]

PLAN = web.RequestKey("plan", RequestPlan)
NO_PLAN = RequestPlan()


class Usage:
    """Responds to GET /usage for the accounts of a simulator.

    Args:
        operation: The operation of the document.
        simulator: The accounts.
        options: The options: the rate limit, the status code for an unknown key, and CORS.

    Raises:
        ContractError: The operation of the document cannot be simulated.
    """

    def __init__(self, operation: Operation, simulator: Simulator, options: MockOptions) -> None:
        if operation.key_header is None:
            raise ContractError(f"{operation}: the document requires no API key; the mock has usage metrics by key")
        self.key_header = operation.key_header
        self.path = operation.path
        self.methods = ("GET", "HEAD") if operation.method == "GET" else (operation.method,)
        self.status_codes = sorted(int(status) for status in operation.responses if status.isdecimal())
        self._operation, self._simulator = operation, simulator
        self._cost = int(options.rate_limit)  # the number of tokens that a request takes
        self._headers = CROSS_ORIGIN if options.cors else {}
        self._refusals = {
            **{reason: self._documented_error(401, reason) for reason in NO_KEY},
            **{reason: self._documented_error(options.unknown_key_status, reason) for reason in UNKNOWN_KEY},
        }
        limited, known = operation.responses.get("429"), _limit_values(RateLimit(), 1)
        self._limit_headers = tuple(limited.headers) if limited else ()
        if missing := [name for name in self._limit_headers if name not in known]:
            raise ContractError(
                f"{operation} 429: the mock cannot fill {', '.join(missing)}; it fills {', '.join(known)}"
            )
        self._over_limit = lru_cache(maxsize=1024)(self._build_over_limit)  # there are few limits and waiting times
        # A document whose members the mock cannot derive is reported now.
        self._over_limit(RateLimit(), 1)
        self._render(Account("", "", Key(traffic={"": {"fetch": Calls(1)}}), now=0.0))

    def serves(self, request: web.Request) -> bool:
        """Return whether a request is one to the operation."""
        return request.path == self.path and request.method in self.methods

    async def handle(self, request: web.Request) -> Unmodified:
        """Respond to one request through aiohttp."""
        keys, plan = request.headers.getall(self.key_header, ()), request.get(PLAN, NO_PLAN)
        prepared = await self.respond(keys, plan)
        if prepared.reason == "missing-key":
            prepared = self._refusals[self._place_of_key(request) or "missing-key"]
        return Unmodified(with_answer(prepared, plan.override.answer), frozenset(self._honoured(keys, plan, prepared)))

    async def respond(
        self, keys: Sequence[str], plan: RequestPlan = NO_PLAN, *, required: str | None = None
    ) -> PreparedResponse:
        """Return the response to a request with these keys; only an authenticated request takes a token.

        Args:
            keys: The keys.
            plan: The overrides of the request.
            required: The version that the latest overrides must have, otherwise StaleError; None for any.
        """
        override = plan.override
        if override.code not in (None, 200):
            return self.forced_response(override.code, keys, plan.scenario)
        account = self.authenticate(keys, plan.scenario)
        if isinstance(account, PreparedResponse):
            return account
        now, cost = self._simulator.clock(), 0 if override.code == 200 else self._cost
        bucket = self._simulator.bucket(account, override.faults)
        state, ref = self._simulator.state, account.ref
        taken = await state.take(bucket, now, tokens=cost, account=ref, required=required)
        if taken.snapshot:
            account.apply_snapshot(taken.snapshot)
        return self.to_response(account, taken, now)

    def respond_sync(self, keys: Sequence[str], state: MemoryState, now: float) -> PreparedResponse:
        """Do what `respond` does for a request without a plan at the time `now`, where the state is in memory."""
        account = self.authenticate(keys)
        if isinstance(account, PreparedResponse):
            return account
        return self.to_response(account, state.take_sync(account.bucket, now, self._cost), now)

    def authenticate(self, keys: Sequence[str], scenario: str | None = None) -> Account | PreparedResponse:
        """Return the account of the key of a request, or an error response."""
        if len(keys) != 1 or not keys[0].strip():
            return self._refusals["key-is-repeated" if len(keys) > 1 else "missing-key"]
        return self._simulator.account(keys[0], scenario) or self._refusals[reason_of_unknown(keys[0])]

    def to_response(self, account: Account, taken: TakeResult, now: float) -> PreparedResponse:
        """Return the 200 of an account, or 429 where its bucket had no token."""
        if taken.remaining is None:
            return self._over_limit(account.limit, taken.retry_after)
        if account.grows:
            account.grow(now)
        response, pieces = account.derived.get(self) or self._render(account)
        return response.with_body((b"%.1f" % taken.remaining).join(pieces))

    def forced_response(self, code: int, keys: Sequence[str], scenario: str | None) -> PreparedResponse:
        """Return the response with a status code that an override demands."""
        if code == 429:
            account = self.authenticate(keys, scenario)
            limit = RateLimit() if isinstance(account, PreparedResponse) else account.limit
            return self._over_limit(limit, 1, "code-override")
        if str(code) in self._operation.responses:
            return self._documented_error(code, "code-override")
        detail = reason_phrase(code) or "An error that an override demands."
        # RFC 9110, section 15.5.6 requires Allow; an override applies to GET and HEAD.
        allow = {"Allow": "OPTIONS"} if code == 405 else {}
        return error_response(code, detail, "code-override", headers={**self._headers, **allow})

    def _place_of_key(self, request: web.Request) -> str:
        """Return the reason that names the place of the key in a request without a key header; empty without a key."""
        if "Authorization" in request.headers:
            return "key-in-authorization"
        has_query = "?" in request.raw_path  # searching a thousand keys is slow
        return "key-in-query" if has_query and has_key_in_target(request.raw_path, self._simulator.keys) else ""

    def _honoured(self, keys: Sequence[str], plan: RequestPlan, response: PreparedResponse) -> Iterator[str]:
        code, scenario = plan.override.code, plan.scenario
        if code == response.status:
            yield "code"
            if scenario not in (None, NONE) and self._simulator.library.scenario(scenario).code == code:
                yield "scenario"
        if code in (None, 200) and len(keys) == 1 and self._simulator.has(keys[0]):
            yield "scenario"

    def _render(self, account: Account) -> tuple[PreparedResponse, list[bytes]]:
        """Return the 200 of an account, and its body before and after `remaining`."""
        metrics = account.usage_metrics(remaining=orjson.Fragment(REMAINING))
        response = documented_response(self._operation, 200, metrics, headers=self._headers)
        rendered = account.derived[self] = response, response.body.split(REMAINING)
        return rendered

    def _build_over_limit(
        self, limit: RateLimit, retry_after: int, reason: str = "rate-limit-exceeded"
    ) -> PreparedResponse:
        values = _limit_values(limit, retry_after)
        return self._documented_error(429, reason, {name: values[name] for name in self._limit_headers})

    def _documented_error(self, status: int, reason: str, more: Mapping[str, str] | None = None) -> PreparedResponse:
        """Build a documented error response; its `detail` is the description of the status code in the document."""
        response = self._operation.responses.get(str(status))
        members = {"detail": response.description if response else ""}
        challenge = CHALLENGE if status == 401 else {}
        headers = {**challenge, **self._headers, **(more or {}), REASON: reason}
        return documented_response(self._operation, status, members, headers=headers)


def _limit_values(limit: RateLimit, retry_after: int) -> CIMultiDict[str]:
    rps = int(limit.rps) if limit.rps.is_integer() else limit.rps
    return CIMultiDict({"Retry-After": str(retry_after), "X-RateLimit-Limit": str(rps), "X-RateLimit-Remaining": "0"})
