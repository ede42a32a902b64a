"""The control API of a mock with a manual clock, one for each test."""

from __future__ import annotations

import pytest

from mock_server import UsageMock
from tests.support.control_api import Api


@pytest.fixture
def api(limited: UsageMock) -> Api:
    return Api(limited.url)
