"""Fixtures for recorded traffic, and for transports to a scripted server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from contract_tests import judge, read_har
from contract_tests.wire.clock import Clock
from contract_tests.wire.transport import Transport
from tests.support.gate import Run, serving
from tests.support.har import Judged, har
from tests.support.transport import Bench, ManualClock, settings


@pytest.fixture
def judge_entries(tmp_path: Path) -> Callable[..., Judged]:
    """Judge a HAR file with these entries, without a run of the gate; return the rules by id."""

    def judged(*entries: Mapping[str, Any], **options: Any) -> Judged:
        path = tmp_path / "capture.har"
        path.write_text(json.dumps(har(*entries)))
        return {rule.id: rule for rule in judge(read_har(path), **options)}

    return judged


@pytest.fixture
def judge_file(run_gate: Callable[..., Run], tmp_path: Path) -> Callable[..., Run]:
    """Run the gate over a HAR file with these entries."""

    def run(*entries: Mapping[str, Any], options: tuple[str, ...] = ()) -> Run:
        (tmp_path / "capture.har").write_text(json.dumps(har(*entries)))
        return run_gate("--traffic", "capture.har", "--report-dir", "out", *options)

    return run


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    """Make a transport to a server that answers with a script of responses."""
    with ExitStack() as stack:

        def make(*script: bytes, **changes: Any) -> Bench:
            heads: list[bytes] = []

            def respond(head: bytes) -> bytes:
                heads.append(head)
                return script[min(len(heads), len(script)) - 1]

            url = stack.enter_context(serving(respond))
            clock = ManualClock()
            transport = Transport(settings(url, **changes), Clock(clock.now, clock.sleep))
            stack.callback(transport.close)
            return Bench(transport, clock, heads)

        yield make
