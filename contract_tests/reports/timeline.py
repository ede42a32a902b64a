"""The data of a run's picture: latency and status of each request over time, and the buckets of the keys.

`timeline.html.j2` draws it. Times are percentages of the width, so that the text keeps its size on a narrow screen.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contract_tests.reports.model import RequestReport, counted

TOP, PLOT, MARGIN, BUCKET, GAP = 26, 150, 8, 46, 40  # pixels
MOST_TICKS = 6
FASTEST = 0.0001  # seconds: shorter times are drawn in its place

# Each has its own shape: the picture must be readable without colours. Later ones are drawn on top.
KINDS = {
    "ok": "2xx",
    "refused": "4xx other than 429",
    "other": "any other status",
    "abandoned": "abandoned by the gate",
    "waited": "429, waited for",
    "failed": "5xx",
    "lost": "no response, or an incomplete one",
}


@dataclass(frozen=True)
class Scale:
    """The scale of the picture: `span` seconds wide, and decades of seconds high."""

    span: float
    low: int
    high: int

    @classmethod
    def of(cls, timeline: Sequence[RequestReport]) -> Scale:
        """Return the scale that all the requests fit in."""
        seconds = [max(request.seconds, FASTEST) for request in timeline]
        low = math.floor(math.log10(min(seconds)))
        high = math.ceil(math.log10(max(seconds)))
        return cls(max(max(request.at for request in timeline), 0.001), low, max(high, low + 1))

    def x(self, at: float) -> str:
        """Return a time's place, as a percentage."""
        return f"{100 * at / self.span:.2f}%"

    def y(self, seconds: float) -> float:
        """Return a latency's place: its logarithm, upwards."""
        share = (math.log10(max(seconds, FASTEST)) - self.low) / (self.high - self.low)
        return round(TOP + PLOT * (1 - share), 1)

    @property
    def decades(self) -> list[float]:
        """The latencies that have a line."""
        return [10.0**exponent for exponent in range(self.low, self.high + 1)]

    @property
    def ticks(self) -> list[float]:
        """Round times, few enough to stand apart on a narrow screen."""
        rough = self.span / MOST_TICKS
        unit: float = 10 ** math.floor(math.log10(rough))
        step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
        return [step * number for number in range(int(self.span / step) + 1)]


@dataclass(frozen=True)
class Bucket:
    """The tokens in the responses to one key; `bottom` is the place of an empty bucket, in pixels."""

    key: str
    requests: Sequence[RequestReport]
    bottom: int

    @property
    def tokens(self) -> list[float]:
        """The tokens in each response."""
        return [request.remaining or 0 for request in self.requests]

    @property
    def full(self) -> float:
        """The most tokens, and at least one."""
        return max(*self.tokens, 1)

    def y(self, tokens: float | None) -> float:
        """Return the place of a number of tokens."""
        return round(self.bottom - BUCKET * max(tokens or 0, 0) / self.full, 1)


def drawing(timeline: Sequence[RequestReport]) -> Mapping[str, object]:
    """Return the variables of `timeline.html.j2`, for one request or more."""
    counts, order = Counter(map(kind, timeline)), list(KINDS)
    by_key: dict[str, list[RequestReport]] = {}
    for request in timeline:
        if request.remaining is not None:
            by_key.setdefault(request.key, []).append(request)
    buckets = [
        Bucket(key, requests, TOP + PLOT + MARGIN + number * (GAP + BUCKET))
        for number, (key, requests) in enumerate(by_key.items(), 1)
    ]
    return {
        "scale": Scale.of(timeline),
        "requests": sorted(enumerate(timeline, 1), key=lambda numbered: order.index(kind(numbered[1]))),
        "buckets": buckets,
        "top": TOP,
        "height": TOP + PLOT + MARGIN + len(buckets) * (GAP + BUCKET),
        "bucket_height": BUCKET,
        "legend": {name: f"{label}: {counts[name]}" for name, label in KINDS.items() if counts[name]},
        "description": _description(timeline, counts, buckets),
    }


def kind(request: RequestReport) -> str:
    """Return the name of the mark for a response."""
    status = request.status
    if request.ending == "abandoned":
        return "abandoned"
    if status is None or request.ending != "complete":
        return "lost"
    if status == 429:
        return "waited"
    return {2: "ok", 4: "refused", 5: "failed"}.get(status // 100, "other")


def _description(timeline: Sequence[RequestReport], counts: Counter[str], buckets: Sequence[Bucket]) -> str:
    seconds = [request.seconds for request in timeline]
    kinds = ", ".join(f"{counts[name]} {label}" for name, label in KINDS.items() if counts[name])
    text = f"{counted(len(timeline), 'request')}: {kinds}. "
    text += f"Half took at most {duration(statistics.median(seconds))}, the slowest {duration(max(seconds))}."
    for bucket in buckets:
        text += f" Tokens of {bucket.key}: {min(bucket.tokens):g} to {max(bucket.tokens):g}."
    return text


def duration(seconds: float) -> str:
    """Return a time as text, in seconds or milliseconds."""
    return f"{seconds:g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"
