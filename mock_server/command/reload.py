"""Hot reload: changed files are served a moment later; while a file is broken, the last good files stay in service."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import aclosing, suppress
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, TypeVar

from mock_server.app import read_files
from mock_server.command.user_errors import USER_ERRORS
from mock_server.fixtures.faults import FOLDERS, load_fault
from mock_server.fixtures.files import KINDS, shipped_fixtures, yaml_names
from mock_server.fixtures.library import Library
from mock_server.fixtures.problems import text_of
from mock_server.fixtures.scenarios import load_scenario
from mock_server.fixtures.validation import FixtureError
from mock_server.masking import printable
from mock_server.options import MockOptions
from mock_server.web.mock import Mock
from mock_server.web.routes import Routes
from usage_contract import DocumentError, SourceError, load
from usage_contract.contract import shipped_documents
from usage_contract.suggestions import first_of

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify

# The times of watchfiles, in milliseconds: changes are reported once a folder was quiet for QUIET, or after LONGEST.
QUIET, LONGEST = 200, 1600
POLL = 300

# The seconds that the watching thread has to end; a file system that hangs can delay it longer.
THREAD_TIMEOUT = 1.0

# Without an event the files are compared all the same: the watched folder itself can have been replaced.
WITHOUT_EVENT = 5000

# File systems of other machines, and of the host of a virtual machine: they report no changes that are made there.
SILENT = ("nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "vboxsf", "prl_fs", "fuse")

# The maximum number of files in a message.
LISTED = 3

# Files that are checked although they are not in use.
LOADERS: Mapping[str, Callable[[str, Path], object]] = {
    "scenarios": load_scenario,
    **dict.fromkeys(FOLDERS, load_fault),
}

Files = Mapping[Path, tuple[int, ...]]
T = TypeVar("T")

log = logging.getLogger("mock_server")


class Reloader:
    """Serves files that have changed.

    Args:
        mock: The running mock.
        options: The options of the mock.
        say: Logs a message.
        documents: The folder of the OpenAPI documents; None for the shipped one.
    """

    def __init__(
        self,
        mock: Mock,
        options: MockOptions,
        say: Callable[..., None],
        *,
        documents: Path | None = None,
    ) -> None:
        self._mock, self._options, self._say = mock, options, say
        self._documents, self._fixtures = documents or shipped_documents(), options.fixture_folder or shipped_fixtures()
        self._folders = [self._documents, *(self._fixtures / kind for kind in KINDS)]
        self._served = self._tried = self._files()

    async def run(self, changes: AsyncGenerator[None, None] | None = None) -> None:
        """Serve changed files whenever `changes` yields (default: when the file system changes), until cancelled."""
        async with aclosing(changes or self._watched()) as reports:
            async for _ in reports:
                await self.look()

    async def look(self) -> None:
        """Serve files that have changed since the last call, or report their errors."""
        files = await _in_daemon_thread(self._files)
        if files == self._tried:
            return
        self._tried = files
        changed = sorted(path for path in {*files, *self._served} if files.get(path) != self._served.get(path))
        try:
            self._mock.swap_fixtures(*await _in_daemon_thread(lambda: self._read(changed)))
        except USER_ERRORS as error:
            source = error.errors[0] if isinstance(error, FixtureError | DocumentError) else error
            where = _listed(changed)
            if isinstance(source, SourceError):
                where = f"{_short(source.path)}{source.line_suffix}"
            self._fail(text_of(error), where)
        except Exception as error:
            log.exception("a changed file cannot be served")
            self._fail(f"{_listed(changed)}: {type(error).__name__}", _listed(changed))
        else:
            self._served = self._tried
            self._say(f"serving {_listed(changed) or 'the previous files'}")

    def _fail(self, text: str, where: str) -> None:
        self._mock.set_reload_error(text, printable(where).encode("ascii", "backslashreplace").decode())
        self._say(f"{text}\nstill serving the previous files", is_error=True)

    def _read(self, changed: Iterable[Path]) -> tuple[Library, Routes]:
        for path in changed:
            load_one = LOADERS.get(path.parent.name)
            if load_one and path.parent.parent == self._fixtures and path.exists():
                load_one(path.stem, self._fixtures)
        library, routes = read_files(load("documented", self._documents), self._options, self._mock.simulator)
        if library.deployment.public_keys and not self._mock.simulator.library.deployment.public_keys:
            # Other programs remove a folder for a moment; its keys must not give way to the shipped ones.
            place = self._fixtures / "deployments"
            raise FixtureError.of_path(place, "is missing", "restore it, or restart the mock")
        return library, routes

    def _files(self) -> Files:
        return {
            path: stamp
            for folder in self._folders
            for path, stamp in _stamps(folder)
            if path.parent.name != "deployments" or path.stem == self._options.deployment
        }

    async def _watched(self) -> AsyncGenerator[None, None]:
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
            thread.join(THREAD_TIMEOUT)  # the interpreter must not end while Rust code runs

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
        found = {path: path.stat() for path in sorted(places) if path.is_dir()}
        return {path: (status.st_dev, status.st_ino) for path, status in found.items()}


def _stamps(folder: Path) -> Iterator[tuple[Path, tuple[int, ...]]]:
    """Yield the files of a folder with a stamp that any change of a file changes; no file is opened.

    The time of the last status change cannot be set, as `cp -p` sets that of the content.
    """
    with suppress(OSError):  # a folder can be missing
        for path in (folder / name for name in yaml_names(folder)):
            try:
                found = path.stat()
                yield path, (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)
            except OSError:  # the build reports a file that cannot be read
                yield path, ()


def _listed(paths: Sequence[Path]) -> str:
    return first_of([_short(path) for path in paths], LISTED)


def _short(path: Path) -> str:
    return "/".join(path.parts[-2:])


def watcher_of(folders: Iterable[Path], *, polls: bool) -> RustNotify:
    """Return a watcher of folders, without their subfolders; `polls` is for folders that send no events."""
    from watchfiles._rust_notify import RustNotify  # documented; `watch` itself does not report that it has begun

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
    kind = next((kinds[folder] for folder in (place, *place.parents) if folder in kinds), "")
    return kind.partition(".")[0] in SILENT


async def _in_daemon_thread(work: Callable[[], T]) -> T:
    """Return the result of work in a thread that delays neither the end of the loop nor that of the process."""
    result: Future[T] = Future()

    def run() -> None:
        result.set_running_or_notify_cancel()  # a running future cannot be cancelled, also if the mock has stopped
        try:
            result.set_result(work())
        except BaseException as error:
            result.set_exception(error)

    Thread(target=run, name="usage-mock-reader", daemon=True).start()
    return await asyncio.wrap_future(result)
