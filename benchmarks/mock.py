"""Compares the mock with a bare aiohttp application and a raw socket, in one interleaved run of wrk.

    python -m benchmarks.mock [--rounds 9] [--seconds 3] [--peers FOLDER] [--json FILE] [--plot FILE]

Each round measures every server in turn, so that a busy machine slows down all of them equally.
A round compares each server with the bare application; a ratio is the median of all rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.measure import Row, Sample, load, medians, publish, ratios, resident, running

BODY = b"x" * 918
KEY = "X-API-Key: demo-busy"


def bare() -> None:
    """Serve a constant response by an ordinary aiohttp application on uvloop."""
    import uvloop
    from aiohttp import web

    async def usage(_: web.Request) -> web.Response:
        return web.Response(body=BODY, content_type="application/json")

    async def serve() -> None:
        app = web.Application()
        app.router.add_get("/usage", usage)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        print(f"LISTENING http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
        await asyncio.Event().wait()

    uvloop.run(serve())


def floor() -> None:
    """Serve a constant response without parsing HTTP, to measure the cost of sockets and the event loop."""
    import uvloop

    response = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)

    class Raw(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(response * data.count(b"\r\n\r\n"))

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Raw, "127.0.0.1", 0)
        print(f"LISTENING http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()

    uvloop.run(serve())


# Buckets that count every token, and are never empty.
DEPLOYMENT = """
description: A key with a large rate limit.
rate_limit: { rps: 1000000, burst: 1000000 }
keys:
  demo-busy:
    traffic:
"""
DOMAINS = "".join(f"      d{n:02}.example: {{ fetch: {{ requests: {9999 - n}, bytes: 5000 }} }}\n" for n in range(25))


@contextmanager
def deployed() -> Iterator[list[str]]:
    """Yield the options with which the mock serves DEPLOYMENT."""
    with tempfile.TemporaryDirectory(prefix="usage-mock-") as folder:
        deployments = Path(folder, "deployments")
        deployments.mkdir()
        (deployments / "default.yaml").write_text(DEPLOYMENT + DOMAINS)
        yield ["--fixtures", folder]


class Server(NamedTuple):
    """The command of a server, the header that wrk sends, and the port unless the first line contains it."""

    command: list[str]
    header: str = KEY
    port: int = 0


MOCK = [sys.executable, "-m", "mock_server", "--port", "0"]
SELF = [sys.executable, "-m", "benchmarks.mock", "--serve"]

SERVERS = {
    "floor": Server([*SELF, "floor"]),
    "bare": Server([*SELF, "bare"]),
    "mock 200": Server(MOCK),
    "mock 401": Server(MOCK, "X-Nothing: 1"),
    "mock 403": Server(MOCK, "X-API-Key: unknown-key"),
    "mock 429": Server([*MOCK, "--scenario", "nearly-exhausted"]),
}


def peers(folder: Path) -> dict[str, Server]:
    """Return the peers that npm installs into a folder, in the form of SERVERS, each with a free port."""
    from benchmarks.peers import FAST, free_port, install

    install(folder)
    return {peer.name: Server(peer.command(folder, port := free_port()), port=port) for peer in FAST}


@contextmanager
def recording_traffic(url: str) -> Iterator[None]:
    """Record traffic of the key ten times per second, so that its usage metrics change."""
    traffic = b'{"key": "demo-busy", "domain": "d07.example", "protocol": "fetch", "requests": 3, "bytes": 1000}'
    headers = {"Content-Type": "application/json"}
    over = threading.Event()

    def record() -> None:
        while not over.wait(0.1):
            urllib.request.urlopen(urllib.request.Request(f"{url}/__mock__/traffic", traffic, headers)).close()

    thread = threading.Thread(target=record)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def measure(names: list[str], rounds: int, seconds: int) -> dict[str, list[Sample]]:
    """Send requests to each server in turn, in each round."""
    found: dict[str, list[Sample]] = {name: [] for name in names}
    with ExitStack() as stack:
        options = {"mock 200": stack.enter_context(deployed())}
        servers = {}
        for name in names:
            command, header, port = SERVERS[name]
            servers[name] = stack.enter_context(running([*command, *options.get(name, [])], port))
            load(servers[name][0], "-H", header, seconds=1)
        for _ in range(rounds):
            for name, (url, pid) in servers.items():
                with recording_traffic(url) if name == "mock 200" else nullcontext():
                    sample = load(url, "-H", SERVERS[name].header, seconds=seconds, cpu_us=[pid])
                found[name].append(sample | {"mib": resident(pid)})
    return found


def summary(found: dict[str, list[Sample]]) -> list[Row]:
    """Return the medians of each server, and the median and range of its ratio to the bare application."""
    rows = []
    for name, samples in found.items():
        of_rounds = ratios("rps", samples, found["bare"])
        row = {"server": name, **medians(samples), "ratio": round(statistics.median(of_rounds), 2)}
        rows.append(row | {"from": round(min(of_rounds), 2), "to": round(max(of_rounds), 2)})
    return rows


def plot(rows: list[Row], file: Path) -> None:
    """Draw the ratios and their ranges; the suffix of the file selects the format."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.5 + 0.4 * len(rows)), layout="constrained")
    axes = figure.subplots()
    shown = [row for row in rows if row["server"] != "floor"][::-1]
    ranges = [[row["ratio"] - row["from"] for row in shown], [row["to"] - row["ratio"] for row in shown]]
    axes.barh([row["server"] for row in shown], [row["ratio"] for row in shown], xerr=ranges, color="#5b8def")
    axes.axvline(1.0, color="#444", linewidth=1)
    axes.set_xlabel("requests a second, as a ratio to a bare aiohttp application (median and range of the rounds)")
    figure.savefig(file)


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(SERVERS), choices=SERVERS)
    parser.add_argument("--peers", type=Path, metavar="FOLDER", help="also those that npm installs into this folder")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="needs matplotlib: benchmarks/requirements.txt")
    parser.add_argument("--serve", choices=("bare", "floor"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    serving: dict[str, Callable[[], None]] = {"bare": bare, "floor": floor}
    if options.serve:
        serving[options.serve]()
        return
    if not shutil.which("wrk"):
        sys.exit("wrk is not installed; Debian has it: apt-get install wrk")
    names = sorted({"bare", *options.only}, key=list(SERVERS).index)
    if options.peers:
        others = peers(options.peers)
        SERVERS.update(others)
        names += others
    rows = summary(measure(names, options.rounds, options.seconds))
    publish(rows, options.json)
    if options.plot:
        plot(rows, options.plot)


if __name__ == "__main__":
    main()
