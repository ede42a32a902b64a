"""Compares two workers with one, both with Redis: `python -m benchmarks.workers [--rounds 5] [--seconds 3]`.

The load generator and Redis share the cores of the machine with them; a ratio is the median of all rounds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.measure import Sample, load, medians, publish, ratios, running
from benchmarks.mock import KEY, MOCK, deployed
from tests.state.server import Redis


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def measure(redis: Redis, rounds: int, seconds: int) -> dict[int, list[Sample]]:
    """Send requests to one worker and to two in turn, in each round."""
    found: dict[int, list[Sample]] = {1: [], 2: []}
    with ExitStack() as stack:
        options = [*stack.enter_context(deployed()), "--state", redis.url, "--workers"]
        servers = {number: stack.enter_context(running([*MOCK, *options, str(number)])) for number in found}
        for url, _ in servers.values():
            load(url, "-H", KEY, seconds=1)
        for _ in range(rounds):
            for number, (url, pid) in servers.items():
                workers = [pid, *children(pid)]
                sample = load(url, "-H", KEY, seconds=seconds, cpu_us=workers, redis_us=[redis.pid])
                found[number].append(sample)
    return found


def main() -> None:
    """Run the benchmark, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="redis") as folder:
        redis = Redis(Path(folder))
        redis.start()
        try:
            found = measure(redis, options.rounds, options.seconds)
        finally:
            redis.end()
    publish([{"workers": number, **medians(samples)} for number, samples in found.items()])
    of_rounds = ratios("rps", found[2], found[1])
    print(f"ratio {statistics.median(of_rounds):.2f} ({min(of_rounds):.2f} to {max(of_rounds):.2f})")


if __name__ == "__main__":
    main()
