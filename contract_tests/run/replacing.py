"""Output files that appear at once, when they are complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the file to write in place of a path; it is renamed when it is complete.

    A path that exists is yielded itself: a run removes the earlier files, but not a device, a pipe or a mounted file.
    """
    if path.exists():
        yield path
        return
    path = path.resolve()
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
