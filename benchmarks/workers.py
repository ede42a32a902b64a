"""Compares two workers with one, both with Redis: `python -m benchmarks.workers [--rounds 5] [--seconds 3]`.

The load generator and Redis share the cores of the machine with them; a ratio is the median of all rounds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.mock import KEY, MOCK, Sample, cpu_seconds, deployed, load, machine, running
from tests.state.server import Redis

SHOWN = ("rps", "p50", "p99", "cpu_us", "redis_us")


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
                before, of_redis = sum(map(cpu_seconds, workers)), cpu_seconds(redis.pid)
                sample = load(url, "-H", KEY, seconds=seconds)
                millions = sample["rps"] * seconds / 1e6
                sample["cpu_us"] = (sum(map(cpu_seconds, workers)) - before) / millions
                sample["redis_us"] = (cpu_seconds(redis.pid) - of_redis) / millions
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
    print(machine())
    print(f"{'workers':<10}" + "".join(f"{name:>10}" for name in SHOWN))
    for number, samples in found.items():
        print(
            f"{number:<10}" + "".join(f"{statistics.median(each[name] for each in samples):>10.1f}" for name in SHOWN)
        )
    ratios = [two["rps"] / one["rps"] for one, two in zip(found[1], found[2], strict=True)]
    print(f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
