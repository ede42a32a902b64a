"""The request log: a line for each request, written by another thread."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache, partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, TextIO

import orjson

from mock_server.journal.entry import Entry
from mock_server.masking import mask_key, printable, printable_target
from mock_server.simulation.clock import Sleep, time_text
from mock_server.web.mock import Mock
from mock_server.wording import counted

Members = Mapping[str, Any]
Format = Callable[[Members], str]

PAUSE = 0.15  # seconds between two checks of the journal
BATCH = 100  # lines after which requests have their turn
MAX_WAITING = 50  # batches that wait for a slow reader
WRITE_TIMEOUT = 1.0  # seconds for the remaining lines when the mock stops

_COLOURS = {2: "\x1b[32m", 3: "\x1b[36m", 4: "\x1b[33m", 5: "\x1b[31m"}
_RED, _FAINT, _PLAIN = "\x1b[31m", "\x1b[2m", "\x1b[0m"


class Writer:
    """Writes to a stream in another thread: a terminal that does not read delays no request.

    The thread holds no lock that the end of the process waits for, unlike those of `logging` and of `sys.stderr`.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = _unshared(stream)
        self._queue: SimpleQueue[str | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="usage-mock-log", daemon=True)
        self._thread.start()

    @property
    def room(self) -> int:
        """The number of texts that can be written now without a long queue."""
        return max(0, MAX_WAITING - self._queue.qsize())

    def write(self, text: str) -> None:
        """Queue a text."""
        self._queue.put(text)

    def close(self) -> None:
        """Write the remaining texts, for at most WRITE_TIMEOUT seconds."""
        self._queue.put(None)
        self._thread.join(WRITE_TIMEOUT)

    def _run(self) -> None:
        for text in iter(self._queue.get, None):
            with suppress(OSError, ValueError):  # a stream without a reader is not an error
                self._stream.write(text)
                self._stream.flush()


class WriterHandler(logging.Handler):
    """Passes the messages of libraries to a writer, because a write to a full pipe would stop the event loop."""

    def __init__(self, writer: Writer) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a message, unless a slow reader has no room for it."""
        if self._writer.room:
            try:
                text = self.format(record)
            except (TypeError, ValueError):  # of a library's own mistake, which logging would print
                text = f"{record.name}: {record.msg!r} could not be formatted"
            self._writer.write(f"{text}\n")


def _unshared(stream: TextIO) -> TextIO:
    """Return another stream to the same file, with locks of its own; a stream in memory stays as it is."""
    try:
        descriptor = stream.fileno()
    except OSError:
        return stream
    return open(descriptor, "w", encoding=stream.encoding, errors="backslashreplace", closefd=False)


class RequestLog:
    """Writes the entries of the journal, and messages, in one format.

    Args:
        mock: The mock.
        writer: Writes the lines.
        format_line: Returns the line of an entry or a message.
    """

    def __init__(self, mock: Mock, writer: Writer, format_line: Format) -> None:
        self._simulator, self._journal, self._writer, self._format = mock.simulator, mock.journal, writer, format_line
        self._last = mock.journal.number

    def say(self, text: str, *, is_error: bool = False) -> None:
        """Write a message, which can have several lines."""
        level, now = "error" if is_error else "info", self._simulator.clock()
        lines = (self._format({"at": now, "level": level, "message": line}) for line in text.splitlines())
        self._writer.write("".join(lines))

    async def run(self, sleep: Sleep = asyncio.sleep) -> None:
        """Write new entries until the task is cancelled."""
        while True:
            await sleep(PAUSE)
            for _ in self._batches():
                await sleep(0)

    def finish(self) -> None:
        """Write the remaining entries, or their number where a slow reader has no time for them.

        Delayed responses that the stop has cut off were logged before: a further line has their number.
        """
        logged, now = self._last, self._simulator.clock()
        for _ in self._batches():
            pass
        self._skip_to(self._journal.number)
        late = [entry for entry in self._journal.entries if entry.number <= logged and entry.at > now]
        if unsent := sum(entry.outcome == "not-sent" for entry in late):
            self.say(f"not sent: {counted(unsent, 'delayed response')}, because the mock stopped")

    def _batches(self) -> Iterator[None]:
        """Write new entries, and yield after each batch; entries that a slow reader has no room for remain."""
        entries = self._journal.since(self._last, BATCH * self._writer.room)
        for start in range(0, len(entries), BATCH):
            batch = entries[start : start + BATCH]
            self._skip_to(batch[-1].number - len(batch))
            self._writer.write("".join(map(self._format, self._members(batch))))
            self._last = batch[-1].number
            yield

    def _skip_to(self, number: int) -> None:
        """Report the number of entries up to a number that the log omits."""
        if skipped := number - self._last:
            self.say(f"{skipped} requests are not shown: they were too many at once, or the journal was cleared")
            self._last = number

    def _members(self, entries: Iterable[Entry]) -> Iterator[Members]:
        shown = printable_target(self._simulator.keys)
        for entry in entries:
            yield {
                "at": entry.received,
                "method": entry.method,
                "target": shown(entry.target, entry.key),
                "status": entry.status,
                "ms": round(entry.seconds * 1000, 2),
                "key": mask_key(entry.key),
                "reason": entry.reason,
                "applied": entry.applied,
                "outcome": "" if entry.outcome == "sent" else entry.outcome,
            }


def as_json(members: Members) -> str:
    """Return a line of JSON, without empty members."""
    shown: dict[str, Any] = {
        name: printable(value) if isinstance(value, str) else value for name, value in members.items() if value != ""
    }
    return orjson.dumps({"time": time_text(shown.pop("at")), **shown}).decode() + "\n"


def as_text(members: Members, *, has_colours: bool = False) -> str:
    """Return a line for people."""

    def paint(colour: str, text: str) -> str:
        return f"{colour}{text}{_PLAIN}" if has_colours else text

    time = paint(_FAINT, _clock_time(int(members["at"])))
    if "message" in members:
        message = printable(members["message"])
        return f"{time} {paint(_RED, message) if members['level'] == 'error' else message}\n"
    status = paint(_COLOURS.get(members["status"] // 100, _PLAIN), str(members["status"]))
    more = [
        members["outcome"],
        members["reason"],
        members["applied"],
        f"key={members['key']}" if members["key"] else "",
    ]
    request = printable(f"{members['method']} {members['target']}".strip())  # a malformed request has no target
    return " ".join([time, status, request, f"{members['ms']:g} ms", *map(printable, filter(None, more))]) + "\n"


as_coloured_text = partial(as_text, has_colours=True)


def format_for(form: str, stream: TextIO, environment: Mapping[str, str] = os.environ) -> Format:
    """Return the format of lines in a stream; see https://no-color.org for NO_COLOR."""
    if form == "json":
        return as_json
    has_colours = stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
    return as_coloured_text if has_colours else as_text


@lru_cache(maxsize=16)
def _clock_time(second: int) -> str:
    return time_text(second)[11:19]
