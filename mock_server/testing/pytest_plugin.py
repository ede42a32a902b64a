"""The pytest plugin: a mock for every test, which is reset before each test.

pytest loads the plugin in every project of an environment, so it imports no other module until a fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
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


class _Mocks:
    """The mocks of a session, one for all tests with equal options."""

    def __init__(self, exits: ExitStack) -> None:
        self._exits = exits
        self._started: list[tuple[dict[str, Any], UsageMock]] = []  # a Deployment among the options is not hashable

    def with_options(self, options: dict[str, Any]) -> UsageMock:
        from mock_server.testing.usage_mock import UsageMock

        for started, mock in self._started:
            if started == options:
                return mock
        mock = self._exits.enter_context(UsageMock(**options))
        self._started.append((dict(options), mock))
        return mock


@pytest.fixture(scope="session")
def _usage_mocks() -> Iterator[_Mocks]:
    with ExitStack() as exits:
        yield _Mocks(exits)


@pytest.fixture(scope="session")
def usage_mock_server(usage_mock_options: dict[str, Any], _usage_mocks: _Mocks) -> UsageMock:
    """The mock of this session (with pytest-xdist, of this worker), as the last test has left it."""
    return _usage_mocks.with_options(usage_mock_options)


@pytest.fixture
def usage_mock(usage_mock_options: dict[str, Any], _usage_mocks: _Mocks) -> UsageMock:
    """A mock of GET /usage on a free port, just reset: `.url`, `.api_key`, `.use(...)`, `.fail(...)`."""
    mock = _usage_mocks.with_options(usage_mock_options)
    mock.reset()
    return mock


@pytest.hookimpl(trylast=True)  # after the fixtures of the test
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a test whose `usage_mock_server` was started for tests with other options."""
    values = getattr(item, "funcargs", {})
    server = values.get("usage_mock_server")
    if server is not None and values["_usage_mocks"].with_options(values["usage_mock_options"]) is not server:
        problem = "usage_mock_server: this session has tests with other usage_mock_options; use usage_mock"
        pytest.fail(problem, pytrace=False)
