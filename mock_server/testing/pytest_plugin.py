"""The pytest plugin: a mock for every test, reset before each.

pytest loads it in every project of an environment, so it imports nothing of ours until a fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mock_server.fixtures.deployments import Deployment
    from mock_server.testing.async_usage_mock import Options
    from mock_server.testing.usage_mock import UsageMock


@pytest.fixture(scope="session")
def usage_mock_deployment() -> str | Deployment:
    """What usage_mock pretends: the name of a deployment, or a Deployment; override it in a conftest.py."""
    return "default"


@pytest.fixture(scope="session")
def usage_mock_options(usage_mock_deployment: str | Deployment) -> Options:
    """What usage_mock is made with, the arguments of UsageMock; override it in a conftest.py."""
    return {"deployment": usage_mock_deployment}


@pytest.fixture(scope="session")
def usage_mock_server(usage_mock_options: Options) -> Iterator[UsageMock]:
    """The mock of this session (of this worker, with pytest-xdist), as the last test left it."""
    from mock_server.testing.usage_mock import UsageMock

    with UsageMock(**usage_mock_options) as mock:
        yield mock


@pytest.fixture
def usage_mock(usage_mock_server: UsageMock) -> UsageMock:
    """A mock of GET /usage on a free port, as it is at the start: `.url`, `.api_key`, `.use(...)`, `.fail(...)`."""
    usage_mock_server.reset()
    return usage_mock_server
