"""The conditions of a fault file that apply to a fault that is switched on (docs/faults.md)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mock_server import UsageMock
from tests.support.wire import send_request, usage

FAULT = """
description: Some responses have another status code.
breaks: []
do:
  - when: { key: other-key, status: [200], after: 1, first: 1, every: 1 }
    status: 202
"""
BUCKET = """
description: One key has a bucket with a single token.
breaks: []
buckets: [{ keys: [other-key], rps: 0, burst: 1 }]
"""


@pytest.fixture
def fixtures(tmp_path: Path) -> Path:
    for name, text in {
        "deployments/default": "description: d\nkeys: { my-key: {}, other-key: {} }\n",
        "faults/conditional": FAULT,
        "faults/bucket": BUCKET,
    }.items():
        path = tmp_path / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.fixture
def mock(fixtures: Path) -> Iterator[UsageMock]:
    with UsageMock(fixtures=fixtures) as mock:
        yield mock


def test_every_condition_applies_from_the_start(fixtures: Path) -> None:
    with UsageMock(fixtures=fixtures, fault="conditional") as mock:
        assert [usage(mock.url, "my-key").status for _ in range(3)] == [200] * 3
        assert [usage(mock.url, "other-key").status for _ in range(3)] == [200, 202, 200]


def test_switched_on_fault_ignores_counts_and_key_of_its_conditions(mock: UsageMock) -> None:
    mock.fail("conditional")
    assert [usage(mock.url, key).status for key in ("my-key", "other-key", "my-key")] == [202] * 3


def test_preferred_fault_ignores_counts_and_key_of_its_conditions(mock: UsageMock) -> None:
    headers = [("X-API-Key", "my-key"), ("Prefer", "fault=conditional")]
    assert [send_request(mock.url, "/usage", headers=headers).status for _ in range(3)] == [202] * 3


def test_switched_on_fault_respects_the_other_conditions(mock: UsageMock) -> None:
    mock.fail("conditional")
    assert usage(mock.url, "unknown-key").status == 403
    assert send_request(mock.url, "/healthz").status == 200


def test_buckets_of_a_switched_on_fault_respect_their_keys(mock: UsageMock) -> None:
    mock.freeze()
    mock.fail("bucket")
    assert [usage(mock.url, "other-key").status for _ in range(2)] == [200, 429]
    assert [usage(mock.url, "my-key").status for _ in range(2)] == [200, 200]


def test_counts_of_an_override_include_requests_to_other_paths(mock: UsageMock) -> None:
    mock.fail("conditional", after=1, times=2)
    send_request(mock.url, "/healthz")
    assert [usage(mock.url, "my-key").status for _ in range(3)] == [202, 202, 200]


def test_counts_of_an_override_for_one_key_include_only_its_requests(mock: UsageMock) -> None:
    mock.fail("conditional", key="my-key", after=1, times=1)
    usage(mock.url, "other-key")
    assert [usage(mock.url, "my-key").status for _ in range(3)] == [200, 202, 200]
