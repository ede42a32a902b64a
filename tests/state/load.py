"""Many concurrent requests on persistent connections."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from tests.support.wire import KEY, TIMEOUT, address

CLIENTS = 24  # for each mock

Statuses = Counter[int]


async def send_load(
    urls: Sequence[str], key: str, until: Callable[[Statuses, int], bool], clients: int = CLIENTS
) -> Statuses:
    """Return the status counts of many clients of each mock; a client stops at `until(counts, its last status)`."""
    statuses: Statuses = Counter()
    await asyncio.gather(*(_send_requests(url, key, until, statuses) for url in urls for _ in range(clients)))
    return statuses


async def _send_requests(url: str, key: str, until: Callable[[Statuses, int], bool], statuses: Statuses) -> None:
    async with _connected(url) as (reader, writer):
        status = 0
        while not until(statuses, status):
            writer.write(f"GET /usage HTTP/1.1\r\nHost: x\r\n{KEY}: {key}\r\n\r\n".encode())
            async with asyncio.timeout(TIMEOUT):
                status = await _status(reader)
            statuses[status] += 1


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*address(url))
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


async def _status(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = next(line for line in head.splitlines() if line.lower().startswith("content-length:"))
    await reader.readexactly(int(length.split(":")[1]))
    return int(head.split()[1])
