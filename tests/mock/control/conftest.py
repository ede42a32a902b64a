"""One mock for each test, whose time stands still, and its control API."""

from __future__ import annotations

import pytest

from mock_server import UsageMock
from tests.support.control_api import Api


@pytest.fixture
def api(limited: UsageMock) -> Api:
    return Api(limited.url)
