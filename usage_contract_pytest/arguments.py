"""The options of the gate, and the words of a command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

REPORT_FILES = ("contract.json", "contract.md", "contract.html")


@dataclass(frozen=True)
class Option:
    """An option of the gate; `contract_tests/run/options.py` adds the help text and the type."""

    name: str
    is_flag: bool = False  # it has no value
    is_secret: bool = False  # its value is never printed
    is_list: bool = False  # it prints a list, and the run sends nothing
    for_requests: bool = False  # it has no effect on recorded traffic
    of_the_whole_run: bool = False  # the command that repeats a single rule leaves it out


OPTIONS = (
    Option("--api-key", is_secret=True),
    Option("--api-key-file", is_secret=True),
    Option("--traffic"),
    Option("--level"),
    Option("--rules", is_flag=True, is_list=True),
    Option("--rules-json", is_flag=True, is_list=True),
    Option("--rule", of_the_whole_run=True),
    Option("--plan", is_flag=True, is_list=True, for_requests=True),
    Option("--known-deviations"),
    Option("--intrusive", is_flag=True, for_requests=True),
    Option("--require-complete", is_flag=True, for_requests=True, of_the_whole_run=True),
    Option("--max-rate", for_requests=True),
    Option("--max-time", for_requests=True),
    Option("--max-requests", for_requests=True),
    Option("--answer-timeout", for_requests=True),
    Option("--header", is_secret=True, for_requests=True),
    Option("--ca-file", for_requests=True),
    Option("--report-dir", of_the_whole_run=True),
    Option("--compare", of_the_whole_run=True),
    Option("--proxy", for_requests=True),
)
OPTION_NAMES = frozenset(option.name for option in OPTIONS)
FLAGS = frozenset(option.name for option in OPTIONS if option.is_flag)
SECRET_OPTIONS = frozenset(option.name for option in OPTIONS if option.is_secret)


class Word(NamedTuple):
    """A word of a command line, as an option.

    Its value follows `=`, or is the next word. A flag of the gate has none, and neither has the last word.
    `start` and `end` are the range of the words of both.
    """

    option: str
    value: str | None
    start: int
    end: int


def expanded(arguments: Iterable[str]) -> Iterator[str]:
    """Yield the words of a command line, with the lines of the file in place of each `@FILE`, as pytest reads them."""
    for text in arguments:
        try:
            lines = Path(text[1:]).read_text().splitlines() if text.startswith("@") else None
        except (OSError, UnicodeDecodeError):  # pytest reports it
            lines = None
        yield from [text] if lines is None else expanded(lines)


def words(arguments: Sequence[str]) -> Iterator[Word]:
    """Yield each word of a command line, also a word that may be the value of the option before it."""
    for start, text in enumerate(arguments):
        option, equals, value = text.partition("=")
        if equals:
            yield Word(option, value, start, start + 1)
        elif option in FLAGS or start + 1 == len(arguments):
            yield Word(option, None, start, start + 1)
        else:
            yield Word(option, arguments[start + 1], start, start + 2)
