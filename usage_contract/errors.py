"""Errors of files, with their places, and the reasons of errors of the operating system."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# The maximum number of problems in one message.
SHOWN = 20


@dataclass(eq=False)
class SourceError(Exception):
    """A file that cannot be used as it is.

    Attributes:
        path: The file or folder.
        line: The line, from 1; 0 for the file as a whole.
        pointer: A JSON Pointer (RFC 6901) into the file, empty for the file as a whole.
        problem: The problem.
        advice: How to repair the file.
    """

    path: Path
    line: int
    pointer: str
    problem: str
    advice: str = ""

    def __str__(self) -> str:
        where = f"{self.path}{self.line_suffix}"
        if self.pointer:
            where += f" {self.pointer}"
        return f"{where}: {self.problem}" + (f"; {self.advice}" if self.advice else "")

    @property
    def line_suffix(self) -> str:
        """The line after a colon, empty for the file as a whole."""
        return f":{self.line}" if self.line else ""


def listed(errors: Sequence[object]) -> str:
    """Return a line for each of the first SHOWN errors, and the number of the others."""
    more = [f"... and {len(errors) - SHOWN} more"] if len(errors) > SHOWN else []
    return "\n".join([*map(str, errors[:SHOWN]), *more])


def reason(error: Exception) -> str:
    """Return the reason of an error in the words of the operating system: those of asyncio repeat the address."""
    from socket import gaierror  # not needed until the first error
    from ssl import SSLError

    if isinstance(error, OSError) and error.errno and not isinstance(error, gaierror | SSLError):
        return os.strerror(error.errno)
    return getattr(error, "strerror", None) or str(error)
