"""Hot reload: changed files are served a moment later; while a file is broken, the last good files stay in service."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, TypeVar

from aiohttp import web

from mock_server.fixtures.deployments import SUFFIXES, folder
from mock_server.fixtures.faults import FOLDERS, load_fault
from mock_server.fixtures.problems import text_of
from mock_server.fixtures.scenarios import load_scenario
from mock_server.fixtures.validation import FixtureError
from mock_server.masking import printable
from mock_server.suggestions import UnknownNameError
from mock_server.web.server import FRONT
from usage_contract import ContractError, OverlayError, SourceError
from usage_contract.contract import folder as shipped_documents

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify

# The times of watchfiles, in milliseconds: changes are reported once a folder was quiet for QUIET, or after LONGEST.
QUIET, LONGEST = 200, 1600
POLL = 300

# How many seconds the watching thread has to end; a file system that hangs can keep it longer.
PATIENCE = 1.0

# Without an event the files are compared all the same: the watched folder itself can have been replaced.
WITHOUT_EVENT = 5000

# File systems of other machines, and of the host of a virtual machine: they report no changes that are made there.
SILENT = ("nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "vboxsf", "prl_fs", "fuse")

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
T = TypeVar("T")

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
        self._served = self._tried = self._files()
        self._runner: web.AppRunner | None = None

    async def run(self, changes: AsyncIterator[None] | None = None) -> None:
        """Serve what has changed whenever `changes` reports one (default: the file system), until cancelled."""
        try:
            async with aclosing(changes or self._watched()) as reports:  # type: ignore[type-var]  # a generator
                async for _ in reports:
                    await self.look()
        finally:
            await self._use(None)

    async def look(self) -> None:
        """Serve or report files that have changed since the last look."""
        files = await _in_a_daemon(self._files)
        if files == self._tried:
            return
        self._tried = files
        changed = self._changed()
        try:
            app = await _in_a_daemon(lambda: self._built(changed))
            runner = web.AppRunner(app)
            await runner.setup()
            assert runner.server is not None
            self._front.renew(app[FRONT], runner.server.request_handler)
        except EXPECTED as error:
            self._tell(text_of(error), _place(error) or _listed(changed))
        except Exception as error:
            log.exception("a changed file cannot be served")
            self._tell(f"{_listed(changed)}: {type(error).__name__}", _listed(changed))
        else:
            await self._use(runner)
            self._served = self._tried
            self._say(f"serving {_listed(changed) or 'what was there before'}")

    def _changed(self) -> list[Path]:
        now, then = self._tried, self._served
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

    async def _watched(self) -> AsyncIterator[None]:
        """Yield whenever a watched folder has changed."""
        loop, is_changed, stop = asyncio.get_running_loop(), asyncio.Event(), Event()

        def notify() -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(is_changed.set)

        thread = Thread(target=self._watch, args=(notify, stop), name="usage-mock-reload", daemon=True)
        thread.start()
        try:
            while True:
                await is_changed.wait()
                is_changed.clear()
                yield
        finally:
            stop.set()
            thread.join(PATIENCE)  # the interpreter must not end while Rust code runs

    def _watch(self, notify: Callable[[], None], stop: Event) -> None:
        has_watches = True
        while not stop.is_set():
            watched = self._watchable()
            try:
                watcher = watcher_of(watched, polls=not has_watches or any(map(is_silent, watched)))
            except OSError:  # a folder has just vanished, or the system has no watches left
                has_watches = False
                stop.wait(POLL / 1000)
                continue
            with watcher:
                while watched == self._watchable() and not stop.is_set():
                    notify()  # the first time: of changes that were made before watching began
                    watcher.watch(LONGEST, QUIET, WITHOUT_EVENT, stop)

    def _watchable(self) -> dict[Path, tuple[int, int]]:
        """Return the folders to watch, by identity: those of the files, and of the files that they link to."""
        links = (path for folder in self._folders for path in folder.glob("*") if path.is_symlink() and path.is_file())
        places = {self._fixtures, *self._folders, *(path.resolve().parent for path in links)}
        return {path: _identity(path) for path in sorted(places) if path.is_dir()}


def _stamps(folder: Path) -> Iterator[tuple[Path, tuple[int, ...]]]:
    """Yield the files of a folder with a stamp that any change of a file changes; no file is opened.

    The time of the last status change cannot be set, as `cp -p` sets that of the content.
    """
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(SUFFIXES) and not entry.name.startswith("."):
                    yield folder / entry.name, _stamp(entry)
    except OSError:  # a folder can be missing
        return


def _stamp(entry: os.DirEntry[str]) -> tuple[int, ...]:
    try:
        found = entry.stat()
    except OSError:  # the build reports a file that cannot be read
        return ()
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _place(error: Exception) -> str:
    source = error.errors[0] if isinstance(error, FixtureError) else error
    return f"{_short(source.path)}:{source.line}" if isinstance(source, (SourceError, OverlayError)) else ""


def _listed(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - LISTED} more" if len(paths) > LISTED else ""
    return ", ".join(map(_short, paths[:LISTED])) + more


def _short(path: Path) -> str:
    return "/".join(path.parts[-2:])


def watcher_of(folders: Iterable[Path], *, polls: bool) -> RustNotify:
    """Return what reports changes in folders, but not below them; `polls` is for folders that send no events."""
    from watchfiles._rust_notify import RustNotify  # documented; `watch` itself does not say when it has begun

    return RustNotify([str(path) for path in folders], False, polls, POLL, False, True)


def is_silent(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> bool:
    """Whether a folder lies on a file system that does not report all changes (Linux; see proc(5))."""
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return False
    found = [line.partition(" - ") for line in lines]
    kinds = {Path(mount.split()[4].replace(r"\040", " ")): system.split()[0] for mount, _, system in found}
    place = folder.resolve()
    kind = next((kinds[each] for each in (place, *place.parents) if each in kinds), "")
    return kind.partition(".")[0] in SILENT


async def _in_a_daemon(work: Callable[[], T]) -> T:
    """Return the result of work in a thread that neither the loop's end nor the process's end waits for."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, error: BaseException | None) -> None:
        if not result.done():
            result.set_exception(error) if error else result.set_result(value)  # type: ignore[arg-type]

    def run() -> None:
        value, problem = None, None
        try:
            value = work()
        except BaseException as error:
            problem = error
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, value, problem)

    Thread(target=run, name="usage-mock-reader", daemon=True).start()
    return await result


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _in_a_field(text: str) -> str:
    return printable(text).encode("ascii", "backslashreplace").decode()
