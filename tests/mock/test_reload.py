"""Hot reload: what changes is served, what is broken is told and waits, what happened so far stays."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from mock_server import UsageMock, make_app
from mock_server.app import read_files
from mock_server.command.reload import Reloader
from mock_server.fixtures.deployments import folder
from mock_server.fixtures.faults import fault_names
from mock_server.fixtures.library import Library
from mock_server.masking import mask_key
from mock_server.options import MockOptions
from mock_server.web.mock import MOCK
from mock_server.web.routes import Routes
from tests.support.wire import KEY, Clock, ask, usage
from usage_contract import Contract, load
from usage_contract.contract import folder as documents

ONE = "description: d\nkeys:\n  first-key: {traffic: {a.example: {fetch: {requests: 7}}}}\n  other-key: {}\n"


class Lived:
    """A served app, its files, and a reloader that looks when it is told to."""

    def __init__(self, place: Path) -> None:
        self.fixtures, self.documents, self.said = place / "fixtures", place / "openapi", list[str]()
        for name in ("deployments", "scenarios", "faults"):
            (self.fixtures / name).mkdir(parents=True)
        shutil.copytree(documents(), self.documents)
        self.clock = Clock()
        self.write("deployments/default.yaml", ONE)
        self.write("scenarios/idle.yaml", "description: d\nkey: {}\n")
        shutil.copy(folder() / "faults" / "body-is-null.yaml", self.fixtures / "faults")
        options = MockOptions(fixtures=self.fixtures)
        app = make_app(self.load(), options, clock=self.clock)
        self.mock, self.parts, self.simulator = UsageMock(app), app[MOCK], app[MOCK].simulator
        self.reloader = Reloader(self.parts, self.build, self.say, options, documents=self.documents)

    def load(self) -> Contract:
        return load("documented", self.documents)

    def build(self) -> tuple[Library, Routes]:
        return read_files(self.load(), MockOptions(fixtures=self.fixtures), self.simulator)

    def say(self, text: str, *, is_error: bool = False) -> None:
        self.said.append(f"{'error: ' if is_error else ''}{text}")

    def write(self, name: str, text: str) -> None:
        (self.fixtures / name).write_text(text)

    def look(self) -> None:
        self.do(self.reloader.look())

    def do(self, what: Coroutine[Any, Any, None]) -> None:
        """Run something in the server's loop."""
        self.mock._do(what)


@pytest.fixture
def lived(tmp_path: Path) -> Iterator[Lived]:
    lived = Lived(tmp_path)
    with lived.mock:
        yield lived


def test_without_a_change_nothing_is_built(lived: Lived) -> None:
    lived.look()
    assert lived.said == []


def test_a_changed_deployment_is_served(lived: Lived) -> None:
    lived.write("deployments/default.yaml", ONE.replace("7", "8") + "  new-key: {}\n")
    lived.look()
    assert usage(lived.mock.url, "first-key").json["total"] == 8
    assert usage(lived.mock.url, "new-key").status == 200
    assert lived.said == ["serving deployments/default.yaml"]


def test_a_removed_key_is_unknown(lived: Lived) -> None:
    assert usage(lived.mock.url, "other-key").status == 200
    lived.write("deployments/default.yaml", ONE.replace("other-key", "third-key"))
    lived.look()
    assert usage(lived.mock.url, "other-key").status == 403


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("deployments/default.yaml", "description: d\nkeys: {first-key: {trafic: {}}}\n", "deployments/default.yaml:2"),
        ("deployments/default.yaml", "description: [\n", "deployments/default.yaml:2"),
        ("scenarios/idle.yaml", "description: d\ndelay: soon\n", "scenarios/idle.yaml:2"),
        ("scenarios/new.yaml", "description: d\nfault: none-such\n", "scenarios/new.yaml:2"),
        ("faults/body-is-null.yaml", "description: d\n", "faults/body-is-null.yaml:1"),
        ("../openapi/openapi.yaml", "openapi: 3.1.0\n", "openapi/openapi.yaml:1"),
        (
            "../openapi/openapi.yaml",
            (documents() / "openapi.yaml").read_text().replace("schemas/UsageResponse'", "schemas/Nothing'"),
            "openapi/openapi.yaml:48",
        ),
        ("../openapi/documented.overlay.yaml", "overlay: [\n", "openapi/documented.overlay.yaml:2"),
    ],
)
def test_a_broken_file_is_reported_once_and_the_last_valid_one_stays_in_service(
    lived: Lived, name: str, text: str, place: str
) -> None:
    before = usage(lived.mock.url, "first-key")
    path = lived.fixtures / name
    good = path.read_text() if path.exists() else None
    lived.write(name, text)
    lived.look()
    lived.look()
    reply = usage(lived.mock.url, "first-key")
    assert (reply.status, reply.json["total"]) == (200, before.json["total"])
    assert reply.headers["Mock-Reload"].startswith(f"failed; {place}")
    assert usage(lived.mock.url, "unknown").headers["Mock-Reload"]
    assert ask(lived.mock.url, "/nowhere").headers["Mock-Reload"]
    [told] = lived.said
    assert told.startswith("error: ")
    assert lived.parts.reload_error
    path.write_text(good) if good is not None else path.unlink()
    lived.look()
    assert len(lived.said) == 2
    assert "Mock-Reload" not in usage(lived.mock.url, "first-key").headers
    assert lived.parts.reload_error is None


def test_removing_a_switched_on_scenario_is_a_problem(lived: Lived) -> None:
    assert ask(lived.mock.url, headers=[(KEY, "first-key"), ("Prefer", "scenario=idle")]).json["total"] == 0
    lived.do(lived.simulator.make_key("made", "idle"))
    (lived.fixtures / "scenarios" / "idle.yaml").unlink()
    lived.look()
    assert "'idle' is not a scenario" in lived.said[0]
    assert usage(lived.mock.url, "made").status == 200


def test_a_changed_scenario_is_that_of_the_next_request(lived: Lived) -> None:
    lived.do(lived.simulator.make_key("made", "idle"))
    assert usage(lived.mock.url, "made").json["total"] == 0
    lived.write("scenarios/idle.yaml", "description: d\nkey: {traffic: {b.example: {ws: {requests: 3}}}}\n")
    lived.look()
    assert usage(lived.mock.url, "made").json["total"] == 3


def test_a_changed_document_is_served(lived: Lived) -> None:
    path = lived.documents / "openapi.yaml"
    path.write_text(path.read_text().replace("X-API-Key", "X-Other-Key"))
    lived.look()
    assert ask(lived.mock.url, headers=[("X-Other-Key", "first-key")]).status == 200
    assert usage(lived.mock.url, "first-key").status == 401


def test_tokens_that_were_taken_stay_taken_where_the_limit_is_the_same(lived: Lived) -> None:
    for _ in range(3):
        usage(lived.mock.url, "first-key")
    lived.write("deployments/default.yaml", ONE.replace("7", "8"))
    lived.look()
    assert usage(lived.mock.url, "first-key").json["rate_limit"]["remaining"] == 6.0


def test_a_changed_limit_is_a_new_bucket(lived: Lived) -> None:
    usage(lived.mock.url, "other-key")
    lived.write("deployments/default.yaml", ONE.replace("other-key: {}", "other-key: {rate_limit: {rps: 1, burst: 3}}"))
    lived.look()
    assert usage(lived.mock.url, "other-key").json["rate_limit"] == {"rps": 1.0, "burst": 3, "remaining": 2.0}


def test_a_changed_bucket_of_a_fault_is_a_new_bucket(lived: Lived) -> None:
    fault = "description: d\nbreaks: []\nbuckets: [{rps: 0, burst: 3}]\n"
    lived.write("faults/few.yaml", fault)
    lived.mock.fail("few")
    assert [usage(lived.mock.url, "other-key").status for _ in range(4)] == [200, 200, 200, 429]
    lived.write("faults/few.yaml", fault.replace("3", "1"))
    lived.look()
    assert [usage(lived.mock.url, "other-key").status for _ in range(2)] == [200, 429]


def test_the_journal_the_time_and_made_keys_stay(lived: Lived) -> None:
    lived.do(lived.simulator.make_key("made"))
    usage(lived.mock.url, "made")
    lived.clock.now += 5
    lived.write("deployments/default.yaml", ONE.replace("7", "8"))
    lived.look()
    assert usage(lived.mock.url, "made").status == 200
    assert [entry.at for entry in lived.simulator.journal.entries] == [1000.0, 1005.0]


def test_an_account_with_unchanged_facts_keeps_its_traffic(lived: Lived) -> None:
    async def record() -> None:
        await lived.simulator.record("first-key", lived.simulator.library.deployment.keys["first-key"].traffic)

    lived.do(record())
    lived.write("deployments/default.yaml", ONE + "  new-key: {}\n")
    lived.look()
    assert usage(lived.mock.url, "first-key").json["total"] == 14


@pytest.mark.parametrize("kind", ["scenarios", "faults"])
def test_a_folder_with_the_name_of_a_file_is_a_problem_until_it_is_removed(lived: Lived, kind: str) -> None:
    place = lived.fixtures / kind / "odd.yaml"
    place.mkdir()
    lived.look()
    assert lived.parts.reload_error
    place.rmdir()
    lived.look()
    assert lived.parts.reload_error is None


def test_hidden_files_of_an_editor_are_ignored(lived: Lived) -> None:
    (lived.fixtures / "faults" / ".#body-is-null.yaml").symlink_to("somebody@here.1234")
    lived.look()
    assert lived.said == []
    assert ".#body-is-null" not in fault_names(lived.fixtures)


@pytest.mark.parametrize("key", ["very-secret", "user:very-secret", "a very-secret", "very/secret~", "a;very-secret"])
def test_no_key_of_a_broken_deployment_is_disclosed(lived: Lived, key: str) -> None:
    lived.write("deployments/default.yaml", f"description: d\nkeys: {{'{key}': {{trafic: {{}}}}}}\n")
    lived.look()
    reply = usage(lived.mock.url, "first-key")
    assert "secret" not in f"{lived.said} {lived.parts.reload_error} {reply.headers}"
    assert f":2 /keys/{mask_key(key)}/trafic: is not a known name" in lived.said[0]


@pytest.mark.parametrize("keys", ["{very-secret: {}, very-secret: {}}", "{'a very-secret': {}, 'a very-secret': {}}"])
def test_no_repeated_key_is_disclosed(lived: Lived, keys: str) -> None:
    lived.write("deployments/default.yaml", f"description: d\nkeys: {keys}\n")
    lived.look()
    assert "secret" not in f"{lived.said} {lived.parts.reload_error}"
    assert "default.yaml:2: is not valid YAML: found duplicate key …" in lived.said[0]


def test_the_command_serves_changed_files_unless_reload_is_off(tmp_path: Path) -> None:
    deployments = tmp_path / "deployments"
    deployments.mkdir()
    (deployments / "default.yaml").write_text(ONE)
    command = [sys.executable, "-m", "mock_server", "--port", "0", "--fixtures", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        try:
            url = process.stdout.readline().split()[1]
            assert " console: " in process.stderr.readline()
            (deployments / "default.yaml").write_text("keys: [\n")
            lines = [process.stderr.readline(), process.stderr.readline()]
            assert re.search(r"default\.yaml:2: is not valid YAML", lines[0])
            (deployments / "default.yaml").write_text(ONE.replace("7", "9"))
            assert process.stderr.readline().endswith(" serving deployments/default.yaml\n")
            assert usage(url, "first-key").json["total"] == 9
        finally:
            process.terminate()
