"""Several processes behind one port: the parent starts them, replaces one that dies, and stops all."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from mock_server.options import MockOptions
from mock_server.streams import write_output
from usage_contract.errors import reason

STOPPING = (signal.SIGINT, signal.SIGTERM)
WATCHED = (*STOPPING, signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else ()

PAUSE = 1.0  # seconds until a worker that could not start is tried again
SIGNAL_POLL_INTERVAL = 0.1  # seconds between two checks for a signal while a worker starts

# The seconds after the grace period that a worker has to close its files and its connection to the state.
MARGIN = 2.0

IS_POSSIBLE = hasattr(os, "fork") and hasattr(socket, "SO_REUSEPORT")


class WorkerError(ChildProcessError):
    """A worker exited before it was listening; its own log line gives the reason."""


def supervise(serve: Callable[[int], int], options: MockOptions, announce: Callable[[str], None] | None = None) -> int:
    """Run a server in several processes until SIGINT or SIGTERM, and return the exit code.

    The parent prints the LISTENING line when all workers listen.

    Args:
        serve: Listens on a port with SO_REUSEPORT, prints the LISTENING line, and returns an exit code.
        options: The options: host, port, the number of workers, and the seconds after the signal, without MARGIN, after
            which a worker is killed.
        announce: Called with the base URL when all workers listen.

    Raises:
        OSError: The address cannot be used.
        WorkerError: The first worker exited before it was listening.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    with _reserved(options.host, options.port) as free:
        workers = _Workers(lambda: serve(free))
        try:
            line = workers.start()  # alone, so that an error is reported once
            for _ in range(1, options.workers):
                workers.start()
            write_output(line)
            if announce is not None:
                announce(line.split()[1])
            while workers.wait() in {None, signal.SIGCHLD}:
                workers.replace_ended()
        except KeyboardInterrupt:
            pass
        finally:
            workers.stop(options.grace + MARGIN)
    return 0


class _Workers:
    """The worker processes."""

    def __init__(self, serve: Callable[[], int]) -> None:
        self._serve = serve
        self._pids: list[int] = []
        self._missing = 0
        self._lifeline, self._held = os.pipe()  # it is closed when the parent has ended, for any reason

    def start(self) -> str:
        """Start a worker, and return its LISTENING line.

        Raises:
            WorkerError: The worker exited before it was listening.
            KeyboardInterrupt: A signal came first; a worker can hang before it listens.
        """
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            self._work(writing)
        os.close(writing)
        self._pids.append(pid)
        with os.fdopen(reading) as lines:
            while not select.select([lines], [], [], SIGNAL_POLL_INTERVAL)[0]:
                if signal.sigpending() & set(STOPPING):
                    raise KeyboardInterrupt
            line = lines.readline()
        if not line.startswith("LISTENING "):
            self._pids.remove(pid)
            os.waitpid(pid, 0)
            raise WorkerError("a worker exited before it was listening; its own log line gives the reason")
        return line

    def wait(self) -> int | None:
        """Wait for a signal and return it; None when it is time to start a missing worker."""
        if not self._missing:
            return signal.sigwait(WATCHED)
        received = signal.sigtimedwait(STOPPING, PAUSE)
        return received.si_signo if received else None

    def replace_ended(self) -> None:
        """Start a worker for each that has ended; one that cannot start is tried again later."""
        for pid in tuple(self._pids):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._pids.remove(pid)
                self._missing += 1
                sys.stderr.write(f"usage-mock: worker {pid} {_end(status)}; it is replaced\n")
        with suppress(WorkerError):  # its log line gives the reason
            while self._missing:
                self.start()
                self._missing -= 1

    def stop(self, seconds: float) -> None:
        """Send SIGTERM to all workers, SIGKILL to those that have not ended after `seconds`, and wait for their end.

        A further signal to the parent is passed on, because it ends the grace period of a worker.
        """
        self._terminate()
        deadline = time.monotonic() + seconds
        while self._running() and (left := deadline - time.monotonic()) > 0:
            received = signal.sigtimedwait(WATCHED, left)
            if received and received.si_signo in STOPPING:
                self._terminate()
        for pid in self._pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            sys.stderr.write(f"usage-mock: worker {pid} did not end within {seconds:g} s and was killed\n")

    def _terminate(self) -> None:
        for pid in self._pids:
            os.kill(pid, signal.SIGTERM)  # one that has ended is there until it is waited for

    def _running(self) -> list[int]:
        """Return the workers that have not ended, and forget the others."""
        self._pids = [pid for pid in self._pids if not os.waitpid(pid, os.WNOHANG)[0]]
        return self._pids

    def _work(self, writing: int) -> None:
        code = 1
        try:
            os.close(self._held)
            threading.Thread(target=self._stop_with_parent, daemon=True).start()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
            os.dup2(writing, 1)
            os.close(writing)
            code = self._serve()
        except BaseException:  # it must not continue as a second parent
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _stop_with_parent(self) -> None:
        os.read(self._lifeline, 1)
        os.kill(os.getpid(), signal.SIGTERM)


def _end(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


@contextmanager
def _reserved(host: str, port: int) -> Iterator[int]:
    """Reserve a free port for sockets with SO_REUSEPORT; 0 picks one."""
    try:
        family, _, _, _, (name, *place) = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family) as alone:  # without SO_REUSEPORT: the port of other workers is not free
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind((name, *place))
            place[0] = alone.getsockname()[1]
        reserved = socket.socket(family)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind((name, *place))
    except (OSError, ValueError) as error:  # ValueError: the host is not a host name
        raise OSError(f"cannot listen on {host} port {port}: {reason(error)}") from None
    with reserved:
        yield int(place[0])
