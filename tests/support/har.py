"""Exchanges as HAR 1.2, as a browser or a proxy records them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contract_tests.metrics.schema import contract
from contract_tests.reports.model import RuleReport
from contract_tests.run.offline import judge_recording
from contract_tests.run.verdicts import Verdicts
from contract_tests.traffic.har import read_har
from contract_tests.traffic.recording import recording_of
from contract_tests.wire.messages import Exchange

KEY = "har-key-0001-abcdef"
BEGAN = 1_800_000_000  # seconds since the Unix epoch
METRICS: dict[str, Any] = {
    "api_key": "har-…def",
    "total": 12342,
    "success": 12011,
    "fail": 331,
    "success_rate": 97.32,
    "bytes_transferred": 982734111,
    "rate_limit": {"rps": 10, "burst": 10, "remaining": 9.0},
    "by_protocol": {"fetch": 11800, "ws": 430, "amqp": 112},
    "top_domains": [{"domain": "shop.example", "requests": 900}, {"domain": "news.example", "requests": 41}],
}
GOOD = json.dumps(METRICS)
FRACTION = json.dumps({**METRICS, "success_rate": 0.9732})
DETAIL = json.dumps({"detail": "no"})

Judged = Mapping[str, RuleReport]  # by id


def har(*entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return a HAR document."""
    return {"log": {"version": "1.2", "creator": {"name": "tests", "version": "1"}, "entries": list(entries)}}


def har_of(exchanges: Iterable[Exchange], origin: str) -> dict[str, Any]:
    """Return a HAR document of the exchanges that HAR can express, with decoded bodies."""
    return har(*(_entry(exchange, origin) for exchange in exchanges if is_expressible(exchange)))


def judged_as_har(verdicts: Verdicts, folder: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Judge the journal of a run as a HAR file.

    Returns:
        The rules that are broken in the file, and the rules that only the run has found broken.
        Only findings in exchanges that the file contains are considered. A run confirms an outage by further requests,
        and a file has too few of them.
    """
    assert verdicts.runner
    settings, operation = verdicts.settings, contract("documented").operation("get_usage")
    path = folder / "journal.har"
    path.write_text(json.dumps(har_of(verdicts.runner.journal, settings.target.origin)))
    recording = recording_of(read_har(path), operation, keys=settings.keys, base=settings.target)
    recorded = {verdict.rule.id: verdict.outcome for verdict in judge_recording(recording).all}
    found = {
        verdict.rule.id
        for verdict in verdicts.all
        if not verdicts.runner.outage
        for finding in verdict.findings
        if verdict.outcome == "broken"
        and is_expressible(finding.exchange)
        and is_of(settings.target.path + operation.path, finding.exchange)
    }
    broken = frozenset(rule for rule, outcome in recorded.items() if outcome == "broken")
    return broken, frozenset(rule for rule in found if recorded[rule] == "held")


def broken(judged: Judged) -> list[str]:
    """Return the ids of the broken rules."""
    return [rule.id for rule in judged.values() if rule.outcome == "broken"]


def is_of(path: str, exchange: Exchange) -> bool:
    """Whether a request is for a path, with any query."""
    return exchange.request.target.partition(b"?")[0] == path.encode()


def is_expressible(exchange: Exchange) -> bool:
    """Whether a browser or a proxy would record an exchange: its response is complete and can be decoded."""
    request = exchange.request
    is_whole = exchange.status is not None and exchange.ending == "complete" and not exchange.abridged
    is_decoded = is_whole and not exchange.coding_problem and exchange.header("Content-Encoding") != "zstd"
    return is_decoded and request.separator == b": " and request.target.startswith(b"/")


def entry(
    body: str = "",
    status: int = 200,
    *,
    url: str = "https://api.example/usage",
    method: str = "GET",
    key: str = KEY,
    at: float = 0.0,
    sent: Mapping[str, str] | None = None,
    received: Mapping[str, str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return an entry as a browser writes it for HTTP/2; `at` is the time in seconds, `more` are further members."""
    usual = {":authority": "api.example", "accept": "application/json", "user-agent": "app/1"}
    headers = {**usual, **(sent or {})}
    if key:
        headers["x-api-key"] = key
    return {
        "startedDateTime": datetime.fromtimestamp(BEGAN + at, UTC).isoformat(),
        "time": 12.5,
        "request": {"method": method, "url": url, "httpVersion": "h2", "headers": _fields(headers)},
        "response": {
            "status": status,
            "statusText": "",
            "httpVersion": "h2",
            "headers": _fields({"content-type": "application/json", **(received or {})}),
            "content": {"size": len(body), "mimeType": "application/json", "text": body},
            "bodySize": len(body),
        },
        "cache": {},
        **more,
    }


def _fields(fields: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in fields.items()]


def _entry(exchange: Exchange, origin: str) -> dict[str, Any]:
    request, target = exchange.request, exchange.request.target.decode("latin-1")
    return {
        "startedDateTime": datetime.fromtimestamp(BEGAN + exchange.started % 1_000_000, UTC).isoformat(),
        "time": exchange.seconds * 1000,
        "request": {
            "method": request.method,
            "url": origin + target,
            "httpVersion": request.version,
            "headers": [{"name": n.decode("latin-1"), "value": v.decode("latin-1")} for n, v in request.fields],
            "postData": {"text": request.body.decode("latin-1")},
        },
        "response": {
            "status": exchange.status,
            "statusText": exchange.reason,
            "httpVersion": f"HTTP/{exchange.version}",
            "headers": [{"name": name, "value": value.decode("latin-1")} for name, value in exchange.fields],
            "content": {
                "size": len(exchange.body),
                "mimeType": exchange.media_type,
                "text": base64.b64encode(exchange.body).decode(),
                "encoding": "base64",
            },
            "bodySize": len(exchange.body),
        },
        "cache": {},
    }
