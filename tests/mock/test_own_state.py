"""`make_app(state=…)` with a state of the caller."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from mock_server import MockOptions, UsageMock, make_app
from mock_server.fixtures.deployments import Traffic
from mock_server.simulation.overrides import Overrides
from mock_server.simulation.state import AccountRef, AccountSnapshot, BucketSpec, MemoryState, StaleError, TakeResult
from tests.support.control_api import Api
from tests.support.wire import usage
from usage_contract import Contract


class OwnState:
    """Delegates to a state in memory, and notes the required versions."""

    def __init__(self) -> None:
        self._memory = MemoryState()
        self.version = ""
        self.required: list[str | None] = []

    async def take(
        self, bucket: BucketSpec, now: float, *, tokens: int, account: AccountRef, required: str | None = None
    ) -> TakeResult:
        self.required.append(required)
        if required == "stale":
            raise StaleError
        return await self._memory.take(bucket, now, tokens=tokens, account=account)

    async def look(self, bucket: BucketSpec, now: float) -> float:
        return await self._memory.look(bucket, now)

    async def count(self, name: str) -> int:
        return await self._memory.count(name)

    async def counts(self, names: Sequence[str]) -> Sequence[int]:
        return await self._memory.counts(names)

    async def forget_counts(self) -> None:
        await self._memory.forget_counts()

    async def record(self, account: AccountRef, now: float, traffic: Traffic) -> None:
        await self._memory.record(account, now, traffic)

    async def snapshot(self, account: AccountRef, now: float) -> AccountSnapshot | None:
        return await self._memory.snapshot(account, now)

    async def latest(self) -> Overrides | None:
        return await self._memory.latest()

    async def change(
        self, overrides: Overrides, *, restart: bool = False, key: str | None = None, force: bool = False
    ) -> None:
        await self._memory.change(overrides, restart=restart, key=key, force=force)

    async def close(self) -> None:
        await self._memory.close()


@pytest.mark.parametrize("options", [MockOptions(), MockOptions(scenario="heavy"), MockOptions(delay=0.001)])
def test_an_app_accepts_any_state(contract: Contract, options: MockOptions) -> None:
    with UsageMock(make_app(contract, options, state=OwnState())) as mock:
        assert [usage(mock.url, mock.api_key).status for _ in range(3)] == [200] * 3
        assert Api(mock.url).get("/state")["journal"]["number"] == 3
        mock.answer(503, times=1)
        assert [usage(mock.url, mock.api_key).status for _ in range(2)] == [503, 200]


def test_a_plain_request_requires_the_version_that_the_process_has_read(contract: Contract) -> None:
    state = OwnState()
    with UsageMock(make_app(contract, state=state)) as mock:
        assert usage(mock.url, mock.api_key).status == 200  # opens the account
        state.version, state.required = "stale", []
        assert usage(mock.url, mock.api_key).status == 200
    assert state.required == ["stale", None]


def test_a_state_of_the_caller_does_not_need_redis() -> None:
    program = (
        "import sys; sys.modules.update(dict.fromkeys(['redis', 'redis.asyncio', 'hiredis']))\n"
        "from mock_server import make_app\nfrom tests.mock.test_own_state import OwnState\n"
        "from usage_contract import load\nmake_app(load('documented'), state=OwnState())"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
