"""The default deployment, served with a fault that a test writes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from mock_server import UsageMock, load_fault, make_app
from tests.support.wire import Clock
from usage_contract import Contract

from .served import Serve, Sleep


@pytest.fixture
def slept() -> list[float]:
    """The delays of faults, in seconds, which the mock does not sleep."""
    return []


@pytest.fixture
def serve(contract: Contract, clock: Clock, slept: list[float], tmp_path: Path) -> Iterator[Serve]:
    """Serve the default deployment with a fault, given as the YAML of its steps; return the URL."""
    (tmp_path / "faults").mkdir()

    async def no_sleep(seconds: float) -> None:
        slept.append(seconds)

    with contextlib.ExitStack() as stack:

        def start(*steps: str, more: str = "", sleep: Sleep = no_sleep) -> str:
            do = "".join(f"  - {{{step}}}\n" for step in steps)
            text = f"description: d\nbreaks: []\n{more}\n" + (f"do:\n{do}" if do else "")
            (tmp_path / "faults" / "fault.yaml").write_text(text)
            fault = load_fault("fault", tmp_path)
            app = make_app(contract, clock=clock, fault=fault, sleep=sleep)
            return stack.enter_context(UsageMock(app)).url

        yield start
