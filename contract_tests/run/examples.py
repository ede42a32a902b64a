"""Examples that Hypothesis draws for a rule, as data."""

from __future__ import annotations

from typing import TypeVar

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")


def examples(strategy: SearchStrategy[T], most: int | None = None) -> list[T]:
    """Draw different examples, the simplest first; `--hypothesis-profile thorough` draws many more.

    The default profile draws the same examples in every run.
    """
    drawn: list[T] = []

    @hypothesis_settings(max_examples=most or hypothesis_settings().max_examples)
    @given(strategy)
    def draw(example: T) -> None:
        if example not in drawn:
            drawn.append(example)

    draw()
    return drawn
