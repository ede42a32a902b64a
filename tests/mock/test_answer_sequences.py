"""A sequence of responses, each to one request: `answer([…])`, and such a list as `code` of the control API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mock_server import UsageMock
from tests.support.answers import BUSY, MODEST, Answer, both, statuses
from tests.support.control_api import Api
from tests.support.wire import send_request, usage


@pytest.fixture
def mock() -> Iterator[UsageMock]:
    with UsageMock(rate_limit=False) as mock:
        yield mock


SEQUENCES: list[tuple[dict[str, Any], list[Any], list[int]]] = [
    ({}, [503, 429, 200, 503], [503, 429, 200, 503, 200]),
    ({"after": 1}, [503, 429], [200, 503, 429, 200, 200]),
    ({}, [503], [503, 200, 200, 200, 200]),
    ({"key": BUSY}, [503, 403], [503, 403, 200, 200, 200]),
]


@both
@pytest.mark.parametrize(("options", "codes", "expected"), SEQUENCES)
def test_a_list_is_a_sequence_of_responses(
    mock: UsageMock, answer: Answer, options: dict[str, Any], codes: list[Any], expected: list[int]
) -> None:
    answer(mock, codes, **options)
    assert statuses(mock) == expected


@both
def test_a_response_of_a_sequence_has_its_own_members(mock: UsageMock, answer: Answer) -> None:
    sequence = [
        {"code": 503, "headers": {"Retry-After": "7"}, "body": "down"},
        "body-is-empty",
        {"code": 200, "delay": 0.01, "fault": ["total-is-a-text", "lower-case-fields"]},
        {"delay": 0.01},
    ]
    answer(mock, sequence)
    one, two, three, four, five = (usage(mock.url, BUSY) for _ in range(5))
    assert (one.status, one.body, one.headers["Retry-After"]) == (503, b"down", "7")
    assert (two.status, two.body) == (200, b"")
    assert (three.json["total"], "content-type" in list(three.headers)) == ("many", True)
    assert four.json == five.json
    assert [entry.applied for entry in mock.requests] == [
        "code=503",
        "fault=body-is-empty",
        'code=200, fault="total-is-a-text lower-case-fields", delay=0.01',
        "delay=0.01",
        "",
    ]


def test_a_preference_takes_precedence_over_a_response_of_a_sequence(mock: UsageMock) -> None:
    mock.answer(["body-is-empty", 503])
    preferring = send_request(mock.url, headers=[("X-API-Key", BUSY), ("Prefer", "fault=body-is-null")])
    assert preferring.body == b"null"
    assert statuses(mock, 2) == [503, 200]


def test_an_override_of_a_key_takes_precedence_over_a_response_of_a_sequence_for_all(mock: UsageMock) -> None:
    slow = {"delay": 60, "fault": "body-is-empty"}  # longer than the time-out of the client
    changes: list[Callable[[], None]] = [
        lambda: mock.fail("total-is-a-text", BUSY),
        lambda: mock.fail("none", BUSY),
        lambda: mock.answer(503, BUSY),
    ]
    for change in changes:
        mock.reset()
        mock.answer([slow])
        mock.delay("none", BUSY)
        change()
        assert usage(mock.url, BUSY).body
        assert "body-is-empty" not in mock.requests[0].applied


def test_a_response_of_a_sequence_takes_precedence_over_a_fault_of_its_level_and_below(mock: UsageMock) -> None:
    mock.fail("total-is-a-text")
    mock.answer(["body-is-empty"], BUSY)
    mock.answer(["body-is-empty"])
    assert [usage(mock.url, key).body for key in (BUSY, MODEST)] == [b"", b""]


def test_the_state_contains_the_responses_of_a_sequence(mock: UsageMock) -> None:
    api = Api(mock.url)
    changed = api.do("PATCH", "/behaviour", {"code": [503, "body-is-null", 200]})
    assert changed["code"] == [503, "fault=body-is-null", 200]
    statuses(mock, 1)
    assert api.key()["effective"]["code_requests"] == {"after": 0, "times": 3, "left": 2}


INVALID_SEQUENCES: list[tuple[list[Any], type[Exception], str, int, str]] = [
    ([], ValueError, "code: the sequence is empty", 422, "body /code: "),
    ([503, 777], ValueError, "response 2: '777' is not a status code of the mock", 422, "body /code/1: "),
    ([503, 204], ValueError, "response 2: '204' is not a status code of the mock", 404, "response 2: '204' is not"),
    ([True], TypeError, "response 1: True is not a status code, the name of a fault or a mapping", 422, "body /code/0"),
    ([None], TypeError, "response 1: None is not a status code, ", 422, "body /code/0: "),
    (
        ["body-is-nul"],
        LookupError,
        "response 1: 'body-is-nul' is not a fault; did you mean",
        404,
        "response 1: 'body-is-nul' is not a fault",
    ),
    ([{}], ValueError, "response 1: {} has no code, fault or delay", 422, "body /code/0: "),
    ([{"body": "x"}], ValueError, "response 1: {'body': 'x'} has no status code", 422, "body /code/0: has body, which"),
    ([{"cod": 503}], TypeError, "response 1: 'cod' is not a member; did you mean 'code'?", 422, "body /code/0/cod: is"),
    (
        [{"code": 503, "delay": "x"}],
        ValueError,
        "response 1: 'x' is not a valid delay",
        409,
        "response 1: 'x' is not a valid delay",
    ),
    ([" "], ValueError, "response 1: fault: ' ' is empty", 422, "body /code/0: "),
    ([{"code": 503, "fault": []}], ValueError, "response 1: fault: [] is empty", 422, "body /code/0/fault: must not"),
    (
        [{"code": 10**30}],
        ValueError,
        "response 1: '1000000000000000000000000000000' is not a",
        422,
        "body /code/0/code: ",
    ),
    (
        [503, {"delay": 10**30}],
        ValueError,
        "response 2: '1000000000000000000000000000000' is not a",
        422,
        "body /code/1",
    ),
    (
        [{"code": 503, "headers": []}],
        TypeError,
        "response 1: headers: [] is not a mapping",
        422,
        "body /code/0/headers",
    ),
    ([200, "nope"], LookupError, "response 2: 'nope' is not a fault", 404, "response 2: 'nope' is not a fault; "),
    ([200, {"delay": "x"}], ValueError, "response 2: 'x' is not a valid delay", 409, "response 2: 'x' is not a valid"),
    (
        [200, "capitalized-key-is-accepted"],
        ValueError,
        "response 2: the fault 'capitalized-key-is-accepted' changes the bytes of every request",
        409,
        "response 2: the fault 'capitalized-key-is-accepted' changes",
    ),
    ([{"code": 503, "fault": 5}], TypeError, "response 1: fault: 5 is not a name", 422, "body /code/0/fault: must be"),
]


@pytest.mark.parametrize(("sequence", "error", "problem", "status", "detail"), INVALID_SEQUENCES, ids=str)
def test_a_sequence_that_cannot_be_sent_is_rejected(
    mock: UsageMock, sequence: list[Any], error: type[Exception], problem: str, status: int, detail: str
) -> None:
    with pytest.raises(error) as caught:
        mock.answer(sequence)
    assert str(caught.value).startswith(problem)
    found, text = Api(mock.url).refused("PATCH", "/behaviour", {"code": sequence})
    assert (found, text[: len(detail)]) == (status, detail)
    assert statuses(mock, 1) == [200]


@pytest.mark.parametrize("number", [10**400, {"code": 10**400}, {"delay": 10**400}], ids=["item", "code", "delay"])
def test_a_number_too_large_for_a_float_is_not_valid(mock: UsageMock, number: Any) -> None:
    with pytest.raises(ValueError, match="response 1: '10000"):
        mock.answer([number])
    with pytest.raises(ValueError, match=r"'10000.*' is not a valid delay"):
        mock.delay(10**400)


@pytest.mark.parametrize("code", [{503}, {"code": 503}, iter([503]), b"503", "503", 503.0, True])
def test_a_value_that_is_neither_a_status_code_nor_a_list_has_the_wrong_type(mock: UsageMock, code: Any) -> None:
    with pytest.raises(TypeError, match="is not a status code such as 503 or a list of responses"):
        mock.answer(code)


@pytest.mark.parametrize("options", [{"times": 2}, {"body": "x"}, {"headers": {}}])
def test_a_sequence_has_no_arguments_of_a_single_response(mock: UsageMock, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="answer: a list has one response for each request; it has no times, body"):
        mock.answer([503], **options)
    assert Api(mock.url).refused("PATCH", "/behaviour", {"code": [503], **options})[0] == 422
