"""YAML and JSON files that remember the line of every value."""

from __future__ import annotations

import errno
import io
import math
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

YAML_TAG = "tag:yaml.org,2002:"

# Half of a character outside the Basic Multilingual Plane, which JSON text cannot contain.
SURROGATE = re.compile("[\\ud800-\\udfff]")

# No document or fixture comes near it, and the parser, which is pure Python, takes minutes for more.
MAX_BYTES = 16 * 1024 * 1024

# A document whose aliases multiply it beyond both limits is an alias bomb: walking it could take hours.
MAX_ALIASED_VALUES = 100_000
MAX_ALIAS_FACTOR = 10

# The maximum number of problems in one message.
SHOWN = 20

# The functions behind `os`, which a library that replaces the file system leaves alone.
_REAL: Any = import_module("nt" if sys.platform == "win32" else "posix")

# The folders of the project: in a checkout fixtures and documents lie beside the packages.
_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
_OWN = tuple(os.path.join(_ROOT, name) for name in ("usage_contract", "mock_server", "fixtures", "openapi"))  # noqa: PTH118


@dataclass(eq=False)
class SourceError(Exception):
    """A file that cannot be used as it is.

    Attributes:
        path: The file or folder.
        line: The line, from 1; 0 for the file as a whole.
        pointer: A JSON Pointer (RFC 6901) into the file, empty for the file as a whole.
        problem: The problem.
        advice: A hint at the repair.
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


@dataclass(frozen=True)
class Source:
    """A parsed file, with the line of each value."""

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
    """Read one YAML 1.2 (or JSON) file.

    Raises:
        SourceError: The file is missing, unreadable, not a regular file, or too long. Its text is not UTF-8 or not
            YAML, repeats a key, or is an alias bomb.
    """
    return _read(path, _composed)


def read_document(path: Path) -> Source:
    """Read one YAML 1.2 (or JSON) document as JSON values.

    Dates are texts, names are the texts as they are written, and no two values are the same object.

    Raises SourceError as `read` does, and for a value that JSON lacks.
    """
    source = _read(path, _composed_of_texts)
    try:
        return Source(path, _json_value(source, source.data), source.root)
    except RecursionError:
        raise source.error("", "is nested too deeply", "nest fewer values") from None


def _read(path: Path, compose: Callable[[str], Node | None]) -> Source:
    try:
        text = read_bytes(path).decode()
        root = compose(text)
        if root is None:
            raise SourceError(path, 1, "", "is empty")
        _check_aliases(path, root)
        data = YAML(typ="safe", pure=True).constructor.construct_document(root)
    except OSError as error:
        raise SourceError(path, 0, "", f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SourceError(path, line, "", "is not UTF-8 text", "save it as UTF-8") from None
    except DuplicateKeyError as error:
        assert root is not None  # the parser has ended
        raise _repeated(path, root, error) from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = (error.problem or "cannot be parsed").split("\n")[0]
        raise SourceError(path, line, "", f"is not valid YAML: {problem}") from None
    except RecursionError:
        raise SourceError(path, 0, "", "is nested too deeply", "nest fewer values") from None
    except (YAMLError, ValueError) as error:
        raise SourceError(path, 1, "", f"is not valid YAML: {str(error).splitlines()[0]}") from None
    return Source(path, data, root)


@lru_cache(maxsize=8)  # each mock of a client's tests reads the same documents and deployment
def _composed(text: str) -> Node | None:
    """Return the nodes of a YAML document: parsing takes most of the time of reading."""
    root: Node | None = YAML(typ="safe", pure=True).compose(text)
    return root


def _repeated(path: Path, root: Node, error: DuplicateKeyError) -> SourceError:
    """Return the error for a mapping that has a name twice."""
    mappings = ((place, node) for place, node in _nodes(root) if isinstance(node, MappingNode))
    place, mapping = next(found for found in mappings if found[1].start_mark == error.context_mark)
    names = [name for name, _ in mapping.value]
    repeated = next(name for name in names if name.start_mark == error.problem_mark)
    first = next(name for name in names if name.value == repeated.value)
    line = f"the name of line {first.start_mark.line + 1}" if first is not repeated else "a name in another spelling"
    at = pointer(*place, *([repeated.value] if isinstance(repeated, ScalarNode) else []))
    return SourceError(path, repeated.start_mark.line + 1, at, f"repeats {line}", "remove or rename one of them")


def _nodes(root: Node) -> Iterator[tuple[tuple[str, ...], Node]]:
    """Yield each node of a document once, with the tokens of its first place."""
    seen: set[int] = set()
    waiting: list[tuple[tuple[str, ...], Node]] = [((), root)]
    while waiting:
        place, node = waiting.pop()
        if id(node) not in seen:
            seen.add(id(node))
            yield place, node
            waiting += [((*place, token), child) for token, (_, child) in _children(node)]


@lru_cache(maxsize=8)
def _composed_of_texts(text: str) -> Node | None:
    """Return the nodes of a YAML document, in which names and dates are texts as in JSON."""
    root: Node | None = YAML(typ="safe", pure=True).compose(text)
    for _, node in _nodes(root) if root is not None else ():
        if isinstance(node, ScalarNode) and node.tag == f"{YAML_TAG}timestamp":
            node.tag = f"{YAML_TAG}str"
        for name, _ in node.value if isinstance(node, MappingNode) else ():
            if isinstance(name, ScalarNode) and name.tag != f"{YAML_TAG}merge":
                name.tag = f"{YAML_TAG}str"
    return root


def _json_value(source: Source, value: Any, *at: str | int) -> Any:
    """Return a copy of a value whose parts are not shared; `at` are the tokens of its place."""
    if isinstance(value, dict):
        for name in value:
            if not isinstance(name, str):
                raise source.error(pointer(*at), "has a name that is not a text", "use a text as the name")
        return {name: _json_value(source, member, *at, name) for name, member in value.items()}
    if isinstance(value, list):
        return [_json_value(source, item, *at, index) for index, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise source.error(pointer(*at), f"is {value}, which JSON lacks", "use a finite number")
    if isinstance(value, str) and SURROGATE.search(value):
        raise source.error(pointer(*at), "contains half of a surrogate pair", "use whole characters")
    if value is not None and not isinstance(value, str | int | float):
        raise source.error(pointer(*at), f"is a {type(value).__name__}, which JSON lacks", "use a text")
    return value


def as_yaml(value: Any) -> str:
    """Return a JSON value as YAML."""
    yaml, text = YAML(), io.StringIO()
    yaml.representer.ignore_aliases = lambda _: True
    yaml.dump(value, text)
    return text.getvalue()


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


def _check_aliases(path: Path, root: Node) -> None:
    """Raise SourceError for a document whose aliases contain themselves or multiply its size; visit each node once."""
    sizes: dict[int, int] = {}  # by node; 0 while the node's descendants are visited
    waiting: list[tuple[Node, bool]] = [(root, False)]
    while waiting:
        node, is_measured = waiting.pop()
        children = _values(node)
        if is_measured:
            sizes[id(node)] = 1 + sum(sizes[id(child)] for child in children)
            continue
        if id(node) in sizes:
            if not sizes[id(node)]:
                advice = "an alias must not refer to one of its own ancestors"
                raise SourceError(path, root.start_mark.line + 1, "", "contains itself", advice)
            continue
        sizes[id(node)] = 0
        waiting += [(node, True), *((child, False) for child in children)]
    if sizes[id(root)] > max(MAX_ALIASED_VALUES, MAX_ALIAS_FACTOR * len(sizes)):
        problem = f"multiplies its {len(sizes)} values to more than {MAX_ALIASED_VALUES} by aliases"
        raise SourceError(path, 0, "", problem, "repeat fewer aliases")


def _values(node: Node) -> list[Node]:
    """Return the nodes directly below a node: keys, values and entries."""
    if isinstance(node, MappingNode):
        return [child for pair in node.value for child in pair]
    return list(node.value) if isinstance(node, SequenceNode) else []


def pointer(*tokens: str | int) -> str:
    """Build a JSON Pointer (RFC 6901) from its unescaped tokens."""
    return "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in tokens)


def pointer_tokens(text: str) -> list[str]:
    """Split a JSON Pointer into its unescaped tokens."""
    return [token.replace("~1", "/").replace("~0", "~") for token in text.split("/")[1:]]


def parts(value: Any) -> Iterable[tuple[Any, Any]]:
    """Return the members of an object by name, or the items of an array by index; nothing for any other value."""
    return value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()


def subscript(value: Any, token: str) -> str | int | None:
    """Return the name or the index in a value that a token of a JSON Pointer means; None where the value lacks it."""
    if isinstance(value, dict):
        return token if token in value else None
    is_index = isinstance(value, list) and token.isdecimal() and int(token) < len(value)
    return int(token) if is_index else None


def _children(node: Node) -> Iterator[tuple[str, tuple[int, Node]]]:
    """Yield each child's pointer token with its line and node."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield str(key.value), (key.start_mark.line + 1, value)
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            yield str(index), (value.start_mark.line + 1, value)
