"""The report of an error that ends a command."""

from __future__ import annotations

import sys

# The exit code of a command that an error has ended.
FAILED = 4


def report(text: str) -> int:
    """Print the lines of an error, and return the exit code."""
    for line in text.splitlines():
        sys.stderr.write(f"usage-mock: {line}\n")
    return FAILED
