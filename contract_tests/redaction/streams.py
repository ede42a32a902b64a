"""Standard streams that redact and escape their text, and drop it once they cannot be written."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from contract_tests.redaction.escaping import escaped, unfinished
from contract_tests.redaction.redactor import Redactor


def drop_output(stream: Any) -> None:
    """Send the rest of a stream that cannot be written to the null device: Python would fail to flush it at the end."""
    with suppress(OSError, ValueError), Path(os.devnull).open("w") as nothing:  # a stream without a file has no buffer
        os.dup2(nothing.fileno(), stream.fileno())
        stream.flush()


def flush_standard_streams() -> None:
    """Flush standard output and standard error, and drop text that cannot be written: the exit code must not change."""
    for stream in filter(None, (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)):
        try:
            stream.flush()
        except (OSError, ValueError):
            drop_output(stream)


class RedactedStream(io.TextIOBase):
    """A text stream that redacts and escapes what is written to another one.

    `styled` states whether pytest's colours pass. `failure` is why the other stream could not be written, such as a
    full disk. From then on everything is dropped.
    """

    def __init__(self, stream: Any, redact: Redactor, *, styled: bool = False) -> None:
        self.stream, self.redact, self.styled = stream, redact, styled
        self.failure = ""
        self._line = ""

    def write(self, text: str) -> int:
        """Write the text without secrets, and without commands to a terminal or to a CI system."""
        self._pass(escaped(self.redact(text), self._line, styled=self.styled))
        return len(text)

    def write_command(self, command: str) -> None:
        """Write a command to the CI system on a separate line; its parts are escaped already."""
        self._pass(self.redact(f"{command}\n"))

    def _pass(self, shown: str) -> None:
        if not self.failure:
            with self._dropping_output():
                self.stream.write(shown)
        self._line = unfinished((self._line + shown).rpartition("\n")[2])

    def flush(self) -> None:
        """Flush the other stream."""
        if not self.failure:
            with self._dropping_output():
                self.stream.flush()

    @contextmanager
    def _dropping_output(self) -> Iterator[None]:
        """Note an error of the other stream, and drop what it has not written."""
        try:
            yield
        except OSError as error:
            self.failure = error.strerror or str(error)
            drop_output(self.stream)

    def isatty(self) -> bool:
        """Whether the other stream is a terminal."""
        return bool(self.stream.isatty())
