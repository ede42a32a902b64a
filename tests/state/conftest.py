"""Redis servers for the state: a shared one, and ones that a test may end."""

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
    # A socket's path may have 100 characters, which pytest's own folders come close to.
    with tempfile.TemporaryDirectory(prefix="redis") as folder:
        server = Redis(Path(folder))
        server.start()
        yield server
        server.end()


@pytest.fixture
def url(redis: Redis) -> str:
    """A place for a state of its own."""
    return f"{redis.url}#test-{next(_numbers)}"


@pytest.fixture
def lasting() -> Iterator[Redis]:
    """A server that keeps all that it answered, and that a test may end."""
    with tempfile.TemporaryDirectory(prefix="redis") as folder:
        server = Redis(Path(folder), "--appendonly", "yes", "--appendfsync", "always")
        server.start()
        yield server
        server.end(signal.SIGKILL)
