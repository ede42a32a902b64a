"""The operations that list the scenarios and faults of the fixture folder."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from operator import itemgetter
from pathlib import Path

from aiohttp import web
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import ScalarEvent

from mock_server.control.context import Call, Context, Operate, json_response
from mock_server.fixtures.faults import FOLDERS
from mock_server.fixtures.files import fixture_files
from mock_server.fixtures.library import Library
from usage_contract import SourceError
from usage_contract.files import read_bytes

UNREADABLE = "The file cannot be read; switch it on to see the reason."

# The members of a file that are listed.
SUMMARY = ("description", "theme")

# The theme of a fault whose file names none.
NO_THEME = "Other"


async def get_scenarios(context: Context, _: Call) -> web.Response:
    """Return the scenarios."""
    return json_response(await _choices(context.simulator.library, "scenarios"))


async def get_faults(context: Context, _: Call) -> web.Response:
    """Return the faults and variants."""
    choices = await _choices(context.simulator.library, *FOLDERS)
    return json_response([{**choice, "theme": choice.get("theme", NO_THEME)} for choice in choices])


async def _choices(library: Library, *kinds: str) -> list[dict[str, str]]:
    choices = []
    for name, path in fixture_files(library.folder, *kinds).items():
        choices.append({"name": name, "description": UNREADABLE, **summary(path)})
        await asyncio.sleep(0)  # there are hundreds of files, and other requests wait
    return sorted(choices, key=itemgetter("name"))


def summary(path: Path) -> Mapping[str, str]:
    """Return the description and the theme of a scenario or fault, as far as its file can be read."""
    try:
        return _summarized(read_bytes(path).decode())
    except (OSError, SourceError, UnicodeDecodeError, YAMLError):
        return {}


@lru_cache(maxsize=1024)  # the console lists hundreds of files each time that it is opened
def _summarized(text: str) -> Mapping[str, str]:
    """Return the summary of a file's text, without parsing the rest: hundreds of files would take seconds."""
    events = YAML(typ="safe", pure=True).parse(text)
    scalars = (str(event.value) for event in events if isinstance(event, ScalarEvent))
    found: dict[str, str] = {}
    for name, value in pairwise(scalars):
        if name in SUMMARY:
            found.setdefault(name, value)
        if len(found) == len(SUMMARY):
            break
    return found


OPERATIONS: tuple[Operate, ...] = (get_scenarios, get_faults)
