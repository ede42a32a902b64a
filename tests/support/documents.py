"""The code blocks of a Markdown document, and a shell that runs them in order."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

# Plugins whose start takes seconds; a warning is a failure.
PYTEST_OPTIONS = "-W error -p no:cacheprovider -p no:schemathesis -p no:hypothesispytest"

END = "::end of the command::"
STOP = '[ -z "$server" ] || { kill $server; wait $server; server=; }'
COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)\n?", re.MULTILINE)
# A time of day, and a duration as the log and pytest print it.
VARYING = re.compile(r"\b\d\d:\d\d:\d\d\b|\b[0-9.]+ ms\b|\bin [0-9.]+s\b")
FILE = re.compile(r"(?:#|//) ([\w./-]+\.\w+)\n")


class Block(NamedTuple):
    """A code block: its language (empty for an indented one), its text and the number of its first line."""

    language: str
    text: str
    line: int


class Example(NamedTuple):
    """A command of a console block, and the output that the document shows for it."""

    command: str
    output: str


def blocks(path: Path) -> list[Block]:
    """Return the code blocks of a document."""
    tokens = MarkdownIt("commonmark").parse(path.read_text(encoding="utf-8"))
    codes = [each for each in tokens if each.type in {"fence", "code_block"}]
    return [Block(each.info.strip(), each.content, each.map[0] + 1) for each in codes if each.map]


def examples(text: str) -> Iterator[Example]:
    """Yield the commands of a console block; a line that ends with a backslash continues on the next."""
    before, *parts = COMMAND.split(text)
    assert parts and not before, "a console block starts with a command"
    for command, output in zip(parts[::2], parts[1::2], strict=True):
        yield Example(command, output)


def run_page(path: Path, folder: Path, replacements: Mapping[str, str] | None = None) -> None:
    """Run every block of a document in a folder.

    Raises AssertionError, with the position of the block, for the first one whose result differs from the document.
    """
    with closing(Walkthrough(folder, replacements)) as walkthrough:
        for block in blocks(path):
            try:
                walkthrough.run(block)
            except AssertionError as error:
                raise AssertionError(f"{path.name}:{block.line}: {error}") from None


class Walkthrough:
    """Runs the blocks of a document in one shell and one folder.

    In a shown output, `...` matches any text, whitespace any whitespace, and a duration any duration.

    - `console`: each command must print the shown output. A server, which prints `LISTENING`, runs on a free port.
      It runs until the next server starts.
    - `text`: the last server is stopped, and must have written this text to standard error.
    - `yaml`, `toml`, `python` and `typescript` with a first line `# PATH` or `// PATH` are written to that file.
    - `python` without such a line is run, as is `sh`; both must succeed.

    Any other block fails. `replacements` are made in every command, and undone in its output.
    """

    def __init__(self, folder: Path, replacements: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._replacements = dict(replacements or {})
        self._servers = 0
        self._bash = subprocess.Popen(
            ["bash", "--norc"],
            cwd=folder,
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._send(f"trap {shlex.quote(STOP)} EXIT")

    def run(self, block: Block) -> None:
        """Run one block, and compare its output with that in the document."""
        named = FILE.match(block.text)
        if block.language == "console":
            for example in examples(block.text):
                self._show(example)
        elif block.language == "text":
            self._stop()
            self._compare("the server's log", block.text, self._log.read_text())
        elif named and block.language in {"yaml", "toml", "python", "typescript"}:
            path = self._folder / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._replaced(block.text))
        elif block.language in {"python", "sh"}:
            command = block.text if block.language == "sh" else f"python -W error -c {shlex.quote(block.text)}"
            printed = self._printed(f"{self._replaced(command)}\necho status $?")
            assert printed.endswith("status 0\n"), printed
        else:
            raise AssertionError(f"a block of {block.language or 'no language'} cannot be run")

    def close(self) -> None:
        """End the shell, and with it the server."""
        self._bash.communicate()

    @property
    def _log(self) -> Path:
        return self._folder / f".server-{self._servers}.log"

    def _show(self, example: Example) -> None:
        if example.output.startswith("LISTENING "):
            printed = self._start(example)
        else:
            printed = self._printed(self._replaced(example.command))
        self._compare(example.command, example.output, printed)

    def _start(self, example: Example) -> str:
        """Start a server in the background, and return its first line."""
        self._stop()
        self._servers += 1
        pipe = self._folder / f".server-{self._servers}"
        os.mkfifo(pipe)
        command = self._replaced(example.command)
        self._send(f"{command} </dev/null >{pipe.name} 2>{self._log.name} & server=$!")
        with pipe.open() as lines:
            line = lines.readline()
        assert line.startswith("LISTENING "), self._log.read_text()
        self._replacements[_address(example.output)] = _address(line)
        return line

    def _stop(self) -> None:
        self._printed(STOP)

    def _printed(self, command: str) -> str:
        """Run a command in the shell and return what it prints."""
        self._send(f"{{ {command}\n}} </dev/null; code=$?; printf '\\n{END}\\n'; (exit $code)")
        assert self._bash.stdout
        printed: list[str] = []
        for line in self._bash.stdout:
            if line == f"{END}\n":
                return "".join(printed).removesuffix("\n")
            printed.append(line)
        raise AssertionError(f"the shell ended in {command!r}: {''.join(printed)}")

    def _send(self, command: str) -> None:
        assert self._bash.stdin
        self._bash.stdin.write(f"{command}\n")
        self._bash.stdin.flush()

    def _replaced(self, text: str) -> str:
        for shown, real in self._replacements.items():
            text = text.replace(shown, real)
        return text

    def _compare(self, name: str, shown: str, printed: str) -> None:
        for text, real in self._replacements.items():
            printed = printed.replace(real, text)
        checked = _normalized(printed)
        assert OutputChecker().check_output(_normalized(shown), checked, ELLIPSIS | NORMALIZE_WHITESPACE), (
            f"{name}\n--- shown\n{shown}\n--- printed\n{checked}"
        )


def _normalized(text: str) -> str:
    """Return a text with placeholders for times and durations, and with a newline at its end."""
    return VARYING.sub(lambda found: re.sub(r"[0-9.]+", "N", found[0]), text).rstrip() + "\n"


def _address(line: str) -> str:
    """Return host and port of a `LISTENING` line."""
    return line.split()[1].partition("://")[2]


def _environment() -> dict[str, str]:
    """Return this environment without options of pytest and of the mock, with this Python's commands first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "USAGE_MOCK_"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return kept | {"PATH": path, "PYTEST_ADDOPTS": PYTEST_OPTIONS, "USAGE_MOCK_PORT": "0", "COLUMNS": "120"}
