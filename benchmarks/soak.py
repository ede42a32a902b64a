"""Sends random valid and invalid traffic for some minutes: `python -m benchmarks.soak [--minutes 10] [--seed 0]`.

It ends with exit code 1 if the mock returns a 5xx without an override, or does not respond to a complete request.
It does so, too, if the memory grows by more than 10 MiB after the warm-up, the first tenth of the time.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from benchmarks.measure import machine, resident, running
from benchmarks.mock import MOCK

CONNECTIONS = 16
TIMEOUT = 10.0  # seconds
MAX_GROWTH = 10.0  # MiB
KEYS = ("demo-busy", "demo-modest", "demo-fresh", "unknown-key", "", "demo-busy2", "é", "*", "x" * 5000)
PATHS = ("/usage", "/usage", "/usage", "/", "/healthz", "/usage/", "/usage?x=1", "/%00", "/../usage", "/nothing", "*")
METHODS = ("GET", "GET", "GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "TRACE", "BREW")
PREFERENCES = (
    "code=403",
    "code=429",
    "scenario=heavy",
    "scenario=nope",
    "delay=0.001",
    "fault=fail-is-negative",
    '"',
    "=",
)
EXTRAS = (
    "Accept: ;;q",
    "Accept: text/html",
    "Cookie: \x01=1",
    "Expect: 1",
    "Range: bytes=0-1",
    "Origin: null",
    "X Y: 1",
    "Host: b",
)
CONTROL = (
    ("GET", "/state", ""),
    ("GET", "/journal?limit=5", ""),
    ("POST", "/traffic", '{"key": "demo-busy", "domain": "a.example", "protocol": "fetch", "requests": 2}'),
    ("POST", "/traffic", '{"key": "unknown-key"'),
    ("GET", "/metrics", ""),
)

Make = Callable[[random.Random], tuple[bytes, bool]]


def _message(line: str, fields: list[str], body: str = "") -> bytes:
    length = [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([f"{line} HTTP/1.1", "Host: localhost", *fields, *length, "", body]).encode("utf-8")


def valid(chance: random.Random) -> tuple[bytes, bool]:
    """Return a request with a key."""
    return _message("GET /usage", [f"X-API-Key: {chance.choice(KEYS[:3])}"]), True


def odd(chance: random.Random) -> tuple[bytes, bool]:
    """Return a request with unusual parts."""
    fields = [f"X-API-Key: {chance.choice(KEYS)}" for _ in range(chance.choice((0, 1, 1, 1, 2)))]
    fields += chance.sample(EXTRAS, chance.choice((0, 0, 1, 2)))
    if chance.random() < 0.3:
        fields.append(f"Prefer: {chance.choice(PREFERENCES)}")
    body = chance.choice(("", "", "{", "x" * 3000))
    return _message(f"{chance.choice(METHODS)} {chance.choice(PATHS)}", fields, body), True


def broken(chance: random.Random) -> tuple[bytes, bool]:
    """Return a request with changed, removed and inserted bytes, which may be incomplete."""
    data = bytearray(odd(chance)[0])
    for _ in range(chance.randint(1, 5)):
        place = chance.randrange(len(data))
        data[place : place + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
    return bytes(data[: chance.randint(1, len(data))]), False


def control(chance: random.Random) -> tuple[bytes, bool]:
    """Return a request to the control API."""
    method, path, body = chance.choice(CONTROL)
    return _message(f"{method} /__mock__{path}", ["Content-Type: application/json"] if body else [], body), True


MAKERS: tuple[Make, ...] = (valid,) * 10 + (odd,) * 6 + (broken,) * 3 + (control,)


async def send_request(port: int, data: bytes, whole: bool) -> int:
    """Send bytes on a new connection, and return the status code, or 0 without a response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        with suppress(ConnectionError, TimeoutError):
            writer.write(data)
            if not whole:
                writer.write_eof()
            line = await asyncio.wait_for(reader.readline(), TIMEOUT)
            found = re.match(rb"HTTP/1\.[01] (\d{3})", line)
            return int(found[1]) if found else 0
        return 0
    finally:
        writer.close()


async def client(port: int, chance: random.Random, until: float, statuses: Counter[int], wrong: list[str]) -> None:
    """Send requests until a time; count the status codes, and list the wrong ones."""
    while time.monotonic() < until:
        data, whole = chance.choice(MAKERS)(chance)
        status = await send_request(port, data, whole)
        statuses[status] += 1
        if status >= 500 or (whole and not status):
            wrong.append(f"{status} to {data[:300]!r}")


async def soak(port: int, pid: int, minutes: float, seed: int) -> tuple[Counter[int], list[str], float, float]:
    """Run the clients; return status codes, wrong responses, and the memory after warm-up and at the end in MiB."""
    statuses: Counter[int] = Counter()
    wrong: list[str] = []
    start = time.monotonic()
    chances = [random.Random(seed + number) for number in range(CONNECTIONS)]
    tasks = [asyncio.create_task(client(port, each, start + minutes * 60, statuses, wrong)) for each in chances]
    await asyncio.sleep(minutes * 6)
    warm = resident(pid)
    await asyncio.gather(*tasks)
    return statuses, wrong, warm, resident(pid)


def main() -> int:
    """Run the soak, print its result and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with running([*MOCK, "--no-rate-limit", "--log", "none"]) as (url, pid):
        port = int(url.rpartition(":")[2])
        statuses, wrong, warm, end = asyncio.run(soak(port, pid, options.minutes, options.seed))
    print(machine())
    print(f"{statuses.total()} requests in {options.minutes} minutes: {dict(sorted(statuses.items()))}")
    print(f"memory: {warm:.1f} MiB after the warm-up, {end:.1f} MiB at the end")
    for line in wrong[:10]:
        print("wrong:", line)
    return int(bool(wrong) or end - warm > MAX_GROWTH)


if __name__ == "__main__":
    sys.exit(main())
