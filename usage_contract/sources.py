"""YAML and JSON files, with the line of each value."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from usage_contract.errors import SourceError
from usage_contract.files import read_bytes
from usage_contract.pointers import pointer, pointer_tokens

YAML_TAG = "tag:yaml.org,2002:"

# The parser's words for a character with which no value begins: a tab, or one of a text that needs quotation marks.
NO_START = "that cannot start any token"

# Half of a character outside the Basic Multilingual Plane, which JSON text cannot contain.
SURROGATE = re.compile("[\\ud800-\\udfff]")

# A document whose aliases multiply it beyond both limits is an alias bomb: walking it could take hours.
MAX_ALIASED_VALUES = 100_000
MAX_ALIAS_FACTOR = 10


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
        advice = "put quotes around the text" if NO_START in problem else ""
        if problem.endswith(f"'\\t' {NO_START}"):
            problem, advice = "has a tab as white space", "use spaces"
        raise SourceError(path, line, "", f"is not valid YAML: {problem}", advice) from None
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


def _check_aliases(path: Path, root: Node) -> None:
    """Raise SourceError for a document whose aliases contain themselves or multiply its size; visit each node once."""
    sizes: dict[int, int] = {}  # by node; 0 while the node's descendants are visited
    waiting: list[tuple[Node, int, bool]] = [(root, 0, False)]
    while waiting:
        node, line, is_measured = waiting.pop()
        children = _values(node)
        if is_measured:
            sizes[id(node)] = 1 + sum(sizes[id(child)] for child, _ in children)
            continue
        if id(node) in sizes:
            if not sizes[id(node)]:
                advice = "an alias must not refer to one of its own ancestors"
                raise SourceError(path, line + 1, "", "contains itself", advice)
            continue
        sizes[id(node)] = 0
        waiting += [(node, line, True), *((child, at, False) for child, at in children)]
    if sizes[id(root)] > max(MAX_ALIASED_VALUES, MAX_ALIAS_FACTOR * len(sizes)):
        problem = f"multiplies its {len(sizes)} values to more than {MAX_ALIASED_VALUES} by aliases"
        raise SourceError(path, 0, "", problem, "repeat fewer aliases")


def _values(node: Node) -> list[tuple[Node, int]]:
    """Return the nodes directly below a node, keys, values and entries, each with its line, from 0.

    The mark of an alias is that of its anchor: its line is that of its name, or of the sequence that contains it.
    """
    if isinstance(node, MappingNode):
        return [(child, pair[0].start_mark.line) for pair in node.value for child in pair]
    entries = node.value if isinstance(node, SequenceNode) else []
    return [(entry, max(entry.start_mark.line, node.start_mark.line)) for entry in entries]


def _children(node: Node) -> Iterator[tuple[str, tuple[int, Node]]]:
    """Yield each child's pointer token with its line and node."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield str(key.value), (key.start_mark.line + 1, value)
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            yield str(index), (value.start_mark.line + 1, value)
