"""The pytest plugin: a mock for every test, which is reset before each test.

pytest loads the plugin in every project of an environment, so it imports no other module until a fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mock_server.fixtures.deployments import Deployment
    from mock_server.testing.usage_mock import UsageMock


@pytest.fixture(scope="session")
def usage_mock_deployment() -> str | Deployment:
    """The deployment of usage_mock, or its name; override this fixture in a conftest.py."""
    return "default"


@pytest.fixture(scope="session")
def usage_mock_options(usage_mock_deployment: str | Deployment) -> dict[str, Any]:
    """The arguments of UsageMock for usage_mock; override this fixture in a conftest.py."""
    return {"deployment": usage_mock_deployment}


@pytest.fixture(scope="session")
def usage_mock_server(usage_mock_options: dict[str, Any]) -> Iterator[UsageMock]:
    """The mock of this session (with pytest-xdist, of this worker), as the last test has left it."""
    from mock_server.testing.usage_mock import UsageMock

    with UsageMock(**usage_mock_options) as mock:
        yield mock


@pytest.fixture
def usage_mock(usage_mock_server: UsageMock) -> UsageMock:
    """A mock of GET /usage on a free port, just reset: `.url`, `.api_key`, `.use(...)`, `.fail(...)`."""
    usage_mock_server.reset()
    return usage_mock_server
