"""A call of `fail` or `answer` that has not acted is reported."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Callable, Iterator

import pytest

from mock_server import AsyncUsageMock, UnusedOverrideWarning, UsageMock
from tests.support.wire import send_request, usage

BUSY, FRESH = "demo-busy", "demo-fresh"


@pytest.fixture
def mock() -> Iterator[UsageMock]:
    with UsageMock(rate_limit=False) as mock:
        yield mock


UNUSED: list[tuple[Callable[[UsageMock], object], list[str]]] = [
    (lambda mock: mock.answer(503), []),
    (lambda mock: mock.answer(503, times=1), []),
    (lambda mock: mock.answer([503, "body-is-empty"]), []),
    (lambda mock: mock.answer([200, {"delay": 0.001}]), []),
    (lambda mock: mock.fail("body-is-empty", times=2), []),
    (lambda mock: mock.fail(["body-is-empty", "lower-case-fields"]), []),
    (lambda mock: mock.use("down"), []),
    (lambda mock: mock.answer(200, FRESH), []),
    (lambda mock: mock.answer(200, FRESH, body="x"), ["answer for dem…bc9ea6: code=200 was not used"]),
    (lambda mock: mock.answer(503, times=3), ["answer: code=503 was used for 2 of 3 requests"]),
    (lambda mock: mock.answer(503, FRESH, times=1), ["answer for dem…bc9ea6: code=503 was used for 0 of 1 request"]),
    (lambda mock: mock.fail("retry-after-is-2", times=1), ["fail: retry-after-is-2 has changed 0 of 1 response"]),
    (lambda mock: mock.answer(503, FRESH), ["answer for dem…bc9ea6: code=503 was not used"]),
    (lambda mock: mock.answer(503, after=2), ["answer: code=503 was not used"]),
    (lambda mock: mock.answer([503, 429, 200]), ["answer: the sequence code=503, … was used for 2 of 3 requests"]),
    (lambda mock: mock.fail("retry-after-is-2"), ["fail: retry-after-is-2 has not acted"]),
    (lambda mock: mock.fail("body-is-empty", times=5), ["fail: body-is-empty has changed 2 of 5 responses"]),
    (lambda mock: mock.make_key(fault="body-is-empty", key="mine"), ["fail for m…3fd305: body-is-empty has not acted"]),
]


@pytest.mark.parametrize(("set_up", "texts"), UNUSED)
def test_an_override_that_has_not_acted_is_unused(
    mock: UsageMock, set_up: Callable[[UsageMock], object], texts: list[str]
) -> None:
    set_up(mock)
    for _ in range(2):
        usage(mock.url, BUSY)
    assert mock.unused_overrides() == texts
    mock.reset()
    assert mock.unused_overrides() == []


def test_a_status_code_is_used_only_by_a_request_that_receives_it(mock: UsageMock) -> None:
    mock.answer(503, times=1)
    send_request(mock.url, "/healthz")
    assert mock.unused_overrides() == ["answer: code=503 was used for 0 of 1 request"]


def test_a_response_of_a_sequence_is_used_only_by_a_request_that_it_changes(mock: UsageMock) -> None:
    mock.answer(["retry-after-is-2", 503, {"delay": 0.001}])
    statuses = [usage(mock.url, BUSY).status for _ in range(3)]
    assert statuses == [200, 503, 200]
    assert mock.unused_overrides() == ["answer: the sequence fault=retry-after-is-2, … was used for 2 of 3 requests"]


def test_the_delay_of_a_sequence_is_used_only_if_no_other_one_takes_precedence(mock: UsageMock) -> None:
    mock.delay(0.002, BUSY)
    mock.answer([{"delay": 0.001}])
    usage(mock.url, BUSY)
    assert mock.unused_overrides() == ["answer: delay=0.001 was used for 0 of 1 request"]


def test_a_call_that_replaces_an_unused_one_warns(mock: UsageMock) -> None:
    mock.answer(503, times=2)
    usage(mock.url, BUSY)
    with pytest.warns(UnusedOverrideWarning, match="answer: code=503 was used for 1 of 2 requests before this call"):
        mock.answer(429, times=1)
    mock.fail("body-is-empty", BUSY)
    with pytest.warns(UnusedOverrideWarning, match="fail for dem…0fd2c2: body-is-empty has not acted before this"):
        mock.fail("body-is-null", BUSY)


def test_the_warning_names_the_line_and_comes_from_the_thread_of_the_caller(
    mock: UsageMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    mock.fail("body-is-empty")
    threads: list[int] = []
    monkeypatch.setattr(warnings, "warn", noting(threads))
    with pytest.warns(UnusedOverrideWarning) as caught:
        mock.fail("body-is-null")
    assert ([each.filename for each in caught], threads) == ([__file__], [threading.get_ident()])


def noting(threads: list[int]) -> Callable[..., None]:
    """Return `warnings.warn`, which first notes the thread."""
    warn = warnings.warn

    def noted(text: str, category: type[Warning], stacklevel: int) -> None:
        threads.append(threading.get_ident())
        warn(text, category, stacklevel + 1)

    return noted


def test_the_warning_of_an_async_mock_names_the_line_of_the_caller() -> None:
    async def caller() -> None:
        async with AsyncUsageMock() as mock:
            await mock.answer(503)
            with pytest.warns(UnusedOverrideWarning) as caught:
                await mock.answer(429)
            assert [each.filename for each in caught] == [__file__]

    asyncio.run(caller())


def test_a_call_that_removes_or_follows_a_used_one_does_not_warn(mock: UsageMock) -> None:
    with warnings.catch_warnings(action="error"):
        mock.answer(503, times=2)
        mock.answer(None)
        mock.answer(503, times=1)
        usage(mock.url, BUSY)
        mock.answer(503, times=1)
        mock.answer(503, FRESH)
        mock.reset(FRESH)
        mock.answer(503, FRESH)
        mock.fail("body-is-empty")
        mock.fail("none")
        mock.fail("body-is-empty")
        mock.reset()
        mock.fail("body-is-empty")
