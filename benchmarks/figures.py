"""Measures the start of the mock and whole runs of the gate: `python -m benchmarks.figures`.

Each figure comes from a new process, as a user starts it. The best and the worst of three are printed.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version

TIMES = 3
KEYS = {"CONTRACT_API_KEY": "demo-busy", "CONTRACT_API_KEY_2": "demo-modest", "CONTRACT_API_KEY_3": "demo-fresh"}
Figures = dict[str, float]


@contextmanager
def mock() -> Iterator[tuple[str, float]]:
    """Start the mock; yield its URL and the seconds from its start to its first 200."""
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "mock_server", "--port", "0", "--log", "none"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        url = process.stdout.readline().removeprefix("LISTENING ").strip()
        request = urllib.request.Request(f"{url}/usage", headers={"X-API-Key": "demo-fresh"})
        with urllib.request.urlopen(request) as response:
            assert response.status == 200
        yield url, time.perf_counter() - started
        process.terminate()


def gate(*arguments: str, code: int = 0) -> Figures:
    """Run the gate; return its wall seconds, its own seconds and requests, and its peak memory in MiB."""
    command = [sys.executable, "-m", "pytest", "contract_tests", "-q", *arguments]
    keys = KEYS if "--base-url" in arguments else {}  # the embedded mock has keys of its own
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **keys})
    output = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    assert os.waitstatus_to_exitcode(status) == code, output
    requests, seconds = re.findall(r"(\d+) requests in ([\d.]+) s", output)[0]
    return {"wall s": wall, "s": float(seconds), "requests": float(requests), "peak MiB": usage.ru_maxrss / 1024}


def embedded() -> Figures:
    """Return the figures of a run against the embedded mock."""
    return gate()


def at_the_vendors_limit() -> Figures:
    """Return the figures of a default run against a deployment with a limit of 10 requests per second."""
    with mock() as (url, _):
        return gate("--base-url", url)


def first_200() -> Figures:
    """Return the time from the start of the mock to its first 200."""
    with mock() as (_, seconds):
        return {"s": seconds}


def refused_connection() -> Figures:
    """Return the figures of a run that cannot connect."""
    return gate("--base-url", "http://127.0.0.1:9", code=4)


def unknown_host() -> Figures:
    """Return the figures of a run with an unknown host."""
    return gate("--base-url", "http://no-such-host.invalid", code=4)


def main() -> None:
    """Print every figure, and all of them as one line of JSON."""
    measured: dict[str, list[Figures]] = {}
    figures: list[Callable[[], Figures]] = [first_200, refused_connection, unknown_host, embedded, at_the_vendors_limit]
    versions = ", ".join(f"{name} {version(name)}" for name in ("aiohttp", "pytest", "schemathesis", "hypothesis"))
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}")
    for figure in figures:
        measured[figure.__name__] = [figure() for _ in range(TIMES)]
        for name in measured[figure.__name__][0]:
            values = sorted(each[name] for each in measured[figure.__name__])
            print(f"{figure.__name__}: {name} {values[0]:.2f} to {values[-1]:.2f}")
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
