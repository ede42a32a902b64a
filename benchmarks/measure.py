"""Servers under load: their requests per second, latencies, CPU time and memory, as the benchmarks print them."""

from __future__ import annotations

import json
import os
import platform
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

MIB = 1 << 20

Sample = dict[str, float]  # by the name of the figure
Row = dict[str, Any]


@contextmanager
def running(command: list[str], port: int = 0) -> Iterator[tuple[str, int]]:
    """Run a server; yield its base URL and its process id."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        if port:
            threading.Thread(target=process.stdout.read, daemon=True).start()  # a peer writes its log to it
            wait_for(port)
        yield f"http://127.0.0.1:{port}" if port else process.stdout.readline().split()[1], process.pid
    finally:
        process.terminate()
        process.wait()


def load(url: str, *options: str, seconds: int, **processes: Sequence[int]) -> Sample:
    """Send requests to /usage by 32 connections.

    Args:
        url: The base URL of the server.
        options: Options of wrk.
        seconds: The duration.
        processes: The names of further figures, each with the processes whose CPU time it is.

    Returns:
        Requests per second, latencies in milliseconds, and the CPU time of a request in microseconds.
    """
    before = {name: sum(map(cpu_seconds, pids)) for name, pids in processes.items()}
    wrk = ["wrk", "-t1", "-c32", f"-d{seconds}s", "--latency", *options, f"{url}/usage"]
    output = subprocess.run(wrk, check=True, capture_output=True, text=True).stdout
    sample = {
        "rps": float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1]),  # type: ignore[index]
        "p50": _milliseconds(re.search(r"50%\s+([\d.]+)(us|ms|s)", output)),
        "p99": _milliseconds(re.search(r"99%\s+([\d.]+)(us|ms|s)", output)),
    }
    for name, pids in processes.items():
        sample[name] = (sum(map(cpu_seconds, pids)) - before[name]) / (sample["rps"] * seconds) * 1e6
    return sample


def _milliseconds(found: re.Match[str] | None) -> float:
    assert found is not None
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]


def wait_for(port: int) -> None:
    """Wait until a peer listens, at most a minute."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    sys.exit(f"nothing listens on port {port}")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """Return the memory of a process, in MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB


def medians(samples: Sequence[Sample]) -> Sample:
    """Return the median of each figure over the rounds."""
    return {name: round(statistics.median(each[name] for each in samples), 2) for name in samples[0]}


def ratios(name: str, samples: Sequence[Sample], others: Sequence[Sample]) -> list[float]:
    """Return the ratio of a figure to that of another server, for each round."""
    return [each[name] / other[name] for each, other in zip(samples, others, strict=True)]


def machine() -> str:
    """Return a description of the machine and the versions."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("aiohttp", "uvloop"))
    return f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, {versions}"


def publish(rows: Sequence[Row], file: Path | None = None) -> None:
    """Print the machine and a table, and write both to a JSON file."""
    print(machine())
    title, *names = rows[0]
    width = max(len(str(row[title])) for row in rows) + 2
    print(f"{title:<{width}}" + "".join(f"{name:>10}" for name in names))
    for row in rows:
        print(f"{row[title]:<{width}}" + "".join(f"{row[name]:>10}" for name in names))
    if file:
        file.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")
