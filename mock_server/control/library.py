"""The operations that list the scenarios and faults of the fixture folder."""

from __future__ import annotations

import asyncio
from operator import itemgetter

from aiohttp import web

from mock_server.control.context import Call, Context, Operate, json_response
from mock_server.fixtures.faults import FOLDERS
from mock_server.fixtures.files import fixture_files
from mock_server.fixtures.library import Library
from mock_server.fixtures.summaries import summary

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
        choices.append({"name": name, **summary(path)})
        await asyncio.sleep(0)  # there are hundreds of files, and other requests wait
    return sorted(choices, key=itemgetter("name"))


OPERATIONS: tuple[Operate, ...] = (get_scenarios, get_faults)
