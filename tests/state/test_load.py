"""Two mock processes with one bucket grant each token once, even if Redis is killed and restarted."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.command import serving
from tests.support.control_api import Api
from tests.support.wire import send_request, usage

from .load import CLIENTS, Statuses, send_load
from .server import Redis

BURST = 1000


@contextmanager
def two_processes(deployments: Path, url: str) -> Iterator[list[str]]:
    """Serve one key in two processes; its bucket never refills, as the clock is frozen."""
    (deployments / "default.yaml").write_text(
        f"description: d\nrate_limit: {{rps: 10, burst: {BURST}}}\nkeys: {{k: {{}}}}\n"
    )
    options = ["--fixtures", str(deployments.parent), "--state", url, "--log", "none"]
    with ExitStack() as stack:
        urls = [stack.enter_context(serving(*options))[1] for _ in range(2)]
        Api(urls[0]).do("PATCH", "/clock", {"frozen": True})
        yield urls


def test_two_processes_share_the_tokens(deployments: Path, url: str) -> None:
    with two_processes(deployments, url) as urls:
        statuses = asyncio.run(send_load(urls, "k", lambda statuses, _: statuses.total() >= 3 * BURST))
    assert statuses[200] == BURST
    assert set(statuses) == {200, 429}


def test_no_token_is_granted_twice_while_redis_is_killed_and_started_again(deployments: Path, durable: Redis) -> None:
    async def outage() -> Statuses:
        has_load, is_unavailable = asyncio.Event(), asyncio.Event()

        def until(statuses: Statuses, status: int) -> bool:
            if statuses[200] >= BURST // 3:
                has_load.set()
            if statuses[503] >= 2 * CLIENTS:
                is_unavailable.set()
            return status == 429

        async def operator() -> None:
            await has_load.wait()
            await asyncio.to_thread(durable.end, signal.SIGKILL)
            await is_unavailable.wait()
            await asyncio.to_thread(durable.start)

        statuses, _ = await asyncio.gather(send_load(urls, "k", until), operator())
        return statuses

    with two_processes(deployments, durable.url) as urls:
        statuses = asyncio.run(outage())
    # For each client, Redis may have taken a token without a response when it was killed.
    assert BURST - 2 * CLIENTS <= statuses[200] <= BURST
    assert set(statuses) == {200, 429, 503}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_every_request_gets_a_503_at_once_without_redis(
    deployments: Path, durable: Redis, number: signal.Signals
) -> None:
    with two_processes(deployments, durable.url) as urls:
        assert usage(urls[0], "k").status == 200
        durable.signal(number)
        for response in (
            usage(urls[0], "k"),
            usage(urls[1], "nobody"),
            send_request(urls[0], "/healthz"),
            send_request(urls[1], "/nothing"),
        ):
            assert response.status == 503
            assert (response.headers["Retry-After"], response.headers["Mock-Reason"]) == ("1", "state-unavailable")
            assert "state" in response.json["detail"]
        assert Api(urls[0]).get("/health")["ok"] is True


def test_the_data_of_redis_is_used_after_a_restart(deployments: Path, durable: Redis) -> None:
    with two_processes(deployments, durable.url) as urls:
        assert usage(urls[0], "k").json["rate_limit"]["remaining"] == BURST - 1
        Api(urls[0]).do("POST", "/traffic", [{"key": "k", "domain": "a.example", "protocol": "ws", "requests": 7}])
        durable.end(signal.SIGKILL)
        assert usage(urls[1], "k").status == 503
        durable.start()
        after = usage(urls[1], "k").json
    assert (after["total"], after["rate_limit"]["remaining"]) == (7, BURST - 2)
