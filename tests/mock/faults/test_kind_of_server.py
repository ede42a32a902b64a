"""The option `server`: a variant that applies before all faults, and that no override replaces."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from mock_server import UnknownNameError, UsageMock
from mock_server.command.cli import main
from mock_server.command.option_sources import read_options
from tests.support.control_api import Api
from tests.support.wire import KEY, send_request, usage

BUSY = "demo-busy"


@pytest.fixture
def mock() -> Iterator[UsageMock]:
    with UsageMock(server="fastapi-like", rate_limit=False) as mock:
        yield mock


def is_fastapi_like(mock: UsageMock) -> bool:
    kept = send_request(mock.url, headers=[(KEY, BUSY)], method="HEAD")
    without_key = send_request(mock.url, "/usage")
    return (kept.status, without_key.json, "content-type" in list(without_key.headers)) == (
        405,
        {"detail": "Invalid or missing API key"},
        True,
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda mock: mock.use("heavy"),
        lambda mock: mock.fail("body-is-null", BUSY),
        lambda mock: mock.fail("every-fourth-response-is-503", after=1, times=1),
        lambda mock: mock.fail("none"),
        lambda mock: mock.fail("body-is-null", "demo-fresh"),
        lambda mock: mock.answer(["body-is-empty"], "demo-fresh"),
        lambda mock: mock.use("brown-out", "demo-fresh"),
        lambda mock: mock.reset(),
    ],
)
def test_no_override_replaces_the_kind_of_server(mock: UsageMock, change: Callable[[UsageMock], None]) -> None:
    change(mock)
    usage(mock.url, BUSY)
    assert is_fastapi_like(mock)
    assert is_fastapi_like(mock)


def test_faults_scenarios_and_sequences_act_on_its_responses(mock: UsageMock) -> None:
    mock.fail("body-is-null", times=1)
    assert usage(mock.url, BUSY).body == b"null"
    mock.fail(None)
    mock.use("brown-out")
    mock.delay("none")
    assert [usage(mock.url, BUSY).status for _ in range(4)] == [200, 200, 200, 503]
    mock.reset()
    mock.answer([429, "body-is-null"])
    responses = [usage(mock.url, BUSY) for _ in range(3)]
    assert [(each.status, each.body == b"null") for each in responses] == [(429, False), (200, True), (200, False)]
    assert all("content-type" in list(each.headers) for each in responses)
    redirected = send_request(mock.url, "/usage/", [(KEY, BUSY), ("Prefer", "fault=body-is-null")])
    assert redirected.status == 307


def test_the_journal_and_the_state_name_overrides_only(mock: UsageMock) -> None:
    mock.fail("body-is-null", times=1)
    for _ in range(2):
        usage(mock.url, BUSY)
    assert [entry.applied for entry in mock.requests] == ["fault=body-is-null", ""]
    assert [Api(mock.url).get("/state")[level]["fault"] for level in ("start", "everyone")] == [None, "body-is-null"]


def test_the_state_has_the_kind_of_server_and_its_bucket() -> None:
    with UsageMock(server="usage-requests-take-no-token") as mock:
        usage(mock.url, BUSY)
        state = Api(mock.url).get("/state")
        own = Api(mock.url).key()
    shown = (state["start"], state["everyone"], own["override"], own["effective"])
    kind = "usage-requests-take-no-token"
    assert [behaviour["server"] for behaviour in shown] == [kind, None, None, kind]
    assert own["tokens"] > 999_000


def test_the_command_names_the_option_of_an_unknown_kind_of_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--server", "nope", "--port", "0"]) == 4
    assert "--server: 'nope' is not a server; " in capsys.readouterr().err


def test_an_unknown_kind_of_server_is_rejected_with_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="'fastapi-lik' is not a server; did you mean 'fastapi-like'"):
        UsageMock(server="fastapi-lik")
    with pytest.raises(UnknownNameError, match="'body-is-empty' is not a server; it is a fault"):
        UsageMock(server="body-is-empty")
    assert read_options({}, {"USAGE_MOCK_SERVER": "fastapi-like"}).server == "fastapi-like"
