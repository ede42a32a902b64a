"""The fixture `usage_mock` and AsyncUsageMock in asynchronous tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from mock_server import AsyncUsageMock, UsageMock
from tests.support.wire import usage


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def async_usage_mock() -> AsyncIterator[AsyncUsageMock]:
    async with AsyncUsageMock() as mock:
        yield mock


@pytest.mark.anyio
async def test_a_mock_in_the_loop_of_the_test_responds(async_usage_mock: AsyncUsageMock) -> None:
    await async_usage_mock.answer(503, times=1)
    statuses = [(await asyncio.to_thread(usage, async_usage_mock.url, "demo-busy")).status for _ in range(2)]
    assert statuses == [503, 200]


@pytest.mark.anyio
async def test_the_fixture_with_a_thread_responds_in_an_asynchronous_test(usage_mock: UsageMock) -> None:
    usage_mock.answer(503)
    assert (await asyncio.to_thread(usage, usage_mock.url, "demo-busy")).status == 503
