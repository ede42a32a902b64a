"""Hot reload: files that change are served a moment later, and broken ones are told and wait until they are mended."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from mock_server.fixtures.deployments import folder
from mock_server.fixtures.faults import FOLDERS, load_fault
from mock_server.fixtures.scenarios import load_scenario
from mock_server.fixtures.validation import FixtureError
from mock_server.masking import printable
from mock_server.simulation.journal import masked
from mock_server.suggestions import UnknownNameError
from mock_server.web.server import FRONT
from usage_contract import ContractError, OverlayError, SourceError
from usage_contract.contract import folder as shipped_documents
from usage_contract.sources import pointer, pointer_tokens

PAUSE = 0.25  # seconds between two looks

# How many files are named.
LISTED = 3

# What is checked although it may not be in use.
LOADERS: Mapping[str, Callable[[str, Path], object]] = {
    "scenarios": load_scenario,
    **dict.fromkeys(FOLDERS, load_fault),
}

# What says all that there is to say of a file.
EXPECTED = (FixtureError, UnknownNameError, ContractError, OverlayError, SourceError, OSError, UnicodeError)

Files = Mapping[Path, tuple[int, ...]]

log = logging.getLogger("mock_server")


class Reloader:
    """Has an app built anew when a file that it was built from has changed.

    `build` makes the app, or raises what is wrong; `say` is told what happened.
    """

    def __init__(
        self,
        app: web.Application,
        build: Callable[[], web.Application],
        say: Callable[..., None],
        *,
        deployment: str = "default",
        fixtures: Path | None = None,
        documents: Path | None = None,
    ) -> None:
        self._front, self._build, self._say = app[FRONT], build, say
        self._fixtures, self._deployment = fixtures or folder(), deployment
        kinds = ("deployments", "scenarios", *FOLDERS)
        self._folders = [documents or shipped_documents(), *(self._fixtures / kind for kind in kinds)]
        self._served = self._tried = self._seen = self._files()
        self._runner: web.AppRunner | None = None

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Look again and again, until cancelled."""
        try:
            while True:
                await sleep(PAUSE)
                await self.look()
        finally:
            await self._use(None)

    async def look(self) -> None:
        """Look once: what has changed, and not since the last look, is served or told."""
        before, self._seen = self._seen, self._files()
        if self._seen != before or self._seen == self._tried:  # half a file may be written by now
            return
        self._tried = self._seen
        changed = self._changed()
        try:
            app = await asyncio.to_thread(self._built, changed)
            runner = web.AppRunner(app)
            await runner.setup()
            assert runner.server is not None
            self._front.renew(app[FRONT], runner.server.request_handler)
        except EXPECTED as error:
            self._tell(_text(error), _place(error) or _listed(changed))
        except Exception as error:
            log.exception("a changed file cannot be served")
            self._tell(f"{_listed(changed)}: {type(error).__name__}", _listed(changed))
        else:
            await self._use(runner)
            self._served = self._tried
            self._say(f"serving {_listed(changed) or 'what was there before'}")

    def _changed(self) -> list[Path]:
        now, then = self._seen, self._served
        return sorted(path for path in {*now, *then} if now.get(path) != then.get(path))

    def _tell(self, text: str, where: str) -> None:
        self._front.trouble(text, _in_a_field(where))
        self._say(f"{text}\nstill serving what was there before", is_error=True)

    async def _use(self, runner: web.AppRunner | None) -> None:
        old, self._runner = self._runner, runner
        if old:
            await old.cleanup()

    def _built(self, changed: Iterable[Path]) -> web.Application:
        for path in changed:
            load = LOADERS.get(path.parent.name)
            if load and path.parent.parent == self._fixtures and path.exists():
                load(path.stem, self._fixtures)
        return self._build()

    def _files(self) -> Files:
        return {path: stamp for folder in self._folders for path, stamp in _stamps(folder) if self._is_used(path)}

    def _is_used(self, path: Path) -> bool:
        return path.parent.name != "deployments" or path.stem == self._deployment


def _stamps(folder: Path) -> Iterator[tuple[Path, tuple[int, ...]]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".yaml") and not entry.name.startswith("."):
                    found = entry.stat()
                    yield folder / entry.name, (found.st_mtime_ns, found.st_size, found.st_ino)
    except OSError:  # a folder need not be there, and a file may go at any time; what cannot be read is told when built
        return


def _text(error: Exception) -> str:
    """Return what is wrong, without the keys of a deployment."""
    return str(FixtureError(map(_without_keys, error.errors)) if isinstance(error, FixtureError) else error)


def _without_keys(error: SourceError) -> SourceError:
    tokens = pointer_tokens(error.pointer)
    if tokens[:1] == ["keys"]:
        return replace(error, pointer=pointer("keys", *map(masked, tokens[1:2]), *tokens[2:]))
    if not tokens and error.path.parent.name == "deployments":  # what a parser quotes of it may be a key
        return replace(error, problem=re.sub(r"""(["'])..+\1""", "…", error.problem))
    return error


def _place(error: Exception) -> str:
    source = error.errors[0] if isinstance(error, FixtureError) else error
    return f"{_short(source.path)}:{source.line}" if isinstance(source, (SourceError, OverlayError)) else ""


def _listed(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - LISTED} more" if len(paths) > LISTED else ""
    return ", ".join(map(_short, paths[:LISTED])) + more


def _short(path: Path) -> str:
    return "/".join(path.parts[-2:])


def _in_a_field(text: str) -> str:
    return printable(text).encode("ascii", "backslashreplace").decode()
