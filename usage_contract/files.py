"""Files that are read only if they are regular and not too long, and the folders of the project."""

from __future__ import annotations

import errno
import os
import stat
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from usage_contract.errors import SourceError

# No document or fixture comes near it, and the parser, which is pure Python, takes minutes for more.
MAX_BYTES = 16 * 1024 * 1024

# The functions behind `os`, which a library that replaces the file system leaves alone.
_REAL: Any = import_module("nt" if sys.platform == "win32" else "posix")

# The folders of the project: in a checkout fixtures and documents lie beside the packages.
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
_OWN = tuple(os.path.join(_ROOT, name) for name in ("usage_contract", "mock_server", "fixtures", "openapi"))  # noqa: PTH118


def read_bytes(path: Path) -> bytes:
    """Return the content of a regular file.

    A FIFO or a device is never opened: reading one can block for ever, and opening one can have effects.
    Raises SourceError for a file that is not regular or too long, and OSError.
    """
    system = functions_for(path)
    _check_status(path, system.stat(path))
    descriptor = system.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _check_status(path, system.fstat(descriptor))  # the name can lead to another file by now
        data = b""
        while part := system.read(descriptor, MAX_BYTES + 1 - len(data)):
            data += part
    finally:
        system.close(descriptor)
    if len(data) > MAX_BYTES:
        raise _too_long(path)
    return data


def own_folder(packaged: Path, in_checkout: str) -> Path:
    """Return a folder of the project: inside the package, or beside the package in a checkout."""
    try:
        functions_for(packaged).stat(packaged)
    except OSError:
        return packaged.parents[1] / in_checkout
    return packaged


def functions_for(path: Path) -> Any:
    """Return the functions of the operating system for a path, as the module `os` has them.

    For the project's own files they are the real ones, also where a test has replaced the file system (pyfakefs).
    """
    return _REAL if os.path.abspath(path).startswith(_OWN) else os  # noqa: PTH100 - pathlib can be replaced as well


def _check_status(path: Path, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise SourceError(path, 0, "", "is not a regular file")
    if status.st_size > MAX_BYTES:
        raise _too_long(path)


def _too_long(path: Path) -> SourceError:
    return SourceError(path, 0, "", f"is longer than {MAX_BYTES // 1024 // 1024} MiB")
