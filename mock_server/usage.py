"""The simulation of GET /usage: who asks, whether they may, and what they are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web
from multidict import CIMultiDict

from mock_server.answers import Answer, documented_answer
from mock_server.bucket import TokenBucket
from mock_server.figures import REMAINING, usage_figures
from mock_server.fixtures import Deployment, RateLimit
from usage_contract import ContractError, Operation

NO_STORE = {"Cache-Control": "no-store"}
CHALLENGE = {"WWW-Authenticate": 'ApiKey realm="usage"'}


@dataclass(frozen=True)
class Account:
    """All that the running mock keeps for one key: its limit, its tokens and its answer.

    The body of `answer` holds the mark REMAINING where the number of tokens goes.
    """

    limit: RateLimit
    bucket: TokenBucket
    answer: Answer

    def usage(self, remaining: float) -> web.Response:
        """Return the 200 with `remaining` tokens, to one decimal."""
        body = self.answer.body.replace(REMAINING, b"%.1f" % remaining)
        return web.Response(status=self.answer.status, headers=self.answer.headers, body=body)


def open_accounts(operation: Operation, deployment: Deployment, now: float) -> dict[str, Account]:
    """Open an account with a full bucket for every key of a deployment.

    Raises ContractError when the document names a figure that the mock cannot derive.
    """
    accounts = {}
    for name, key in deployment.keys.items():
        answer = documented_answer(operation, 200, usage_figures(name, key), NO_STORE)
        bucket = TokenBucket(key.rate_limit.rps, key.rate_limit.burst, now)
        accounts[name] = Account(key.rate_limit, bucket, answer)
    return accounts


class Usage:
    """Answers GET /usage from a mapping of accounts.

    `cost` is the number of tokens that an answered request takes: 0 lifts the rate limit.
    Raises ContractError for a document whose operation cannot be simulated.
    """

    def __init__(
        self,
        operation: Operation,
        accounts: Mapping[str, Account],
        clock: Callable[[], float],
        cost: int,
        unknown_key_status: int,
    ) -> None:
        if operation.key_header is None:
            raise ContractError(f"{operation}: the document asks for no API key, the mock has figures only by key")
        self._key_header = operation.key_header
        self._accounts = accounts
        self._clock = clock
        self._cost = cost
        self._missing_key = _refused(operation, 401)
        self._unknown_key = _refused(operation, unknown_key_status)
        self._over_limit = _refused(operation, 429)
        self._limit_headers = _documented_limit_headers(operation)

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one request; only an authorised one reaches the bucket."""
        keys = request.headers.getall(self._key_header, [])
        if len(keys) != 1 or not keys[0].strip():
            return self._missing_key.response()
        account = self._accounts.get(keys[0])
        if account is None:
            return self._unknown_key.response()
        now = self._clock()
        remaining = account.bucket.take(now, self._cost)
        return self._refuse(account, now) if remaining is None else account.usage(remaining)

    def _refuse(self, account: Account, now: float) -> web.Response:
        response = self._over_limit.response()
        values = _limit_values(account.limit, account.bucket.retry_after(now))
        response.headers.update((name, values[name]) for name in self._limit_headers)
        return response


def _refused(operation: Operation, status: int) -> Answer:
    """Build a documented refusal, which says what the document says of its status."""
    response = operation.responses.get(str(status))
    headers = {**NO_STORE, **CHALLENGE} if status == 401 else NO_STORE
    return documented_answer(operation, status, {"detail": response.description if response else ""}, headers)


def _documented_limit_headers(operation: Operation) -> tuple[str, ...]:
    names = tuple(operation.responses["429"].headers)
    known = _limit_values(RateLimit(), 1)
    if missing := [name for name in names if name not in known]:
        raise ContractError(f"{operation} 429: the mock cannot fill {', '.join(missing)}; it fills {', '.join(known)}")
    return names


def _limit_values(limit: RateLimit, retry_after: int) -> CIMultiDict[str]:
    rps = int(limit.rps) if limit.rps.is_integer() else limit.rps
    return CIMultiDict({"Retry-After": str(retry_after), "X-RateLimit-Limit": str(rps), "X-RateLimit-Remaining": "0"})
