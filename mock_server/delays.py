"""Delays: fixed, jittered or long-tailed, written as a text that options, files and `Prefer` share."""

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass

FORMS = "SECONDS (0.2), LOW..HIGH (0.1..0.5, evenly spread) or MEDIAN~P99 (0.1~2, a long tail)"
LONGEST = 3600.0  # seconds

_NUMBER = r"\d{1,6}(?:\.\d{1,6})?"
_TEXT = re.compile(rf"({_NUMBER})(?:(\.\.|~)({_NUMBER}))?", re.ASCII)
_P99 = 2.3263478740408408  # standard deviations above the median of a normal distribution


class DelayError(ValueError):
    """A text that is not a valid delay."""

    def __init__(self, text: str) -> None:
        super().__init__(f"{text!r} is not a valid delay; expected {FORMS}, at most {LONGEST:.0f} s")


@dataclass(frozen=True)
class Delay:
    """A distribution of seconds between `low` and `high`; see FORMS for the two shapes."""

    low: float
    high: float
    long_tailed: bool = False

    def draw(self, chance: random.Random) -> float:
        """Return the seconds that one answer is held back."""
        if not self.long_tailed:
            return chance.uniform(self.low, self.high)
        sigma = math.log(self.high / self.low) / _P99
        return min(LONGEST, self.low * math.exp(chance.gauss(0, sigma)))


def delay(text: str) -> Delay:
    """Read a delay.

    Raises DelayError for what is none.
    """
    found = _TEXT.fullmatch(text)
    if not found:
        raise DelayError(text)
    low = float(found[1])
    high = float(found[3] or low)
    long_tailed = found[2] == "~"
    if not low <= high <= LONGEST or (long_tailed and low == 0):
        raise DelayError(text)
    return Delay(low, high, long_tailed)
