"""Common HTTP clients of Python receive usage metrics, errors and rate limits from the mock."""

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

Outcome = tuple[int, str | None]  # the status code, and the Mock-Reason
Client = Callable[[str, dict[str, str]], Outcome]


def with_requests(url: str, headers: dict[str, str]) -> Outcome:
    response = requests.get(url, headers=headers, timeout=TIMEOUT)
    return response.status_code, response.headers.get("Mock-Reason")


def with_httpx(url: str, headers: dict[str, str]) -> Outcome:
    response = httpx.get(url, headers=headers, timeout=TIMEOUT)
    return response.status_code, response.headers.get("Mock-Reason")


def with_urllib(url: str, headers: dict[str, str]) -> Outcome:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT) as response:
            return response.status, response.headers["Mock-Reason"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Mock-Reason"]


def with_aiohttp(url: str, headers: dict[str, str]) -> Outcome:
    return asyncio.run(get_with_aiohttp(url, headers))


async def get_with_aiohttp(url: str, headers: dict[str, str]) -> Outcome:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        return response.status, response.headers.get("Mock-Reason")


@pytest.mark.parametrize("client", [with_requests, with_httpx, with_urllib, with_aiohttp])
def test_a_client_gets_usage_metrics_errors_and_the_limit(client: Client) -> None:
    with UsageMock() as mock:
        url = mock.url + "/usage"
        assert client(url, {KEY: mock.api_key}) == (200, None)
        assert client(url, {}) == (401, "missing-key")
        assert client(url, {KEY: "nobody"}) == (403, "unknown-key")
        mock.freeze()
        mock.use("nearly-exhausted")
        assert client(url, {KEY: mock.api_key}) == (200, None)
        assert client(url, {KEY: mock.api_key}) == (429, "rate-limit-exceeded")
        assert client(url, {KEY: mock.api_key, "Prefer": "code=503"}) == (503, "code-override")


def test_a_client_can_share_its_event_loop_with_the_mock() -> None:
    async def run() -> list[Outcome]:
        async with AsyncUsageMock() as mock:
            before = await get_with_aiohttp(mock.url + "/usage", {KEY: mock.api_key})
            await mock.use("revoked")
            return [before, await get_with_aiohttp(mock.url + "/usage", {KEY: mock.api_key})]

    assert asyncio.run(run()) == [(200, None), (403, "unknown-key")]
