"""Files that could block a reload: each is reported, and the mock still reloads and stops."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from mock_server import make_app
from mock_server.command.cli import main
from mock_server.command.reload import Reloader, _in_daemon_thread, is_silent, watcher_of
from mock_server.fixtures.summaries import UNREADABLE, summary
from mock_server.options import MockOptions
from mock_server.web.mock import MOCK
from usage_contract import SourceError, load, read
from usage_contract.files import MAX_BYTES

DEPLOYMENT = "description: d\nkeys:\n  first-key: {traffic: {a.example: {fetch: {requests: 7}}}}\n"
SCENARIO = "description: d\nkey: {}\n"
WAIT = 60.0  # seconds: a hundred times what a reload takes

# Ten aliases per level: 12 lines expand to 2 * 10^11 values.
BOMB = "a0: &a0 [0, 0]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))


class Files:
    """A fixture folder, and a mock that serves it."""

    def __init__(self, folder: Path) -> None:
        self.fixtures, self.reports = folder / "fixtures", list[str]()
        for name in ("deployments", "scenarios", "faults"):
            (self.fixtures / name).mkdir(parents=True)
        self.deployment = self.fixtures / "deployments" / "default.yaml"
        self.deployment.write_text(DEPLOYMENT)
        self.app = make_app(load(), MockOptions(fixtures=self.fixtures))
        self.simulator = self.app[MOCK].simulator
        self.reloader = Reloader(self.app[MOCK], MockOptions(fixtures=self.fixtures), self.report)

    def report(self, text: str, **_: bool) -> None:
        self.reports.append(text)

    def reload(self) -> None:
        """Reload once, within a bounded time."""
        asyncio.run(asyncio.wait_for(self.reloader.look(), WAIT))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_link_to_a_fifo(path: Path) -> None:
    os.mkfifo(path.with_suffix(".fifo"))
    path.symlink_to(path.with_suffix(".fifo"))


def make_link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_long_file(path: Path) -> None:
    with path.open("w") as file:
        file.truncate(MAX_BYTES + 1)


def make_bomb(path: Path) -> None:
    path.write_text(BOMB)


HAZARDS: dict[Callable[[Path], None], str] = {
    make_fifo: "is not a regular file",
    make_link_to_a_fifo: "is not a regular file",
    make_link_to_a_device: "is not a regular file",
    make_long_file: "is longer than 16 MiB",
    make_bomb: "multiplies its",
}


@pytest.mark.parametrize("make", HAZARDS)
@pytest.mark.parametrize("name", ["scenarios/odd.yaml", "faults/odd.yaml", "deployments/default.yaml"])
def test_a_hazardous_file_is_reported_and_reloading_continues(
    files: Files, name: str, make: Callable[[Path], None]
) -> None:
    path = files.fixtures / name
    path.unlink(missing_ok=True)
    make(path)
    files.reload()
    assert f"{path.name}: {HAZARDS[make]}" in files.reports[-1]
    path.unlink()
    files.deployment.write_text(DEPLOYMENT.replace("7", "8"))
    files.reload()
    assert files.reports[-1] == "serving deployments/default.yaml"


@pytest.mark.parametrize("make", HAZARDS)
def test_check_reports_a_hazardous_file(
    files: Files, capsys: pytest.CaptureFixture[str], make: Callable[[Path], None]
) -> None:
    make(files.fixtures / "scenarios" / "odd.yaml")
    assert main(["check", str(files.fixtures)]) == 4
    assert f"scenarios/odd.yaml: {HAZARDS[make]}" in capsys.readouterr().err


def test_the_description_of_a_hazardous_file_is_not_read(tmp_path: Path) -> None:
    make_fifo(tmp_path / "odd.yaml")
    assert summary(tmp_path / "odd.yaml") == {"description": UNREADABLE}


def test_merge_keys_that_multiply_a_document_are_rejected(tmp_path: Path) -> None:
    levels = "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 12))
    (tmp_path / "odd.yaml").write_text("a0: &a0 {k: v}\n" + levels)
    with pytest.raises(SourceError, match="multiplies its"):
        read(tmp_path / "odd.yaml")


def test_a_document_may_repeat_its_operations(tmp_path: Path) -> None:
    (tmp_path / "fine.yaml").write_text("one: &one {a: [1, 2]}\nmany: [" + ", ".join(["*one"] * 100) + "]\n")
    assert read(tmp_path / "fine.yaml").data["many"] == [{"a": [1, 2]}] * 100


def test_a_change_of_equal_size_and_time_is_served(files: Files) -> None:
    before = files.deployment.stat()
    files.deployment.write_text(DEPLOYMENT.replace("7", "8"))
    os.utime(files.deployment, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = files.deployment.stat()
    assert (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, before.st_size)
    files.reload()
    assert files.reports == ["serving deployments/default.yaml"]


def test_a_dangling_link_does_not_hide_other_changes(files: Files) -> None:
    for number in range(20):  # a folder is listed in any order
        (files.fixtures / "scenarios" / f"odd-{number}.yaml").symlink_to("nowhere")
    files.reload()
    (files.fixtures / "scenarios" / "new.yaml").write_text("description: d\n")
    files.reload()
    assert len(files.reports) == 2


def test_each_reported_change_causes_a_reload(files: Files) -> None:
    async def changes() -> AsyncGenerator[None, None]:
        for requests in ("8", "9"):
            files.deployment.write_text(DEPLOYMENT.replace("7", requests))
            yield

    asyncio.run(asyncio.wait_for(files.reloader.run(changes()), WAIT))
    assert files.reports == ["serving deployments/default.yaml"] * 2


HANGING = """
import asyncio, sys, threading
from pathlib import Path
from mock_server.command import reload
from tests.mock.test_reload_hazards import Files

async def changes():
    yield
    await asyncio.Event().wait()

async def main(files):
    reading = threading.Event()
    def hang(*_):
        reading.set()
        threading.Event().wait()
    reload.read_files = hang
    task = asyncio.create_task(files.reloader.run(changes()))
    files.deployment.write_text("")
    while not reading.is_set():
        await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        print("stopped")

asyncio.run(main(Files(Path(sys.argv[1]))))
"""


def test_a_reader_that_hangs_does_not_delay_a_stop(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", HANGING, tmp_path], timeout=WAIT, capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("stopped\n", "", 0)


def test_the_command_serves_a_change_beside_a_fifo_and_stops(tmp_path: Path) -> None:
    files = Files(tmp_path)
    command = [sys.executable, "-m", "mock_server", "--port", "0", "--fixtures", str(files.fixtures)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        guard = threading.Timer(WAIT, process.kill)
        guard.start()
        assert process.stdout and process.stderr
        process.stdout.readline()
        assert " console: " in process.stderr.readline()
        odd = files.fixtures / "scenarios" / "odd.yaml"
        make_fifo(odd)
        assert re.search(r"odd\.yaml: is not a regular file", process.stderr.readline())
        process.stderr.readline()
        odd.unlink()
        assert process.stderr.readline().endswith("serving the previous files\n")
        target = tmp_path / "elsewhere.yaml"
        target.write_text(DEPLOYMENT)
        files.deployment.unlink()
        files.deployment.symlink_to(target)
        assert process.stderr.readline().endswith("serving deployments/default.yaml\n")
        target.write_text(DEPLOYMENT.replace("7", "8"))  # in a folder that is watched because of the link
        assert process.stderr.readline().endswith("serving deployments/default.yaml\n")
        shutil.move(files.fixtures / "scenarios", tmp_path / "old")
        (files.fixtures / "scenarios").mkdir()
        (files.fixtures / "scenarios" / "new.yaml").write_text(SCENARIO)
        assert process.stderr.readline().endswith("serving scenarios/new.yaml\n")
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
        guard.cancel()


SECRET = "prod-secret-77"

DISCLOSING = {
    f"description: d\nkeys: {{k: {{}}}}\n{SECRET}: {{}}\n": "is not a known name",
    f"description: d\nkeys: {{k: {{{SECRET}: {{}}}}}}\n": "is not a known name",
    f"description: d\nkeys: {{k: {{traffic: {{{SECRET}: {{}}}}}}}}\n": "must not be empty",
    f"description: d\nkeys: {{{SECRET}: {{rate_limit: {{rps: -1, burst: 1}}}}}}\n": "must be at least 0",
    f"description: d\nkeys: {{k: {{}}, '{SECRET}': {{}}, '{SECRET}': {{}}}}\n": "repeats the name of line 2",
    f"description: d\nkeys: {{k: *{SECRET}}}\n": "is not valid YAML",
    "description: d\nkeys: {7777777: {}}\n": "must be text, not a whole number",
}


@pytest.mark.parametrize("text", DISCLOSING)
def test_the_reload_log_and_check_show_the_same_problem_without_a_key(
    files: Files, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    files.deployment.write_text(text)
    files.reload()
    assert main(["check", str(files.fixtures)]) == 4
    message = capsys.readouterr().err.splitlines()[0].removeprefix("usage-mock: ")
    assert files.reports[0].splitlines()[0] == message
    assert DISCLOSING[text] in message
    shown = f"{files.reports} {message} {files.app[MOCK].reload_error} {files.app[MOCK].headers}"
    assert SECRET not in shown
    assert "7777777" not in shown


@pytest.mark.parametrize(
    ("system", "silent"),
    [("ext4", False), ("overlay", False), ("nfs4", True), ("9p", True), ("fuse.sshfs", True), ("fuseblk", False)],
)
def test_file_systems_without_events_are_polled(tmp_path: Path, system: str, silent: bool) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        f"22 1 8:1 / / rw - ext4 /dev/sda rw\n23 22 8:2 / {tmp_path / 'shared'} rw shared:1 - {system} server rw\n"
    )
    (tmp_path / "shared").mkdir()
    assert is_silent(tmp_path / "shared", mounts) is silent
    assert is_silent(tmp_path, mounts) is False
    assert is_silent(tmp_path, tmp_path / "none") is False


@pytest.mark.parametrize("polls", [False, True])
def test_a_watched_folder_reports_a_changed_file_with_and_without_events(tmp_path: Path, polls: bool) -> None:
    with watcher_of([tmp_path], polls=polls) as watcher:
        assert ("Poll" in repr(watcher)) is polls
        (tmp_path / "new.yaml").write_text("text")
        changes = watcher.watch(1600, 50, int(WAIT * 1000), None)
    assert not isinstance(changes, str)
    assert str(tmp_path / "new.yaml") in {path for _, path in changes}


def test_a_start_does_not_import_watchfiles() -> None:
    code = "import sys, mock_server.command.serve, mock_server.command.reload; print('watchfiles' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=WAIT, check=True)
    assert done.stdout == "False\n"


def test_a_reader_that_ends_after_its_mock_raises_no_error() -> None:
    reading, stopped, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        reading.set()
        stopped.wait(WAIT)
        ended.set()

    async def stop_while_reading() -> None:
        task = asyncio.create_task(_in_daemon_thread(work))
        await asyncio.to_thread(reading.wait, WAIT)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(stop_while_reading())
    stopped.set()
    assert ended.wait(WAIT)
    for thread in threading.enumerate():
        if thread.name == "usage-mock-reader":
            thread.join(WAIT)
