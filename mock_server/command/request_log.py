"""The log: a line for each request and for what happens to the mock, written while nobody waits for it."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache, lru_cache
from typing import Any, Literal, TextIO
from urllib.parse import unquote_plus

import orjson

from mock_server.masking import masked_target, printable
from mock_server.simulation.clock import time_text
from mock_server.simulation.journal import Entry, masked
from mock_server.simulation.simulator import Simulator

Form = Literal["text", "json"]
Sleep = Callable[[float], Awaitable[None]]
Facts = Mapping[str, Any]
Show = Callable[[Facts], str]

PAUSE = 0.15  # seconds between two looks into the journal
BATCH = 100  # lines after which requests have their turn
WAITING = 50  # batches that a slow reader may be behind
PATIENCE = 1.0  # seconds for what is still to be written when the mock stops

_COLOURS = {2: "\x1b[32m", 3: "\x1b[36m", 4: "\x1b[33m", 5: "\x1b[31m"}
_RED, _FAINT, _PLAIN = "\x1b[31m", "\x1b[2m", "\x1b[0m"


class Writer:
    """Writes to a stream from a thread of its own: a terminal that stands still stops nobody."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._texts: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="usage-mock-log", daemon=True)
        self._thread.start()

    @property
    def room(self) -> int:
        """How many texts it had better get for now."""
        return max(0, WAITING - self._texts.qsize())

    def write(self, text: str) -> None:
        """Write a text later."""
        self._texts.put(text)

    def close(self) -> None:
        """Write the rest, if that does not take long."""
        self._texts.put(None)
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        with suppress(OSError, ValueError):  # nobody reads any more
            while (text := self._texts.get()) is not None:
                self._stream.write(text)
                self._stream.flush()


class RequestLog:
    """Tells what a journal has got, and what is said, in one form."""

    def __init__(self, simulator: Simulator, writer: Writer, show: Show) -> None:
        self._simulator, self._writer, self._show = simulator, writer, show
        self._told = simulator.journal.number

    def say(self, text: str, *, is_error: bool = False) -> None:
        """Tell something that is no request, in as many lines as it has."""
        level, now = "error" if is_error else "info", self._simulator.clock()
        lines = (self._show({"at": now, "level": level, "message": line}) for line in text.splitlines())
        self._writer.write("".join(lines))

    async def run(self, sleep: Sleep = asyncio.sleep) -> None:
        """Tell what comes, until cancelled."""
        while True:
            await sleep(PAUSE)
            for _ in self._batches():
                await sleep(0)

    def finish(self) -> None:
        """Tell the rest, or how much of it a slow reader has no time for."""
        for _ in self._batches():
            pass
        self._skip_to(self._simulator.journal.number)

    def _batches(self) -> Iterator[None]:
        """Tell what has come, and stop after each batch; what a slow reader has no room for is left for later."""
        entries = self._simulator.journal.since(self._told, BATCH * self._writer.room)
        for start in range(0, len(entries), BATCH):
            batch = entries[start : start + BATCH]
            self._skip_to(batch[-1].number - len(batch))
            self._writer.write("".join(map(self._show, self._facts(batch))))
            self._told = batch[-1].number
            yield

    def _skip_to(self, number: int) -> None:
        """Tell how many requests up to that one the log leaves out."""
        if lost := number - self._told:
            self.say(f"{lost} requests are not shown: they were too many at once, or the journal was cleared")
            self._told = number

    def _facts(self, entries: Iterable[Entry]) -> Iterator[Facts]:
        known = self._simulator.keys

        @cache  # most are alike, and looking for a thousand keys takes its time
        def target(asked: str, key: str) -> str:
            return masked_target(asked, (*known, key))

        for entry in entries:
            told = entry.key if entry.key in unquote_plus(entry.target) else ""
            yield {
                "at": entry.at,
                "method": entry.method,
                "target": target(entry.target, told),
                "status": entry.status,
                "ms": round(entry.seconds * 1000, 2),
                "key": masked(entry.key),
                "reason": entry.reason,
                "applied": entry.applied,
            }


def as_json(facts: Facts) -> str:
    """Return a line of JSON; what there is not is left out."""
    told: dict[str, Any] = {
        name: printable(value) if isinstance(value, str) else value for name, value in facts.items() if value != ""
    }
    return orjson.dumps({"time": time_text(told.pop("at")), **told}).decode() + "\n"


def as_text(facts: Facts) -> str:
    """Return a line for people."""
    return _line(facts, lambda _, text: text)


def as_coloured_text(facts: Facts) -> str:
    """Return a line for people at a terminal."""
    return _line(facts, lambda colour, text: f"{colour}{text}{_PLAIN}")


def show_for(form: Form, stream: TextIO, environment: Mapping[str, str] = os.environ) -> Show:
    """Return how lines look in a stream; see https://no-color.org for NO_COLOR."""
    if form == "json":
        return as_json
    colours = stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
    return as_coloured_text if colours else as_text


def _line(facts: Mapping[str, Any], paint: Callable[[str, str], str]) -> str:
    time = paint(_FAINT, _clock_time(int(facts["at"])))
    if "message" in facts:
        message = printable(facts["message"])
        return f"{time} {paint(_RED, message) if facts['level'] == 'error' else message}\n"
    status = paint(_COLOURS.get(facts["status"] // 100, _PLAIN), str(facts["status"]))
    more = [facts["reason"], facts["applied"], f"key={facts['key']}" if facts["key"] else ""]
    request = printable(f"{facts['method']} {facts['target']}")
    return " ".join([time, status, request, f"{facts['ms']:g} ms", *map(printable, filter(None, more))]) + "\n"


@lru_cache(maxsize=16)
def _clock_time(second: int) -> str:
    return time_text(second)[11:19]
