"""Examples that Hypothesis draws for a rule, as data, and the profiles that set their number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis.strategies import SearchStrategy

T = TypeVar("T")
PROFILES = ("contract", "thorough")  # the default first

hypothesis_settings.register_profile(
    "contract",
    max_examples=2,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
hypothesis_settings.register_profile(
    "thorough", hypothesis_settings.get_profile("contract"), max_examples=200, derandomize=False
)


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


def examples_of_each(strategies: Sequence[SearchStrategy[T]]) -> list[T]:
    """Draw examples of several strategies in turn, as many in all as `examples` draws of one."""
    most = hypothesis_settings().max_examples
    drawn = [examples(strategy, math.ceil(most / len(strategies))) for strategy in strategies]
    return [example for turn in zip_longest(*drawn) for example in turn if example is not None][:most]
