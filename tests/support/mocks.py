"""Fixtures with mocks: one without rate limits for all tests, and one with a manual clock for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mock_server import UsageMock, load_deployment, make_app
from mock_server.fixtures.deployments import Deployment
from mock_server.options import MockOptions
from tests.support.wire import Clock
from usage_contract import Contract, load


@pytest.fixture(scope="session")
def contract() -> Contract:
    return load("documented")


@pytest.fixture(scope="session")
def deployment() -> Deployment:
    return load_deployment()


@pytest.fixture(scope="session")
def unlimited(contract: Contract, deployment: Deployment) -> Iterator[UsageMock]:
    """A mock without rate limits, which all tests of the session share."""
    with UsageMock(make_app(contract, MockOptions(rate_limit=False), deployment=deployment)) as mock:
        yield mock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limited(contract: Contract, deployment: Deployment, clock: Clock) -> Iterator[UsageMock]:
    """A mock with rate limits and a manual clock."""
    with UsageMock(make_app(contract, deployment=deployment, clock=clock)) as mock:
        yield mock


@pytest.fixture
def deployments(tmp_path: Path) -> Path:
    """An empty folder for deployments; its parent is the fixture folder."""
    folder = tmp_path / "deployments"
    folder.mkdir()
    return folder
