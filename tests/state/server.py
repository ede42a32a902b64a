"""A real Redis or Valkey, which can be killed, stopped and started again."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
import redis

from tests.support.tiers import REDIS


class Redis:
    """A server on a socket in a folder; what it keeps on disk outlives it."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._command = [str(REDIS), "--port", "0", "--unixsocket", "redis.sock", "--save", "", *options]
        self.folder = folder
        self.url = f"unix://{folder}/redis.sock"

    @property
    def pid(self) -> int:
        """The process's id, once it was started."""
        return self._process.pid

    def asked(self, command: str) -> int:
        """Return how often it was asked something."""
        with redis.Redis(unix_socket_path=f"{self.folder}/redis.sock") as client:
            return int(client.info("commandstats")[f"cmdstat_{command}"]["calls"])

    def start(self) -> None:
        """Return when it answers."""
        self._process = subprocess.Popen(self._command, cwd=self.folder, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        log = []
        for line in self._process.stdout:
            log.append(line)
            if "eady to accept connections" in line:
                return
        pytest.fail(f"redis-server does not start:\n{''.join(log)}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Return when it has ended by a signal."""
        self.signal(number)
        self._process.communicate()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)
