"""How fast a UsageMock is there and gone: `python -m benchmarks.hosted`, medians and the worst of 50."""

from __future__ import annotations

import statistics
import time
import urllib.request
from collections.abc import Callable

from mock_server.testing.usage_mock import UsageMock

ROUNDS = 50


def seconds(act: Callable[[], object]) -> float:
    """Return how long something takes."""
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def one_round() -> tuple[float, float]:
    """Return the seconds from nothing to the first answer, and from then until nothing is left."""
    mocks: list[UsageMock] = []

    def start() -> None:
        mocks.append(UsageMock().start())
        with urllib.request.urlopen(mocks[0].url + "/healthz") as answer:
            answer.read()

    return seconds(start), seconds(lambda: mocks[0].close())


def main() -> None:
    """Measure and print."""
    first = one_round()
    rounds = [one_round() for _ in range(ROUNDS)]
    for index, what in enumerate(("ready", "stopped")):
        times = [each[index] * 1000 for each in rounds]
        median, worst = statistics.median(times), max(times)
        print(f"{what:8} first {first[index] * 1000:5.1f} ms, median {median:5.1f} ms, worst {worst:5.1f} ms")


if __name__ == "__main__":
    main()
