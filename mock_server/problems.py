"""Problems of files as text that discloses no API key: the same for `usage-mock check` and for the reload log."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

from mock_server.fixtures import folder
from mock_server.journal import masked
from mock_server.validation import FixtureError
from usage_contract import SourceError
from usage_contract.sources import pointer, pointer_tokens, read_bytes

# The folders of the files whose names can be API keys.
_FOLDERS = ("deployments", "scenarios")

# The mappings in these files whose names are the user's own.
_FREE = frozenset({"keys", "traffic", "growth"})

# A name that is this similar to a name of the schema is a misspelling of it.
_SIMILAR = 0.8

_QUOTED = re.compile(r"""(["'])..+\1""")


def text_of(error: Exception) -> str:
    """Return the problems of a file, or another problem, without API keys."""
    if isinstance(error, FixtureError):
        return str(FixtureError(map(_without_keys, error.errors)))
    return str(_without_keys(error) if isinstance(error, SourceError) else error)


def _without_keys(error: SourceError) -> SourceError:
    if error.path.parent.name not in _FOLDERS:
        return error
    if error.problem.startswith("is not valid YAML"):  # the parser quotes the text, which can be a key
        return replace(error, problem=_QUOTED.sub("…", error.problem))
    return replace(error, pointer=pointer(*_shown(pointer_tokens(error.pointer), _names())))


def _shown(tokens: list[str], names: frozenset[str]) -> Iterator[str]:
    """Mask every token that the schema does not name: a key that is misplaced can be any of them."""
    before = ""
    for token in tokens:
        is_known = before not in _FREE and (token in names or _is_misspelled(token, names))
        yield token if is_known else masked(token)
        before = token


def _is_misspelled(token: str, names: frozenset[str]) -> bool:
    return bool(difflib.get_close_matches(token, names, n=1, cutoff=_SIMILAR))


@cache
def _names() -> frozenset[str]:
    """Return all names that the schemas of deployments and scenarios define."""
    schemas = [json.loads(read_bytes(folder() / f"{kind}.schema.json")) for kind in ("deployment", "scenario")]
    return frozenset(_property_names(schemas))


def _property_names(schema: Any) -> Iterator[str]:
    for name, part in schema.items() if isinstance(schema, dict) else enumerate(schema):
        if name == "properties":
            yield from part
        if isinstance(part, dict | list):
            yield from _property_names(part)
