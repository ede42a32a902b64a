"""The conditions of a fault file that apply to a fault that is switched on (docs/faults.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mock_server import UsageMock
from tests.support.control_api import Api
from tests.support.wire import send, send_request, usage

FAULT = """
description: Some responses have another status code.
breaks: []
do:
  - when: { key: other-key, status: [200], after: 1, first: 1, every: 1 }
    status: 202
"""
SEQUENCE = """
description: Two errors, then another one, then success.
breaks: []
do:
  - when: { status: [200], first: 2 }
    status: 503
  - when: { status: [200], after: 0, first: 1 }
    status: 500
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
        "faults/sequence": SEQUENCE,
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


def test_a_step_without_a_path_applies_to_the_absolute_form(fixtures: Path) -> None:
    with UsageMock(fixtures=fixtures, fault="sequence") as mock:
        for target in ("http://a.example/usage", "http://a.example/usage?page=2"):
            assert (
                send(mock.url, f"GET {target} HTTP/1.1\r\nX-API-Key: my-key\r\nHost: x\r\n\r\n".encode()).status == 503
            )


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


def conditions_by_python(mock: UsageMock, fault: str, **options: Any) -> None:
    mock.fail(fault, file_conditions=True, **options)


def conditions_by_api(mock: UsageMock, fault: str, **options: Any) -> None:
    Api(mock.url).do("PATCH", "/behaviour", {"fault": fault, "file_conditions": True, **options})


@pytest.mark.parametrize("fail", [conditions_by_python, conditions_by_api])
def test_a_switched_on_sequence_follows_its_turns(mock: UsageMock, fail: Callable[..., None]) -> None:
    for _ in range(2):  # the second call counts anew
        fail(mock, "sequence")
        assert [usage(mock.url, "my-key").status for _ in range(4)] == [503, 503, 500, 200]
    mock.advance(10)
    fail(mock, "sequence", after=1, times=3)
    assert [usage(mock.url, "my-key").status for _ in range(5)] == [200, 503, 503, 500, 200]
    mock.advance(10)
    fail(mock, "conditional")
    assert [usage(mock.url, "my-key").status for _ in range(2)] == [200] * 2
    assert [usage(mock.url, "other-key").status for _ in range(3)] == [200, 202, 200]


def test_file_conditions_is_a_truth_value_and_needs_a_fault(mock: UsageMock) -> None:
    with pytest.raises(TypeError, match="file_conditions: 1 is not True or False"):
        mock.fail("sequence", file_conditions=1)  # type: ignore[arg-type]
    problem = "body: has file_conditions, which needs fault"
    assert Api(mock.url).refused("PATCH", "/behaviour", {"file_conditions": True}) == (422, problem)
