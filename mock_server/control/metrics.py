"""Metrics for Prometheus, computed for each scrape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from mock_server.control.context import Context

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


def metrics(context: Context, state: Mapping[str, Any]) -> str:
    """Return the metrics of a mock in the text format; `state` is a State of the document."""
    return generate_latest(StateCollector(context, state)).decode()


class StateCollector(Collector):
    """The metrics of one moment."""

    def __init__(self, context: Context, state: Mapping[str, Any]) -> None:
        self._journal, self._state = context.mock.journal, state

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        state = self._state
        yield InfoMetricFamily("usage_mock", "The mock.", {"version": state["version"]})
        yield GaugeMetricFamily("usage_mock_uptime_seconds", "Real seconds since the start.", state["uptime"])
        yield GaugeMetricFamily("usage_mock_clock_seconds", "The mock's clock, Unix time.", state["clock"]["now"])
        yield GaugeMetricFamily("usage_mock_journal_entries", "Requests in the journal.", state["journal"]["kept"])
        yield CounterMetricFamily(
            "usage_mock_response_seconds", "Seconds that all responses took together.", self._journal.seconds
        )
        labels = ("method", "status", "reason")
        requests = CounterMetricFamily("usage_mock_requests", "Requests.", labels=labels)
        for (method, status, reason), count in sorted(self._journal.counts.items()):
            requests.add_metric((method, str(status), reason), count)
        tokens = GaugeMetricFamily("usage_mock_tokens", "Tokens in the bucket of a key.", labels=("key",))
        key_requests = GaugeMetricFamily(
            "usage_mock_key_requests", "Requests of a key in GET /usage.", labels=("key", "outcome")
        )
        moved = GaugeMetricFamily("usage_mock_key_bytes", "Bytes of a key in GET /usage.", labels=("key",))
        for key in (key for key in state["keys"] if key["accepted"]):
            tokens.add_metric((key["id"],), key["tokens"])
            moved.add_metric((key["id"],), key["usage_metrics"]["bytes_transferred"])
            for outcome in ("success", "fail"):
                key_requests.add_metric((key["id"], outcome), key["usage_metrics"][outcome])
        yield from (requests, tokens, key_requests, moved)
