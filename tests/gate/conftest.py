"""Fixtures for recorded traffic."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from contract_tests import judge, read_har
from tests.support.gate import Run
from tests.support.har import Judged, har


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
