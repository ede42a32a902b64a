"""Measures the start and the close of a UsageMock: `python -m benchmarks.usage_mock`, medians and the worst of 50."""

from __future__ import annotations

import statistics
import time
import urllib.request
from collections.abc import Callable

from mock_server.testing.usage_mock import UsageMock

ROUNDS = 50


def seconds(operation: Callable[[], object]) -> float:
    """Return the duration of an operation."""
    started = time.perf_counter()
    operation()
    return time.perf_counter() - started


def one_round() -> tuple[float, float]:
    """Return the seconds from the start of a mock to its first response, and of its close."""
    mocks: list[UsageMock] = []

    def start() -> None:
        mocks.append(UsageMock().start())
        with urllib.request.urlopen(mocks[0].url + "/healthz") as response:
            response.read()

    return seconds(start), seconds(lambda: mocks[0].close())


def main() -> None:
    """Run the benchmark, and print a table."""
    first = one_round()
    rounds = [one_round() for _ in range(ROUNDS)]
    for index, name in enumerate(("ready", "stopped")):
        times = [each[index] * 1000 for each in rounds]
        median, worst = statistics.median(times), max(times)
        print(f"{name:8} first {first[index] * 1000:5.1f} ms, median {median:5.1f} ms, worst {worst:5.1f} ms")


if __name__ == "__main__":
    main()
