"""A real Redis or Valkey server, which can be killed, suspended and started again."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
import redis

from tests.support.tiers import REDIS


class Redis:
    """A server on a socket in a folder; its files remain when it ends."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._command = [str(REDIS), "--port", "0", "--unixsocket", "redis.sock", "--save", "", *options]
        self.folder = folder
        self.url = f"unix://{folder}/redis.sock"

    @property
    def pid(self) -> int:
        """The id of the process, after `start`."""
        return self._process.pid

    def calls_of(self, command: str) -> int:
        """Return the number of calls of a command."""
        with redis.Redis(unix_socket_path=f"{self.folder}/redis.sock") as client:
            return int(client.info("commandstats")[f"cmdstat_{command}"]["calls"])

    def start(self) -> None:
        """Start the server, and return when it accepts connections."""
        self._process = subprocess.Popen(self._command, cwd=self.folder, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        log = []
        for line in self._process.stdout:
            log.append(line)
            if "eady to accept connections" in line:
                return
        pytest.fail(f"redis-server does not start:\n{''.join(log)}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal, and return when the server has ended."""
        self.signal(number)
        self._process.communicate()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server."""
        self._process.send_signal(number)
