"""The supervisor of several workers ends even if a worker does not react."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

WAIT = 60.0  # seconds: hundreds of times the grace period and the margin after it

CODE = """
import signal, sys
from mock_server.command import workers
from mock_server.options import MockOptions

def serve(port):
    {before}
    sys.stdout.write(f"LISTENING {{port}}\\n")
    sys.stdout.flush()
    while True:
        signal.pause()

workers.MARGIN = 0.1
sys.exit(workers.supervise(serve, MockOptions(port=0, workers=2, grace={grace})))
"""

IGNORES_SIGTERM = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
NEEDS_TWO_SIGNALS = """
    def receive(*_):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sys.stderr.write("stopping\\n")  # at once, as two workers share the stream
    signal.signal(signal.SIGTERM, receive)
"""
HANGING = "print('starting', file=sys.stderr, flush=True); signal.pause()"


@contextmanager
def supervisor(before: str, grace: float = 0.1) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """Run a supervisor whose workers execute `before` first; yield it with a list for its workers."""
    command = [sys.executable, "-c", CODE.format(before=before, grace=grace)]
    workers: list[psutil.Process] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process, workers
        finally:
            process.kill()
            for worker in workers:
                if worker.is_running():
                    worker.kill()


def children(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_does_not_react_is_killed_after_the_grace_period(number: signal.Signals) -> None:
    with supervisor(IGNORES_SIGTERM) as (process, workers):
        assert process.stdout and process.stderr
        assert process.stdout.readline().startswith("LISTENING ")
        workers += children(process)
        assert len(workers) == 2
        process.send_signal(number)
        assert process.wait(WAIT) == 0
        assert not any(worker.is_running() for worker in workers)
        lines = process.stderr.read().splitlines()
        assert lines == [f"usage-mock: worker {each.pid} did not end within 0.2 s and was killed" for each in workers]


def test_a_worker_that_is_suspended_by_a_signal_is_killed() -> None:
    with supervisor("pass") as (process, workers):
        assert process.stdout and process.stderr
        process.stdout.readline()
        workers += children(process)
        os.kill(workers[0].pid, signal.SIGSTOP)
        while workers[0].status() != psutil.STATUS_STOPPED:  # otherwise SIGTERM may be delivered first
            os.sched_yield()
        process.terminate()
        assert process.wait(WAIT) == 0
        assert f"worker {workers[0].pid} did not end" in process.stderr.read()


def test_the_supervisor_ends_while_a_worker_hangs_before_it_listens() -> None:
    with supervisor(HANGING) as (process, workers):
        assert process.stderr
        assert process.stderr.readline() == "starting\n"
        workers += children(process)
        process.terminate()
        assert process.wait(WAIT) == 0
        assert not any(worker.is_running() for worker in workers)


def test_the_supervisor_passes_a_second_signal_to_its_workers() -> None:
    with supervisor(NEEDS_TWO_SIGNALS, grace=3600) as (process, workers):
        assert process.stdout and process.stderr
        assert process.stdout.readline().startswith("LISTENING ")
        workers += children(process)
        process.terminate()
        assert [process.stderr.readline() for _ in workers] == ["stopping\n"] * 2
        process.terminate()
        assert process.wait(WAIT) == 0
