"""Received data is traversed without recursion, so a deeply nested body is judged with any status code."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract_tests.wire.messages import Exchange, Request
from contract_tests.wire.strict_json import DEEPEST, nesting, parse, parse_exactly
from tests.support.gate import Respond, Run, http_response
from tests.support.transport import gate_for

no_deadline = hypothesis.settings(deadline=None)  # no result depends on the speed of the machine
METRICS = '{"total": 1, "success": 1}'
GOOD = b'{"total": 3, "success": 3, "fail": 0}'
LARGEST = 1024 * 1024


def nested(depth: int, inside: str = "0", opening: str = "[", closing: str = "]") -> bytes:
    """Return an error body with a member of the given depth."""
    return f'{{"detail": "no", "more": {opening * (depth - 1)}{inside}{closing * (depth - 1)}}}'.encode()


def contains_metrics(body: bytes) -> bool:
    return gate_for().contains_metrics(Exchange(Request("GET", b"/usage", ()), 403, payload=body))


@pytest.mark.parametrize("depth", [2, 500, DEEPEST, DEEPEST + 1, 100_000])
@pytest.mark.parametrize(("opening", "closing"), ["[]", ('{"a":', "}")])
def test_usage_metrics_are_found_at_any_depth(depth: int, opening: str, closing: str) -> None:
    assert contains_metrics(nested(depth, METRICS, opening, closing))
    assert not contains_metrics(nested(depth, '{"total": "a number \\" : {"}', opening, closing))


@pytest.mark.parametrize("depth", [500, DEEPEST])
def test_a_depth_up_to_the_limit_is_read_at_any_stack_depth(depth: int) -> None:
    def read(frames: int) -> object:
        return read(frames - 1) if frames else (parse(nested(depth)).problem, parse_exactly(nested(depth)) is not None)

    assert read(sys.getrecursionlimit() // 4) == ("", True)


@pytest.mark.parametrize("body", [nested(100_000), nested(100_000)[:100_000], b"[" * LARGEST, b'{"a":' * 200_000])
def test_depth_beyond_the_limit_is_a_problem_at_once(body: bytes) -> None:
    started = time.process_time()
    assert parse(body).problem.startswith("is nested too deeply to be read")
    assert time.process_time() - started < 60  # hundreds of times the usual time; a quadratic algorithm takes hours


values = st.recursive(
    st.none() | st.text('ab[]{}"\\:', max_size=5),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text('a[]{}"\\', max_size=3), children, max_size=3)
    ),
)


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


@no_deadline
@given(values)
def test_nesting_is_counted_outside_of_strings(value: object) -> None:
    padding = "[" + ",".join(["[]"] * DEEPEST) + "]"
    body = f"[{json.dumps(value)},{padding}]".encode()
    assert nesting(body) == max(depth_of(value) + 1, 3)


DEEP = {500: nested(500), 100_000: nested(100_000)}
ORDINARY = b'{"detail": "no"}'


def respond_with(status: int, body: bytes) -> Respond:
    """Return a deployment whose responses with a status are deeply nested, but only one of those with 200 or 429."""
    count = 0

    def respond(head: bytes) -> bytes:
        nonlocal count
        if b"main-key\r\n" in head:
            count += 1
            is_deep = count == 3
            if status == 429 and is_deep:
                return http_response(body, "429 Slow Down", "Content-Type: application/json\r\nRetry-After: 0")
            return http_response(GOOD[:-1] + b', "more": ' + body + b"}" if status == 200 and is_deep else GOOD)
        if b"X-API-Key" in head:
            return http_response(body if status == 403 else ORDINARY, "403 Forbidden")
        return http_response(body if status == 401 else ORDINARY, "401 Unauthorized")

    return respond


@pytest.mark.parametrize("depth", DEEP)
@pytest.mark.parametrize("status", [200, 401, 403, 429])
def test_deep_response_is_judged(
    status: int, depth: int, run_gate: Callable[..., Run], serve: Callable[[Respond], str]
) -> None:
    run = run_gate(
        *(
            "--base-url",
            serve(respond_with(status, DEEP[depth])),
            "--max-rate",
            "1000",
            "--max-time",
            "40",
            "--report-dir",
            "out",
        ),
        *("-k", "valid_key or every_auth_error or error_body or body_is_json or generated or other_ or metrics or 429"),
        environment={"CONTRACT_API_KEY": "main-key"},
    )
    report = json.loads((run.folder / "out" / "contract.json").read_text())
    assert report["counts"]["gate error"] == 0, run.output
    judged_by = {
        200: "schema/body-is-json",
        401: "errors/error-body-is-json-with-a-detail",
        403: "errors/error-body-is-json-with-a-detail",
        429: "rate/429-is-complete",
    }[status]
    outcomes = {rule["id"]: (rule["outcome"], json.dumps(rule["findings"])) for rule in report["rules"]}
    outcome, evidence = outcomes[judged_by]
    if depth > DEEPEST:
        assert outcome == "broken"
        assert "nested too deeply" in evidence or status == 429
    elif status != 429:  # the other fields of a 429 are missing
        assert outcome == "held"
