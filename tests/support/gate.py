"""Runs the gate as its users do, and serves it deployments that are broken on purpose."""

from __future__ import annotations

import gc
import os
import signal
import socketserver
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from contract_tests.run import embedded_mock
from contract_tests.run.runner import clock_key
from mock_server import make_app
from tests.support.forked_gate import GATE, clear_environment
from tests.support.proof import FORKS
from tests.support.virtual_clock import VirtualClock

Respond = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Run:
    """One run of the gate: its exit code, its output, and each rule's outcome as JUnit has it."""

    code: int
    output: str
    folder: Path

    @property
    def outcomes(self) -> dict[str, str]:
        """Outcomes by rule id: held, failed, skipped."""
        cases = ElementTree.parse(self.folder / "junit.xml").iter("testcase")
        return {_rule(case): next((child.tag for child in case if child.tag != "properties"), "held") for case in cases}

    @property
    def failed(self) -> set[str]:
        """The ids of the rules that failed."""
        return {rule for rule, outcome in self.outcomes.items() if outcome in {"failure", "error"}}


def _rule(case: ElementTree.Element) -> str:
    ids = (p.attrib["value"] for p in case.iter("property") if p.attrib["name"] == "rule")
    return next(ids, case.attrib["name"])  # the reason of a run that ended early belongs to no rule


def run_gate_in(
    folder: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    ignored: Sequence[signal.Signals] = (),
    on_real_time: bool = False,
) -> Run:
    """Run `pytest contract_tests …` in a process, a folder and an environment of its own.

    The gate waits in virtual time, which the embedded mock shares. A deployment outside of that process gets real time
    for each response, and none between requests.

    Args:
        folder: The working folder; the file `pid` in it has the id of the process.
        arguments: The further arguments of pytest.
        environment: The variables that configure the gate; those of this process do not.
        ignored: The signals that the process ignores.
        on_real_time: For runs that need the clocks of a user's run.
    """
    options = (dict(environment or {}), ignored, on_real_time)
    process = FORKS.Process(target=_become_the_gate, args=(folder, arguments, *options))
    process.start()
    process.join()
    output = (folder / "output.txt").read_text()
    sys.stdout.write(output)  # pytest shows it where the test fails
    assert process.exitcode is not None
    return Run(process.exitcode, output, folder)


@pytest.fixture
def run_gate(tmp_path: Path) -> Callable[..., Run]:
    """Run `pytest contract_tests …` as `run_gate_in` does, in the folder of the test."""
    return partial(run_gate_in, tmp_path)


def _become_the_gate(
    folder: Path,
    arguments: tuple[str, ...],
    environment: Mapping[str, str],
    ignored: Sequence[signal.Signals],
    on_real_time: bool,
) -> None:
    gc.enable()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits SIG_IGN
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    os.chdir(folder)
    Path("pid").write_text(str(os.getpid()))
    with Path("output.txt").open("w", encoding="utf-8") as output:
        sys.stdout = sys.stderr = output
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # a debugger finds the end of its input
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        clear_environment()
        os.environ.update(environment)
        plugins = [] if on_real_time else [VirtualTime()]
        # No rule has an assertion, and to search all packages for plugins with assertions takes a fifth of a brief run.
        options = ["-p", "no:cacheprovider", "--assert=plain", "--junitxml=junit.xml", "--rootdir=."]
        code = pytest.main([str(GATE), *options, *arguments], plugins=plugins)
        output.flush()
        os._exit(code)


class VirtualTime:
    """A pytest plugin that gives the gate and the embedded mock one virtual clock."""

    def pytest_configure(self, config: pytest.Config) -> None:
        """Replace the clock of the gate, and that of every mock that this process makes."""
        clock = VirtualClock()
        config.stash[clock_key] = clock.for_gate()

        def make_app_on_virtual_time(*arguments: Any, **options: Any) -> web.Application:
            time.time = clock.now  # aiohttp, too, dates its responses by it
            app = make_app(*arguments, **options, clock=clock.now, sleep=clock.sleep_in_mock)
            app.on_startup.append(clock.attach)
            return app

        vars(embedded_mock)["make_app"] = make_app_on_virtual_time


class OneThreadServer(socketserver.TCPServer):
    """A server that handles connections one after the other, in the order in which they were opened."""

    request_queue_size = 100


@contextmanager
def serving(respond: Respond, server: type[socketserver.TCPServer] = socketserver.ThreadingTCPServer) -> Iterator[str]:
    """Serve the bytes that a function returns for a request's head, on a free port of loopback."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            head = b""
            while (line := self.rfile.readline(1 << 20)) not in {b"\r\n", b""}:
                head += line
            if head:
                self.wfile.write(respond(head))

    with serving_with(Handler, server) as url:
        yield url


@contextmanager
def serving_with(
    handler: type[socketserver.BaseRequestHandler],
    server: type[socketserver.TCPServer] = socketserver.ThreadingTCPServer,
) -> Iterator[str]:
    """Serve connections as a handler does, on a free port of loopback."""
    with server(("127.0.0.1", 0), handler) as listening:
        if isinstance(listening, socketserver.ThreadingMixIn):
            listening.daemon_threads = True
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_address[1]}"
        finally:
            listening.shutdown()
            thread.join()


@pytest.fixture
def serve() -> Iterator[Callable[[Respond], str]]:
    """Serve functions of a request's head, until the test is over; returns base URLs."""
    with ExitStack() as stack:
        yield lambda respond: stack.enter_context(serving(respond))


def http_response(body: bytes, status: str = "200 OK", fields: str = "Content-Type: application/json") -> bytes:
    """Return the bytes of a response, after which the connection is closed."""
    return f"HTTP/1.1 {status}\r\n{fields}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
