"""Standard streams: ones that a parent process has closed, and encodings that lack characters."""

from __future__ import annotations

import io
import os
import sys
from importlib import import_module
from typing import Any

# The functions behind `os`, which a library that replaces the file system leaves alone.
_REAL: Any = import_module("nt" if sys.platform == "win32" else "posix")


def open_closed_streams() -> None:
    """Open each closed standard stream on the null device.

    Otherwise the event loop gets its descriptor, and libuv aborts the process when it closes that.
    """
    for number in range(3):
        try:
            _REAL.fstat(number)
        except OSError:
            opened = _REAL.open(os.devnull, os.O_RDWR)
            if opened != number:
                _REAL.dup2(opened, number)
                _REAL.close(opened)


def write_output(text: str) -> None:
    """Write to standard output at once.

    Raises:
        OSError: Standard output cannot be written; the text of the error says so.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        raise output_error(error) from None


def output_error(error: OSError) -> OSError:
    """Return an error of standard output with its place, and discard the rest of the output."""
    null = _REAL.open(os.devnull, os.O_WRONLY)
    _REAL.dup2(null, sys.stdout.fileno())  # the interpreter would try to write it again when it exits
    _REAL.close(null)
    return OSError(f"standard output: cannot be written: {error.strerror}")


def prepare_streams() -> None:
    """Let a command write any text to its standard streams, even if they are closed."""
    open_closed_streams()
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - until the end
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - until the end
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error has it
