"""Messages about mistakes of a user: they name the mistake, and what was meant."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mock_server import Deployment, Key, UnknownKeyError, UnknownNameError, UsageMock
from mock_server.command.cli import main
from tests.support.control_api import Api


@pytest.fixture(scope="module")
def running() -> Iterator[UsageMock]:
    with UsageMock() as mock:
        yield mock


MISTAKES: dict[str, tuple[Callable[[Any], object], type[Exception], str]] = {
    "start while running": (lambda mock: mock.start(), RuntimeError, "this mock runs already, at http://127.0.0.1:"),
    "position": (lambda mock: mock.answer(503, 2), TypeError, "key: 2 is not a text; other arguments have names"),
    "key of record": (lambda mock: mock.record("a.example", key=5), TypeError, "key: 5 is not a text"),
    "protocol": (lambda mock: mock.record("a.example", None), TypeError, "protocol: None is not a text"),
    "protocol as a list": (lambda mock: mock.record("a.example", ["ws"]), TypeError, "protocol: ['ws'] is not a text"),
    "scenario of a key": (lambda mock: mock.make_key(["heavy"]), TypeError, "scenario: ['heavy'] is not a text"),
    "number as a scenario": (lambda mock: mock.make_key(5), TypeError, "scenario: 5 is not a text"),
    "key first": (lambda mock: mock.use("demo-busy", "heavy"), TypeError, "scenario: is an API key; the key is the"),
    "key before fault": (lambda mock: mock.fail("demo-busy", "throttled"), TypeError, "fault: is an API key; the key"),
    "scenario as a fault": (lambda mock: mock.fail("throttled"), UnknownNameError, "not a fault; it is a scenario"),
    "fault as a scenario": (lambda mock: mock.use("body-is-empty"), UnknownNameError, "not a scenario; it is a fault"),
    "variant as a scenario": (lambda mock: mock.use("fastapi-like"), UnknownNameError, "scenario; it is a variant"),
    "misspelled key": (
        lambda mock: mock.record("a.example", key="demo-bsy"), UnknownKeyError, "did you mean demo-busy?"
    ),
    "code as a text": (lambda mock: mock.answer("503"), TypeError, "code: '503' is not a status code such as 503"),
    "a fault as a code": (lambda mock: mock.answer("body-is-null"), TypeError, "; fail('body-is-null') switches"),
    "bytes of ws": (
        lambda mock: mock.record("a.example", "ws", bytes=2), ValueError, "bytes: 2 is not valid for ws; only fetch"
    ),
    "failures": (
        lambda mock: mock.record("a.example", failures=2), ValueError, "failures: 2 exceeds requests: 1"
    ),
    "count as a text": (lambda mock: mock.fail("body-is-empty", after="1"), TypeError, "after: '1' is not a whole"),
    "deployment as a mapping": (
        lambda _: UsageMock(deployment={"keys": {}}),  # type: ignore[arg-type]
        TypeError, "deployment: a dict is not valid; expected a name or a Deployment"
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_python_is_named(running: UsageMock, mistake: str) -> None:
    call, error, text = MISTAKES[mistake]
    with pytest.raises(error) as caught:
        call(running)
    assert text in str(caught.value)
    assert caught.type is error


def test_a_closed_mock_says_so() -> None:
    with UsageMock() as mock:
        pass
    for call in (mock.start, lambda: mock.use("heavy")):
        with pytest.raises(RuntimeError, match=r"^this mock is closed and cannot be restarted; create a new one$"):
            call()


def test_a_secret_key_is_not_disclosed_as_a_suggestion() -> None:
    with UsageMock(deployment=Deployment("d", "d", {"my-secret-key": Key()})) as mock:
        with pytest.raises(UnknownKeyError) as caught:
            mock.use("heavy", "my-secret-kee")
        assert "secret" not in str(caught.value)


def test_the_journal_is_suggested_for_requests(running: UsageMock) -> None:
    status, detail = Api(running.url).refused("GET", "/requests")
    assert (status, detail) == (404, "/requests is not a path of /__mock__; did you mean '/journal'?")


def test_capture_reports_a_base_url_with_the_path(
    running: UsageMock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONTRACT_API_KEY", "demo-busy")
    assert main(["capture", "--base-url", f"{running.url}/usage/"]) == 4
    error = "usage-mock: capture: the response has status 404, not 200; omit /usage from --base-url\n"
    assert capsys.readouterr().err == error


def test_check_names_what_is_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("deployments/one.yaml", "mine.yaml", "fault/a.yaml", "deployments/two.json", "notes/a.md", ".b.yaml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("description: d\nkeys: {k: {}}\n")
    (tmp_path / "deployment.schema.json").write_text("{}")
    assert main(["check", str(tmp_path)]) == 0
    assert capsys.readouterr().out.replace(f"{tmp_path}/", "").splitlines() == [
        "1 of 1 deployments are valid",
        "fault is not read; did you mean faults?",
        "mine.yaml is not read; move it to one of the folders deployments, scenarios, faults, variants",
        "deployments/two.json is not read; rename it to two.yaml",
    ]
