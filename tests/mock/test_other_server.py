"""An application of `make_app` behind aiohttp's own server."""

from __future__ import annotations

import asyncio

from aiohttp.test_utils import TestClient, TestServer

from mock_server import MockOptions, make_app
from usage_contract import Contract


def test_aiohttps_own_server_serves_the_application(contract: Contract) -> None:
    async def responses() -> list[tuple[int, str]]:
        server = TestServer(make_app(contract, MockOptions(scenario="heavy")))
        async with TestClient(server) as client:
            outcomes = []
            for path, headers in (
                ("/usage", {"X-API-Key": "demo-busy"}),
                ("/usage", {}),
                ("/usage", {"X-API-Key": "demo-busy", "Prefer": "code=503"}),
                ("/healthz", {}),
                ("/none", {}),
                ("/__mock__/health", {}),
            ):
                async with client.get(path, headers=headers) as response:
                    outcomes.append((response.status, response.headers.get("Mock-Reason", "")))
            return outcomes

    assert asyncio.run(responses()) == [
        (200, ""),
        (401, "missing-key"),
        (503, "code-override"),
        (200, ""),
        (404, "not-found"),
        (200, ""),
    ]
