"""The plan tells every request, and sends none."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.support.gate import Run


def test_the_plan_adds_up_and_needs_no_deployment(run_gate: Callable[..., Run]) -> None:
    run = run_gate("--plan", "--base-url", "http://127.0.0.1:9", environment={"CONTRACT_API_KEY": "my-own-secret-key"})
    assert run.code == 0, run.output
    assert "nothing was sent to http://127.0.0.1:9" in run.output
    total = int(re.findall(r"in total (\d+) requests", run.output)[0])
    parts = [int(number) for number in re.findall(r"^[\w/ -]+: (\d+)$", run.output, re.MULTILINE)]
    assert len(parts) > 20
    assert sum(parts) == total
    assert "bucket/over-the-limit-is-429: none: it is intrusive" in run.output


def test_the_plans_time_keeps_to_max_rate(run_gate: Callable[..., Run]) -> None:
    run = run_gate("--plan", "--max-rate", "2", "-k", "missing_key")
    requests, seconds = map(int, re.findall(r"in total (\d+) requests: (\d+) s at 2 a second", run.output)[0])
    assert abs(seconds - requests / 2) <= 0.5
