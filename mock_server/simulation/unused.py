"""Overrides that have not acted, so that their test does not show what it claims."""

from __future__ import annotations

from collections.abc import Iterator

from mock_server.masking import mask_key
from mock_server.simulation.overrides import Answer, FaultUse, ForcedResponse, Override
from mock_server.simulation.simulator import Simulator
from mock_server.wording import counted


class UnusedOverrideWarning(UserWarning):
    """A fault or a status code that has not acted, or on fewer requests than it was switched on for."""


def unused_overrides(simulator: Simulator) -> list[str]:
    """Return a sentence for each fault and each status code that was switched on at run time and is unused."""
    overrides = simulator.overrides
    levels = [(None, overrides.everyone), *overrides.keys.items()]
    return [text for key, override in levels for text in unused(simulator, key, override)]


def unused(simulator: Simulator, key: str | None, override: Override) -> Iterator[str]:
    """Yield a sentence for each fault and status code of the override of a key, or of everyone (None)."""
    owner = "" if key is None else f" for {mask_key(key)}"
    if override.answer and (text := _unused_answer(simulator, override.answer)):
        yield f"answer{owner}: {text}"
    for use in override.faults or ():
        if text := _unused_fault(simulator, use):
            yield f"fail{owner}: {text}"


def _unused_answer(simulator: Simulator, answer: Answer) -> str:
    acted, times = simulator.acted[answer.use], answer.times
    if acted >= (times or 1) or answer.responses == (ForcedResponse(200),):
        return ""  # a 200 switches off a code of a lower level, and need not act
    first, *others = answer.overrides
    name = f"the sequence {first}, …" if others else first
    return f"{name} was not used" if times is None else f"{name} was used for {acted} of {counted(times, 'request')}"


def _unused_fault(simulator: Simulator, use: FaultUse) -> str:
    acted = simulator.acted[use.use]
    if acted >= (use.times or 1):
        return ""
    if not use.times:
        return f"{use.name} has not acted"
    return f"{use.name} has changed {acted} of {counted(use.times, 'response')}"
