"""Redis servers for the shared state: one for all tests, and one for each test that stops it."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from .server import Redis

_numbers = count()


@pytest.fixture(scope="session")
def redis() -> Iterator[Redis]:
    # The path of a socket is limited to about 100 characters, so tmp_path would be too long.
    with tempfile.TemporaryDirectory(prefix="redis") as folder:
        server = Redis(Path(folder))
        server.start()
        yield server
        server.end()


@pytest.fixture
def url(redis: Redis) -> str:
    """The URL of a state that no other test uses."""
    return f"{redis.url}#test-{next(_numbers)}"


@pytest.fixture
def durable() -> Iterator[Redis]:
    """A server that writes every change to disk, and that a test may stop."""
    with tempfile.TemporaryDirectory(prefix="redis") as folder:
        server = Redis(Path(folder), "--appendonly", "yes", "--appendfsync", "always")
        server.start()
        yield server
        server.end(signal.SIGKILL)
