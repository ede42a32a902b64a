"""The pytest plugin: a mock for every test, which is reset before each test.

pytest loads the plugin in every project of an environment, so it imports no other module until a fixture is used.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mock_server.fixtures.deployments import Deployment
    from mock_server.journal.entry import Entry
    from mock_server.testing.usage_mock import UsageMock

# The number of requests that the report of a failed test shows.
SHOWN = 20


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
            if started == options and not mock.is_closed:  # a test may have closed it
                return mock
        mock = self._exits.enter_context(UsageMock(**options))
        self._started.append((dict(options), mock))
        return mock

    def has_other_options(self, mock: UsageMock, options: dict[str, Any]) -> bool:
        return any(started != options for started, other in self._started if other is mock)


@pytest.fixture(scope="session")
def _usage_mocks() -> Iterator[_Mocks]:
    with ExitStack() as exits:
        yield _Mocks(exits)


@pytest.fixture(scope="session")
def usage_mock_server(usage_mock_options: dict[str, Any], _usage_mocks: _Mocks) -> UsageMock:
    """The mock of this session (with pytest-xdist, of this worker), as the last test has left it."""
    return _usage_mocks.with_options(usage_mock_options)


@pytest.fixture
def usage_mock(usage_mock_options: dict[str, Any], _usage_mocks: _Mocks) -> Iterator[UsageMock]:
    """A mock of GET /usage on a free port, just reset: `.url`, `.api_key`, `.use(...)`, `.fail(...)`."""
    from mock_server.simulation.unused import UnusedOverrideWarning

    mock = _usage_mocks.with_options(usage_mock_options)
    mock.reset()
    yield mock
    for text in [] if mock.is_closed else mock.unused_overrides():
        warnings.warn(f"{text} by the end of the test", UnusedOverrideWarning, stacklevel=1)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Add the latest requests to the report of a failed test."""
    report = (yield).get_result()
    if report.when != "call" or not report.failed or "mock_server.testing.usage_mock" not in sys.modules:
        return
    from mock_server.testing.usage_mock import UsageMock

    values = getattr(item, "funcargs", {})
    mock = values.get("usage_mock", values.get("usage_mock_server"))
    if isinstance(mock, UsageMock):  # and not a fixture of the project with this name
        with suppress(RuntimeError):  # a forked process, or a mock that does not run
            report.sections.append(("usage_mock: the latest requests", _described(mock.requests, mock.keys)))


def _described(entries: Sequence[Entry], keys: Sequence[str]) -> str:
    from mock_server.journal.verification import timed_lines
    from mock_server.wording import counted

    if not entries:
        return "The mock has not received a request since the last reset."
    earlier = [f"{counted(len(entries) - SHOWN, 'earlier request')}, then:"] if len(entries) > SHOWN else []
    return "\n".join([*earlier, *timed_lines(entries[-SHOWN:], keys)])


@pytest.hookimpl(trylast=True)  # after the fixtures of the test
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a test whose `usage_mock_server` was started for tests with other options."""
    values = getattr(item, "funcargs", {})
    if not {"usage_mock_server", "usage_mock_options", "_usage_mocks"} <= values.keys():
        return
    if values["_usage_mocks"].has_other_options(values["usage_mock_server"], values["usage_mock_options"]):
        problem = "usage_mock_server: this session has tests with other usage_mock_options; use usage_mock"
        pytest.fail(problem, pytrace=False)
