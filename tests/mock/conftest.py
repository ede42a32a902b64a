"""A mock in this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mock_server import UsageMock


@pytest.fixture
def hosted() -> Iterator[UsageMock]:
    """A mock with the default deployment."""
    with UsageMock() as mock:
        yield mock
