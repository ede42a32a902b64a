"""The picture of a run: latency and status of each request over time, and the buckets of the keys.

Times are percentages of the width, so that the text keeps its size on a narrow screen.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from contract_tests.reports.model import Report, RequestReport, counted

TOP, PLOT, BUCKET, GAP = 26, 150, 46, 40  # pixels
MOST_TICKS = 6
FASTEST = 0.0001  # seconds: shorter times are drawn there

# Each has its own shape: the picture must be readable without colours. Later ones are drawn on top.
MARKS = {
    "ok": ("2xx", '<circle r="3.5"/>'),
    "refused": ("4xx other than 429", '<rect x="-3.5" y="-3.5" width="7" height="7"/>'),
    "other": ("any other status", '<path d="M0-5 5 0 0 5-5 0z"/>'),
    "waited": ("429, waited for", '<path d="M0-4.5 4.5 4h-9z"/>'),
    "failed": ("5xx", '<path d="M-4-4 4 4M4-4-4 4"/>'),
    "lost": ("no response, or an incomplete one", '<path d="M0 4.5 4.5-4h-9z"/>'),
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
    def ticks(self) -> list[float]:
        """Round times, few enough to stand apart on a narrow screen."""
        rough = self.span / MOST_TICKS
        unit: float = 10 ** math.floor(math.log10(rough))
        step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
        return [step * number for number in range(int(self.span / step) + 1)]


def picture(report: Report) -> str:
    """Return the figure: a legend with counts, and the drawing."""
    timeline = report.timeline
    kinds = Counter(map(kind, timeline))
    legend = "".join(
        f'<li><svg aria-hidden="true"><use href="#mark-{name}" x="7" y="7" class="mark {name}"/></svg>'
        f"{escape(label)}: {kinds[name]}</li>"
        for name, (label, _) in MARKS.items()
        if kinds[name]
    )
    return (
        f'<figure>{_drawing(timeline, kinds)}<ul class="legend">{legend}</ul>'
        "<figcaption>Above, the latency (on a logarithmic scale) and the status of each request. "
        "Below, on the same time axis, the tokens in the responses to each key.</figcaption></figure>"
    )


def kind(request: RequestReport) -> str:
    """Return the name of the mark for a response."""
    status = request.status
    if status is None or request.ending != "complete":
        return "lost"
    if status == 429:
        return "waited"
    return {2: "ok", 4: "refused", 5: "failed"}.get(status // 100, "other")


def _drawing(timeline: Sequence[RequestReport], kinds: Counter[str]) -> str:
    scale, buckets = Scale.of(timeline), _buckets(timeline)
    height = TOP + PLOT + 8 + len(buckets) * (GAP + BUCKET)
    shapes = "".join(f'<g id="mark-{name}">{shape}</g>' for name, (_, shape) in MARKS.items())
    parts = [
        f'<svg class="run" role="img" aria-labelledby="run-title run-told" height="{height + 24}">',
        f'<title id="run-title">Latency and status of each request</title><desc id="run-told">'
        f"{escape(_told(timeline, kinds, buckets))}</desc><defs>{shapes}</defs>",
        *_grid(scale, height),
        *_marks(timeline, scale),
        *(part for row, key in enumerate(buckets) for part in _bucket(key, buckets[key], row, scale)),
        "</svg>",
    ]
    return "\n".join(parts)


def _told(timeline: Sequence[RequestReport], kinds: Counter[str], buckets: dict[str, list[RequestReport]]) -> str:
    seconds = [request.seconds for request in timeline]
    counts = ", ".join(f"{kinds[name]} {label}" for name, (label, _) in MARKS.items() if kinds[name])
    text = f"{counted(len(timeline), 'request')}: {counts}. "
    text += f"Half took at most {_time(statistics.median(seconds))}, the slowest {_time(max(seconds))}."
    for key, requests in buckets.items():
        tokens = [request.remaining or 0 for request in requests]
        text += f" Tokens of {key}: {min(tokens):g} to {max(tokens):g}."
    return text


def _grid(scale: Scale, height: int) -> Iterator[str]:
    yield '<text x="-52" y="12" class="name">latency</text>'
    for decade in range(scale.low, scale.high + 1):
        y = scale.y(10.0**decade)
        yield _line(y) + f'<text x="-6" y="{y + 4}" text-anchor="end">{_time(10.0**decade)}</text>'
    for tick in scale.ticks:
        x = scale.x(tick)
        yield f'<line class="rule" x1="{x}" x2="{x}" y1="{TOP}" y2="{height}"/>'
        yield f'<text x="{x}" y="{height + 16}" text-anchor="middle">{tick:g} s</text>'


def _line(y: float) -> str:
    return f'<line class="rule" x1="0" x2="100%" y1="{y}" y2="{y}"/>'


def _marks(timeline: Sequence[RequestReport], scale: Scale) -> list[str]:
    order = list(MARKS)
    numbered = sorted(enumerate(timeline, 1), key=lambda each: order.index(kind(each[1])))
    return [_mark(number, request, scale) for number, request in numbered]


def _mark(number: int, request: RequestReport, scale: Scale) -> str:
    name = kind(request)
    status = str(request.status or "no status") + ("" if request.ending == "complete" else f", {request.ending}")
    title = f"request {number} at {request.at:.2f} s: {status} in {_time(request.seconds)}; {request.key}; "
    return (
        f'<use href="#mark-{name}" class="mark {name}" x="{scale.x(request.at)}" y="{scale.y(request.seconds)}">'
        f"<title>{escape(title + (request.rule or 'for all rules'))}</title></use>"
    )


def _buckets(timeline: Sequence[RequestReport]) -> dict[str, list[RequestReport]]:
    buckets: dict[str, list[RequestReport]] = {}
    for request in timeline:
        if request.remaining is not None:
            buckets.setdefault(request.key, []).append(request)
    return buckets


def _bucket(key: str, requests: list[RequestReport], row: int, scale: Scale) -> Iterator[str]:
    bottom = TOP + PLOT + 8 + (row + 1) * (GAP + BUCKET)
    tokens = [request.remaining or 0 for request in requests]
    full = max(*tokens, 1)
    places = [
        (scale.x(request.at), round(bottom - BUCKET * max(count, 0) / full, 1))
        for request, count in zip(requests, tokens, strict=True)
    ]
    yield f'<text x="-52" y="{bottom - BUCKET - 12}" class="name">tokens left, {escape(key)}</text>'
    for count in (0, full):
        y = bottom - BUCKET * count / full
        yield _line(y) + f'<text x="-6" y="{y + 4}" text-anchor="end">{count:.4g}</text>'
    for (x1, y1), (x2, y2) in pairwise(places):
        yield f'<line class="level" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'
    for x, y in places:
        yield f'<circle class="mark token" cx="{x}" cy="{y}" r="2"/>'


def _time(seconds: float) -> str:
    return f"{seconds:g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"
