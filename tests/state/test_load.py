"""Tokens are never given twice: two mock processes, many clients, one bucket; and Redis goes away and comes back."""

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

from .load import CLIENTS, Statuses, fire
from .server import Redis

BURST = 1000


@contextmanager
def two_processes(deployments: Path, url: str) -> Iterator[list[str]]:
    """Serve one key, whose bucket never refills because time stands still, in two processes."""
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
        statuses = asyncio.run(fire(urls, "k", lambda statuses, _: statuses.total() >= 3 * BURST))
    assert statuses[200] == BURST
    assert set(statuses) == {200, 429}


def test_no_token_is_given_twice_while_redis_is_killed_and_started_again(deployments: Path, lasting: Redis) -> None:
    async def outage() -> Statuses:
        killed, away = asyncio.Event(), asyncio.Event()

        def until(statuses: Statuses, status: int) -> bool:
            if statuses[200] >= BURST // 3:
                killed.set()
            if statuses[503] >= 2 * CLIENTS:
                away.set()
            return status == 429

        async def operator() -> None:
            await killed.wait()
            await asyncio.to_thread(lasting.end, signal.SIGKILL)
            await away.wait()
            await asyncio.to_thread(lasting.start)

        statuses, _ = await asyncio.gather(fire(urls, "k", until), operator())
        return statuses

    with two_processes(deployments, lasting.url) as urls:
        statuses = asyncio.run(outage())
    # Each client may have lost the answer to one token, which Redis had taken when it was killed.
    assert BURST - 2 * CLIENTS <= statuses[200] <= BURST
    assert set(statuses) == {200, 429, 503}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_without_redis_every_request_gets_a_503_at_once(
    deployments: Path, lasting: Redis, number: signal.Signals
) -> None:
    with two_processes(deployments, lasting.url) as urls:
        assert usage(urls[0], "k").status == 200
        lasting.signal(number)
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


def test_the_data_of_redis_is_used_after_a_restart(deployments: Path, lasting: Redis) -> None:
    with two_processes(deployments, lasting.url) as urls:
        assert usage(urls[0], "k").json["rate_limit"]["remaining"] == BURST - 1
        Api(urls[0]).do("POST", "/traffic", [{"key": "k", "domain": "a.example", "protocol": "ws", "requests": 7}])
        lasting.end(signal.SIGKILL)
        assert usage(urls[1], "k").status == 503
        lasting.start()
        after = usage(urls[1], "k").json
    assert (after["total"], after["rate_limit"]["remaining"]) == (7, BURST - 2)
