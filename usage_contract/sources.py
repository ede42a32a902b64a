"""YAML and JSON files that remember the line of every value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode


@dataclass(eq=False)
class SourceError(Exception):
    """A file that cannot be used as it is: where, what is wrong, and what to do next.

    `pointer` is a JSON Pointer (RFC 6901) into the file, empty for the file as a whole.
    """

    path: Path
    line: int
    pointer: str
    problem: str
    advice: str = ""

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}"
        if self.pointer:
            where += f" {self.pointer}"
        return f"{where}: {self.problem}" + (f"; {self.advice}" if self.advice else "")


@dataclass(frozen=True)
class Source:
    """A parsed file: `data` is plain JSON values, `line` says where each of them stands."""

    path: Path
    data: Any
    root: Node

    def line(self, pointer: str) -> int:
        """Return the line (from 1) of the value at a JSON Pointer, or of its nearest ancestor."""
        node = self.root
        line: int = node.start_mark.line + 1
        for token in pointer_tokens(pointer):
            step = dict(_children(node)).get(token)
            if step is None:
                break
            line, node = step
        return line

    def error(self, pointer: str, problem: str, advice: str = "") -> SourceError:
        """Return the error to raise for the value at `pointer`."""
        return SourceError(self.path, self.line(pointer), pointer, problem, advice)


def read(path: Path) -> Source:
    """Read one YAML 1.2 (or JSON) document.

    Raises SourceError when the file is missing, unreadable, not UTF-8, not YAML, or repeats a key.
    """
    yaml = YAML(typ="safe", pure=True)
    try:
        text = path.read_bytes().decode()
        root = yaml.compose(text)
        data = None if root is None else yaml.constructor.construct_document(root)
    except OSError as error:
        raise SourceError(path, 1, "", f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SourceError(path, line, "", "is not UTF-8 text", "save it as UTF-8") from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = (error.problem or "cannot be parsed").split("\n")[0]
        raise SourceError(path, line, "", f"is not valid YAML: {problem}") from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise SourceError(path, 1, "", f"is not valid YAML: {str(error).splitlines()[0]}") from None
    if root is None:
        raise SourceError(path, 1, "", "is empty")
    return Source(path, data, root)


def pointer(*tokens: str | int) -> str:
    """Build a JSON Pointer (RFC 6901) from its unescaped tokens."""
    return "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in tokens)


def pointer_tokens(text: str) -> list[str]:
    """Split a JSON Pointer into its unescaped tokens."""
    return [token.replace("~1", "/").replace("~0", "~") for token in text.split("/")[1:]]


def _children(node: Node) -> Iterator[tuple[str, tuple[int, Node]]]:
    """Yield each child's pointer token with its line and node."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield str(key.value), (key.start_mark.line + 1, value)
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            yield str(index), (value.start_mark.line + 1, value)
