"""`verify` and `POST verify`: counts and intervals; the texts of entries and of failures contain no key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mock_server import UsageMock
from mock_server.journal.journal import Journal
from tests.support.control_api import Api
from tests.support.entries import entry
from tests.support.wire import Clock, send_request, usage

BUSY, FRESH = "demo-busy", "demo-fresh"


def by_python(mock: UsageMock, **expectation: Any) -> str:
    """Return the text of the failure; empty for a success."""
    try:
        mock.verify(**expectation)
    except AssertionError as error:
        return str(error)
    return ""


def by_api(mock: UsageMock, **expectation: Any) -> str:
    response = Api(mock.url).request("POST", "/verify", expectation)
    return "" if response.status == 200 else str(response.json["detail"])


both = pytest.mark.parametrize("verify", [by_python, by_api])
Verify = Callable[..., str]


@pytest.fixture
def sent(limited: UsageMock, clock: Clock) -> UsageMock:
    for seconds in (0, 1, 0.25):
        clock.now += seconds
        usage(limited.url, BUSY)
    send_request(limited.url, "/other", [("X-API-Key", "real-key-1")])
    return limited


@both
@pytest.mark.parametrize(
    "expectation",
    [{}, {"exactly": 4}, {"key": BUSY, "exactly": 3, "min_gap": 0.25}, {"at_least": 1, "at_most": 4}, {"min_gap": 0}],
)
def test_requests_that_are_as_expected_pass(sent: UsageMock, verify: Verify, expectation: dict[str, Any]) -> None:
    assert verify(sent, **expectation) == ""


@both
def test_a_wrong_number_lists_the_closest_requests(sent: UsageMock, verify: Verify) -> None:
    assert verify(sent, key=FRESH, path="/usage").splitlines()[:3] == [
        "Requests with key dem…bc9ea6, path /usage: expected at least 1, found 0.",
        "The closest requests:",
        "#1 GET /usage with dem…0fd2c2: status 200 (different key)",
    ]
    assert verify(sent, exactly=3).splitlines()[-1].startswith("#4 GET /other with rea…")
    assert verify(sent, exactly=3).endswith(": status 404 not-found")


@both
def test_a_short_interval_is_a_failure(sent: UsageMock, verify: Verify) -> None:
    lines = verify(sent, key=BUSY, exactly=3, min_gap=1).splitlines()
    assert lines[:2] == [
        "Requests with key dem…0fd2c2: expected exactly 3 at intervals of at least 1 s, found 3.",
        "#3 was received 0.250 s after #2; expected at least 1 s.",
    ]


@pytest.mark.parametrize(
    ("expectation", "error", "problem"),
    [
        ({"exactly": -1}, ValueError, "exactly: -1 is not a whole number"),
        ({"at_most": 1.5}, TypeError, "at_most: 1.5 is not a whole number"),
        ({"exactly": 1, "at_least": 2}, ValueError, "exactly 1 and at least 2: no number of requests meets"),
        ({"exactly": 2, "at_most": 1}, ValueError, "exactly 2 and at most 1: no number"),
        ({"at_least": 3, "at_most": 1}, ValueError, "at least 3 and at most 1: no number"),
        ({"min_gap": -1}, ValueError, "min_gap: -1 is not valid; expected 0 to"),
        ({"min_gap": "1"}, TypeError, "min_gap: '1' is not a number of seconds"),
        ({"paht": "/usage"}, TypeError, "'paht' is not a criterion; did you mean 'path'"),
        ({"key": "demo-bussy"}, LookupError, "the mock does not have this key; did you mean"),
    ],
    ids=str,
)
def test_an_expectation_that_is_not_valid_is_rejected(
    limited: UsageMock, expectation: dict[str, Any], error: type[Exception], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        limited.verify(**expectation)


@both
def test_a_full_journal_does_not_show_an_upper_bound(verify: Verify) -> None:
    with UsageMock(journal=2) as mock:
        for _ in range(3):
            usage(mock.url, BUSY)
        for bound in ({"exactly": 2}, {"at_most": 2}, {"key": BUSY, "at_most": 2}, {"at_least": 1, "at_most": 9}):
            assert "The journal has dropped 1 earlier request." in verify(mock, **bound)
        assert verify(mock, at_least=2) == verify(mock) == verify(mock, key=mock.keys[1], exactly=0) == ""


def test_the_journal_can_be_read_while_it_drops_requests() -> None:
    journal = Journal(1)
    for number in range(2000):
        journal.add(entry(keys=[f"key-{number}"]))

    class Key(str):
        """A key whose comparison lets the mock drop a request, as its thread can."""

        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            journal.add(entry(keys=[f"{journal.number}"]))
            return str(self) == other

    assert journal.dropped(Key("key-1")) == (1, True)


def test_the_text_of_an_entry_has_its_path_and_no_key(limited: UsageMock) -> None:
    usage(limited.url, BUSY)
    for target in (f"/usage/{BUSY}?api_key={BUSY}", "/real-key-1"):
        send_request(limited.url, target, [("X-API-Key", "real-key-1")])
    one, two, three = limited.requests
    assert repr(one) == "Entry(#1 GET /usage 200)"
    assert repr(two) == "Entry(#2 GET /usage/dem…0fd2c2 404 not-found)"
    assert "real-key-1" not in repr(three)
    for message in (one.request, two.request, one.response):
        assert BUSY not in repr(message)
        assert repr(message).startswith("Message(")
