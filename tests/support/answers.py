"""The two ways to let a mock answer with a status code: Python and the control API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mock_server import UsageMock
from tests.support.control_api import Api
from tests.support.wire import usage

BUSY, MODEST = "demo-busy", "demo-modest"
Answer = Callable[..., None]


def by_python(mock: UsageMock, code: int | list[Any], **options: Any) -> None:
    """Let a mock answer by its method."""
    mock.answer(code, **options)


def by_api(mock: UsageMock, code: int | list[Any], **options: Any) -> None:
    """Let a mock answer by its control API."""
    Api(mock.url).do("PATCH", "/behaviour", {"code": code, **options})


both = pytest.mark.parametrize("answer", [by_python, by_api])


def statuses(mock: UsageMock, count: int = 5, key: str = BUSY) -> list[int]:
    """Return the status codes of requests with a key."""
    return [usage(mock.url, key).status for _ in range(count)]
