"""Reloads: changed files are served, invalid ones are reported, and the mock keeps its state."""

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
from mock_server.command.reload import Reloader
from mock_server.fixtures.faults import fault_names
from mock_server.fixtures.files import shipped_fixtures
from mock_server.masking import mask_key
from mock_server.options import MockOptions
from mock_server.web.mock import MOCK
from tests.support.wire import KEY, Clock, send_request, usage
from usage_contract import Contract, load
from usage_contract.contract import shipped_documents

ONE = "description: d\nkeys:\n  first-key: {traffic: {a.example: {fetch: {requests: 7}}}}\n  other-key: {}\n"


class ReloadableMock:
    """A mock, its files, and a reloader that a test runs."""

    def __init__(self, place: Path) -> None:
        self.fixtures, self.documents, self.messages = place / "fixtures", place / "openapi", list[str]()
        for name in ("deployments", "scenarios", "faults"):
            (self.fixtures / name).mkdir(parents=True)
        shutil.copytree(shipped_documents(), self.documents)
        self.clock = Clock()
        self.write("deployments/default.yaml", ONE)
        self.write("scenarios/idle.yaml", "description: d\nkey: {}\n")
        shutil.copy(shipped_fixtures() / "faults" / "body-is-null.yaml", self.fixtures / "faults")
        options = MockOptions(fixtures=self.fixtures)
        app = make_app(self.load(), options, clock=self.clock)
        self.mock, self.parts, self.simulator = UsageMock(app), app[MOCK], app[MOCK].simulator
        self.reloader = Reloader(self.parts, options, self.report, documents=self.documents)

    def load(self) -> Contract:
        return load("documented", self.documents)

    def report(self, text: str, *, is_error: bool = False) -> None:
        self.messages.append(f"{'error: ' if is_error else ''}{text}")

    def write(self, name: str, text: str) -> None:
        (self.fixtures / name).write_text(text)

    def reload(self) -> None:
        self.do(self.reloader.look())

    def do(self, operation: Coroutine[Any, Any, None]) -> None:
        """Run an operation in the event loop of the mock."""
        self.mock._do(operation)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ReloadableMock]:
    served = ReloadableMock(tmp_path)
    with served.mock:
        yield served


def test_unchanged_files_are_not_reloaded(served: ReloadableMock) -> None:
    served.reload()
    assert served.messages == []


def test_a_changed_deployment_is_served(served: ReloadableMock) -> None:
    served.write("deployments/default.yaml", ONE.replace("7", "8") + "  new-key: {}\n")
    served.reload()
    assert usage(served.mock.url, "first-key").json["total"] == 8
    assert usage(served.mock.url, "new-key").status == 200
    assert served.messages == ["serving deployments/default.yaml"]


def test_a_removed_key_is_unknown(served: ReloadableMock) -> None:
    assert usage(served.mock.url, "other-key").status == 200
    served.write("deployments/default.yaml", ONE.replace("other-key", "third-key"))
    served.reload()
    assert usage(served.mock.url, "other-key").status == 403


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
            (shipped_documents() / "openapi.yaml").read_text().replace("schemas/UsageResponse'", "schemas/Nothing'"),
            "openapi/openapi.yaml:48",
        ),
        ("../openapi/documented.overlay.yaml", "overlay: [\n", "openapi/documented.overlay.yaml:2"),
    ],
)
def test_an_invalid_file_is_reported_once_and_the_last_valid_one_is_served(
    served: ReloadableMock, name: str, text: str, place: str
) -> None:
    before = usage(served.mock.url, "first-key")
    path = served.fixtures / name
    good = path.read_text() if path.exists() else None
    served.write(name, text)
    served.reload()
    served.reload()
    response = usage(served.mock.url, "first-key")
    assert (response.status, response.json["total"]) == (200, before.json["total"])
    assert response.headers["Mock-Reload"].startswith(f"failed; {place}")
    assert usage(served.mock.url, "unknown").headers["Mock-Reload"]
    assert send_request(served.mock.url, "/nowhere").headers["Mock-Reload"]
    [message] = served.messages
    assert message.startswith("error: ")
    assert served.parts.reload_error
    path.write_text(good) if good is not None else path.unlink()
    served.reload()
    assert len(served.messages) == 2
    assert "Mock-Reload" not in usage(served.mock.url, "first-key").headers
    assert served.parts.reload_error is None


@pytest.mark.parametrize("name", ["deployments", "."])
def test_removing_the_folder_of_the_deployments_keeps_the_keys(served: ReloadableMock, name: str) -> None:
    removed = served.fixtures / name
    elsewhere = served.fixtures.parent / "elsewhere"
    removed.rename(elsewhere)
    served.reload()
    response = usage(served.mock.url, "first-key")
    assert (response.status, response.headers["Mock-Reload"].partition(";")[0]) == (200, "failed")
    assert usage(served.mock.url, "demo-busy").status == 403
    elsewhere.rename(removed)
    served.reload()
    assert "Mock-Reload" not in usage(served.mock.url, "first-key").headers


def test_removing_an_active_scenario_is_reported(served: ReloadableMock) -> None:
    assert send_request(served.mock.url, headers=[(KEY, "first-key"), ("Prefer", "scenario=idle")]).json["total"] == 0
    served.do(served.simulator.make_key("made", "idle"))
    (served.fixtures / "scenarios" / "idle.yaml").unlink()
    served.reload()
    assert "'idle' is not a scenario" in served.messages[0]
    assert usage(served.mock.url, "made").status == 200


def test_a_changed_scenario_applies_to_the_next_request(served: ReloadableMock) -> None:
    served.do(served.simulator.make_key("made", "idle"))
    assert usage(served.mock.url, "made").json["total"] == 0
    served.write("scenarios/idle.yaml", "description: d\nkey: {traffic: {b.example: {ws: {requests: 3}}}}\n")
    served.reload()
    assert usage(served.mock.url, "made").json["total"] == 3


def test_a_changed_document_is_served(served: ReloadableMock) -> None:
    path = served.documents / "openapi.yaml"
    path.write_text(path.read_text().replace("X-API-Key", "X-Other-Key"))
    served.reload()
    assert send_request(served.mock.url, headers=[("X-Other-Key", "first-key")]).status == 200
    assert usage(served.mock.url, "first-key").status == 401


def test_a_bucket_keeps_its_tokens_if_its_limit_is_unchanged(served: ReloadableMock) -> None:
    for _ in range(3):
        usage(served.mock.url, "first-key")
    served.write("deployments/default.yaml", ONE.replace("7", "8"))
    served.reload()
    assert usage(served.mock.url, "first-key").json["rate_limit"]["remaining"] == 6.0


def test_a_changed_limit_starts_a_new_bucket(served: ReloadableMock) -> None:
    usage(served.mock.url, "other-key")
    served.write(
        "deployments/default.yaml", ONE.replace("other-key: {}", "other-key: {rate_limit: {rps: 1, burst: 3}}")
    )
    served.reload()
    assert usage(served.mock.url, "other-key").json["rate_limit"] == {"rps": 1.0, "burst": 3, "remaining": 2.0}


def test_a_changed_bucket_of_a_fault_starts_a_new_bucket(served: ReloadableMock) -> None:
    fault = "description: d\nbreaks: []\nbuckets: [{rps: 0, burst: 3}]\n"
    served.write("faults/few.yaml", fault)
    served.mock.fail("few")
    assert [usage(served.mock.url, "other-key").status for _ in range(4)] == [200, 200, 200, 429]
    served.write("faults/few.yaml", fault.replace("3", "1"))
    served.reload()
    assert [usage(served.mock.url, "other-key").status for _ in range(2)] == [200, 429]


def test_a_reload_keeps_the_journal_the_time_and_created_keys(served: ReloadableMock) -> None:
    served.do(served.simulator.make_key("made"))
    usage(served.mock.url, "made")
    served.clock.now += 5
    served.write("deployments/default.yaml", ONE.replace("7", "8"))
    served.reload()
    assert usage(served.mock.url, "made").status == 200
    assert [entry.at for entry in served.parts.journal.entries] == [1000.0, 1005.0]


def test_an_account_with_unchanged_facts_keeps_its_traffic(served: ReloadableMock) -> None:
    async def record() -> None:
        await served.simulator.record("first-key", served.simulator.library.deployment.keys["first-key"].traffic)

    served.do(record())
    served.write("deployments/default.yaml", ONE + "  new-key: {}\n")
    served.reload()
    assert usage(served.mock.url, "first-key").json["total"] == 14


@pytest.mark.parametrize("kind", ["scenarios", "faults"])
def test_a_folder_with_the_name_of_a_file_is_reported_until_it_is_removed(served: ReloadableMock, kind: str) -> None:
    place = served.fixtures / kind / "odd.yaml"
    place.mkdir()
    served.reload()
    assert served.parts.reload_error
    place.rmdir()
    served.reload()
    assert served.parts.reload_error is None


def test_hidden_files_of_an_editor_are_ignored(served: ReloadableMock) -> None:
    (served.fixtures / "faults" / ".#body-is-null.yaml").symlink_to("somebody@here.1234")
    served.reload()
    assert served.messages == []
    assert ".#body-is-null" not in fault_names(served.fixtures)


@pytest.mark.parametrize("key", ["very-secret", "user:very-secret", "a very-secret", "very/secret~", "a;very-secret"])
def test_no_key_of_an_invalid_deployment_is_disclosed(served: ReloadableMock, key: str) -> None:
    served.write("deployments/default.yaml", f"description: d\nkeys: {{'{key}': {{trafic: {{}}}}}}\n")
    served.reload()
    response = usage(served.mock.url, "first-key")
    assert "secret" not in f"{served.messages} {served.parts.reload_error} {response.headers}"
    assert f":2 /keys/{mask_key(key)}/trafic: is not a known name" in served.messages[0]


@pytest.mark.parametrize("keys", ["{very-secret: {}, very-secret: {}}", "{'a very-secret': {}, 'a very-secret': {}}"])
def test_no_repeated_key_is_disclosed(served: ReloadableMock, keys: str) -> None:
    served.write("deployments/default.yaml", f"description: d\nkeys: {keys}\n")
    served.reload()
    assert "secret" not in f"{served.messages} {served.parts.reload_error}"
    assert re.search(r"default.yaml:2 /keys/.*…\w+: repeats the name of line 2;", served.messages[0])


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
