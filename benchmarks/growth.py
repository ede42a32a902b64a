"""Measures the cost of a request to a larger deployment.

    python -m benchmarks.growth [--rounds 5] [--seconds 3] [--json FILE]

Every case is one server with a state that is generated in memory. The rounds are interleaved.
A round compares the CPU time of a request with that of the smallest case; a ratio is the median of all rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from benchmarks.measure import Row, Sample, load, medians, publish, ratios, resident, running
from mock_server.app import make_app
from mock_server.command.serve import serve_until_signalled
from mock_server.fixtures.deployments import Calls, Deployment, Key, RateLimit
from mock_server.journal.entry import Entry
from mock_server.options import MockOptions
from mock_server.simulation.overrides import NO_OVERRIDE
from mock_server.web.mock import MOCK
from mock_server.web.recording import ReceivedRequest, SentBytes
from mock_server.web.server import new_event_loop
from usage_contract import load as contract

TRAFFIC = {f"d{number:02}.example": {"fetch": Calls(1000 - number, 1, 5000)} for number in range(25)}
KEY = Key(RateLimit(1e6, 10**6), TRAFFIC)
JOURNAL = 1_000_000


def keys(number: int) -> Deployment:
    """Return a deployment with `number` keys."""
    return Deployment.validated("generated", "keys", {f"key-{index}": KEY for index in range(number)})


def domains(number: int) -> Deployment:
    """Return a deployment whose first key has used `number` domains."""
    traffic = {f"d{index}.example": {"fetch": Calls(index % 1000, 0, 10)} for index in range(number)}
    busy = replace(KEY, traffic=traffic)
    return Deployment.validated("generated", "domains", {**keys(10).keys, "key-0": busy})


# By name: the deployment, the number of requests in the journal, and the number of keys that send requests.
CASES: dict[str, tuple[Callable[[], Deployment], int, int]] = {
    "10 keys": (lambda: keys(10), 0, 10),
    "1,000 keys": (lambda: keys(1_000), 0, 10),
    "1,000 keys, all in use": (lambda: keys(1_000), 0, 1_000),
    "100,000 keys": (lambda: keys(100_000), 0, 10),
    "100,000 keys, all in use": (lambda: keys(100_000), 0, 100_000),
    "1,000,000 domains": (lambda: domains(1_000_000), 0, 1),
    "1,000,000 requests before": (lambda: keys(10), JOURNAL, 10),
}


def serve(name: str) -> None:
    """Serve one case."""
    deployment, written, _ = CASES[name]
    app = make_app(contract("documented"), deployment=deployment())
    request, response = ReceivedRequest((), b"", is_complete=True, connection=None), SentBytes(b"")
    for _ in range(written):
        app[MOCK].journal.add(
            Entry("GET", "/usage", ("key-0",), 200, "", NO_OVERRIDE, 0.0, 0.0, 0.0001, request, response)
        )
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve_until_signalled(app, MockOptions(port=0, log="none", reload=False)))


def spread(active: int, folder: Path) -> list[str]:
    """Return the options with which wrk uses one key after the other."""
    script = folder / f"{active}.lua"
    script.write_text(
        f"local n = 0\nrequest = function()\n  n = (n + 1) % {active}\n"
        '  return wrk.format("GET", "/usage", {["X-API-Key"] = "key-" .. n})\nend\n'
    )
    return ["-s", str(script)]


def measure(rounds: int, seconds: int, folder: Path) -> dict[str, list[Sample]]:
    """Send requests to each case in turn, in each round."""
    found: dict[str, list[Sample]] = {name: [] for name in CASES}
    with ExitStack() as stack:
        servers = {}
        for name in CASES:
            started = time.perf_counter()
            server = running([sys.executable, "-m", "benchmarks.growth", "--serve", name])
            servers[name] = (*stack.enter_context(server), time.perf_counter() - started)
        for name, (url, _, _) in servers.items():
            active = CASES[name][2]  # each key is used before the measurement, as its first request costs more
            load(url, *spread(active, folder), seconds=max(seconds * 3, active // 6_000))
        for _ in range(rounds):
            for name, (url, pid, started) in servers.items():
                sample = load(url, *spread(CASES[name][2], folder), seconds=seconds, cpu_us=[pid])
                found[name].append(sample | {"mib": resident(pid), "start_s": started})
    return found


def summary(found: dict[str, list[Sample]]) -> list[Row]:
    """Return the medians of each case, and the ratio of its CPU time per request to that of the smallest case."""
    small = next(iter(found.values()))
    return [
        {"case": name, **medians(samples), "ratio": round(statistics.median(ratios("cpu_us", samples, small)), 2)}
        for name, samples in found.items()
    ]


def main() -> None:
    """Run the benchmark, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--serve", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    with tempfile.TemporaryDirectory() as folder:
        rows = summary(measure(options.rounds, options.seconds, Path(folder)))
    publish(rows, options.json)


if __name__ == "__main__":
    main()
