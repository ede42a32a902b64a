"""The command of the mock, in a subprocess."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def serving(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command on a free port; yield the process and its base URL, and terminate it at the end."""
    command = [sys.executable, "-m", "mock_server", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            listening, _, url = process.stdout.readline().strip().partition(" ")
            assert listening == "LISTENING"
            yield process, url
        finally:
            process.terminate()
