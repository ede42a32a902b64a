"""The mock as the usual HTTP clients of Python see it."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import Callable

import aiohttp
import httpx
import pytest
import requests

from mock_server import AsyncUsageMock, UsageMock
from tests.support.wire import KEY, TIMEOUT

Seen = tuple[int, str | None]  # a status, and why it is not 200
Client = Callable[[str, dict[str, str]], Seen]


def with_requests(url: str, headers: dict[str, str]) -> Seen:
    answer = requests.get(url, headers=headers, timeout=TIMEOUT)
    return answer.status_code, answer.headers.get("Mock-Reason")


def with_httpx(url: str, headers: dict[str, str]) -> Seen:
    answer = httpx.get(url, headers=headers, timeout=TIMEOUT)
    return answer.status_code, answer.headers.get("Mock-Reason")


def with_urllib(url: str, headers: dict[str, str]) -> Seen:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as answer:
            return answer.status, answer.headers["Mock-Reason"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Mock-Reason"]


def with_aiohttp(url: str, headers: dict[str, str]) -> Seen:
    return asyncio.run(asked(url, headers))


async def asked(url: str, headers: dict[str, str]) -> Seen:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status, answer.headers.get("Mock-Reason")


@pytest.mark.parametrize("client", [with_requests, with_httpx, with_urllib, with_aiohttp])
def test_a_client_gets_usage_metrics_errors_and_the_limit(client: Client) -> None:
    with UsageMock() as mock:
        url = mock.url + "/usage"
        assert client(url, {KEY: mock.api_key}) == (200, None)
        assert client(url, {}) == (401, "missing-key")
        assert client(url, {KEY: "nobody"}) == (403, "unknown-key")
        mock.use("throttled")
        assert client(url, {KEY: mock.api_key}) == (429, "no-token")
        assert client(url, {KEY: mock.api_key, "Prefer": "code=503"}) == (503, "code-wanted")


def test_a_client_shares_its_loop_with_the_mock() -> None:
    async def caller() -> list[Seen]:
        async with AsyncUsageMock() as mock:
            before = await asked(mock.url + "/usage", {KEY: mock.api_key})
            await mock.use("revoked")
            return [before, await asked(mock.url + "/usage", {KEY: mock.api_key})]

    assert asyncio.run(caller()) == [(200, None), (403, "unknown-key")]
