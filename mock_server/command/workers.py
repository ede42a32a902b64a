"""Several processes behind one port: the parent starts them, replaces one that dies, and stops them all."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

STOPPING = (signal.SIGINT, signal.SIGTERM)
WATCHED = (*STOPPING, signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else ()

PAUSE = 1.0  # seconds until a worker that could not start is tried again

IS_POSSIBLE = hasattr(os, "fork") and hasattr(socket, "SO_REUSEPORT")


class WorkerError(ChildProcessError):
    """A worker ended before it listened, for the reason that it told itself."""


def supervise(host: str, port: int, number: int, serve: Callable[[int], int]) -> int:
    """Run `serve(port)` in `number` processes until SIGINT or SIGTERM, and return the exit code.

    `serve` listens with SO_REUSEPORT, and says LISTENING on standard output when it does. The same line
    of the parent says that all do.
    Raises OSError for an address that cannot be listened on, and WorkerError.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    with _reserved(host, port) as free:
        crew = _Crew(lambda: serve(free))
        try:
            told = crew.start()  # alone, so that what keeps it from its work is told once
            for _ in range(1, number):
                crew.start()
            sys.stdout.write(told)
            sys.stdout.flush()
            while crew.wait() in {None, signal.SIGCHLD}:
                crew.replace_the_dead()
        finally:
            crew.stop()
    return 0


class _Crew:
    """The worker processes."""

    def __init__(self, serve: Callable[[], int]) -> None:
        self._serve = serve
        self._pids: list[int] = []
        self._missing = 0
        self._lifeline, self._held = os.pipe()  # it breaks when the parent is no more, however that came

    def start(self) -> str:
        """Start one more, and return the line that says where it listens.

        Raises WorkerError.
        """
        said, says = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(said)
            self._work(says)
        os.close(says)
        self._pids.append(pid)
        with os.fdopen(said) as lines:
            line = lines.readline()
        if not line.startswith("LISTENING "):
            self._pids.remove(pid)
            os.waitpid(pid, 0)
            raise WorkerError("a worker ended before it listened, for the reason that it told itself")
        return line

    def wait(self) -> int | None:
        """Wait for a signal and return it; None where one that is missing is to be tried again."""
        if not self._missing:
            return signal.sigwait(WATCHED)
        received = signal.sigtimedwait(STOPPING, PAUSE)
        return received.si_signo if received else None

    def replace_the_dead(self) -> None:
        """Start another for each that has ended; one that cannot start, as without the state, is tried again."""
        for pid in tuple(self._pids):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._pids.remove(pid)
                self._missing += 1
                sys.stderr.write(f"usage-mock: worker {pid} {_end(status)}; another takes its place\n")
        with suppress(WorkerError):  # it has told itself why
            while self._missing:
                self.start()
                self._missing -= 1

    def stop(self) -> None:
        """Tell all to stop, and wait until they have."""
        for pid in self._pids:
            os.kill(pid, signal.SIGTERM)  # one that has ended is there until it is waited for
        for pid in self._pids:
            os.waitpid(pid, 0)

    def _work(self, says: int) -> None:
        code = 1
        try:
            os.close(self._held)
            threading.Thread(target=self._stop_with_the_parent, daemon=True).start()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
            os.dup2(says, 1)
            os.close(says)
            code = self._serve()
        except BaseException:  # it must not go on as a second parent
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _stop_with_the_parent(self) -> None:
        os.read(self._lifeline, 1)
        os.kill(os.getpid(), signal.SIGTERM)


def _end(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


@contextmanager
def _reserved(host: str, port: int) -> Iterator[int]:
    """Keep a port, which nobody else has, for sockets with SO_REUSEPORT; 0 picks one."""
    try:
        family, _, _, _, (name, *place) = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family) as alone:  # without SO_REUSEPORT, or other workers' port would be shared
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind((name, *place))
            place[0] = alone.getsockname()[1]
        reserved = socket.socket(family)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind((name, *place))
    except (OSError, ValueError) as error:  # ValueError: a host that is no host name
        raise OSError(f"cannot listen on {host} port {port}: {getattr(error, 'strerror', None) or error}") from None
    with reserved:
        yield int(place[0])
