"""The operations on the journal: reading it, clearing it, and verifying the requests in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from aiohttp import web

from mock_server.control.context import Call, Context, Operate, json_response, no_content
from mock_server.control.entry_views import entry_views, summary_views
from mock_server.control.views import journal_view
from mock_server.masking import mask_field, mask_key, mask_text
from mock_server.simulation.client_verdict import ClientVerdict, judge_client
from mock_server.simulation.criteria import Criteria, criteria_from, differences

LIMIT = 100
CLOSEST = 5


async def get_journal(context: Context, call: Call) -> web.Response:
    """Return the latest requests."""
    query, journal = call.query, context.simulator.journal
    criteria = criteria_from(query)
    matches = (entry for entry in reversed(journal.since(query.get("since", 0))) if not differences(entry, criteria))
    if (number := query.get("number")) is not None:
        matches = (entry for entry in matches if entry.number == number)
    latest = [*islice(matches, query.get("limit", LIMIT))][::-1]
    is_short = query.get("detail") == "summary"
    entries = summary_views(context, latest) if is_short else entry_views(context, latest, call.request)
    return json_response({"entries": entries, **journal_view(journal)})


async def clear_journal(context: Context, call: Call) -> web.Response:
    """Remove the requests with one key, or all requests."""
    journal, name = context.simulator.journal, call.query.get("key")
    if name is None:
        journal.clear()
    for key in {entry.key for entry in journal.entries if name in (entry.key, mask_key(entry.key))}:
        journal.clear(key)
    return no_content()


async def get_verdict(context: Context, call: Call) -> web.Response:
    """Return the verdict on the clients."""
    simulator = context.simulator
    return json_response(_verdict_view(judge_client(simulator.journal, simulator.keys, call.query.get("key"))))


async def verify(context: Context, call: Call) -> web.Response:
    """Verify how often a request was sent, or how the client behaves."""
    simulator, journal = context.simulator, context.simulator.journal
    if "client" in call.body:
        verdict = judge_client(journal, simulator.keys, call.body.get("key"))
        return json_response(_verdict_view(verdict), 200 if verdict.is_well_behaved else 409)
    criteria = criteria_from(call.body)
    if "key" in criteria:
        simulator.check_requested(criteria["key"])
    entries = journal.entries
    matches = [entry for entry in entries if not differences(entry, criteria)]
    low, high, expected = _expected_count(call.body)
    label = ", ".join(_described(criteria, simulator.keys))
    detail = f"{f'Requests with {label}' if label else 'Requests'}: expected {expected}, found {len(matches)}."
    if journal.number > len(entries):
        detail += f" The journal holds {len(entries)} of {journal.number} requests."
    if low <= len(matches) and (high is None or len(matches) <= high):
        return json_response({"ok": True, "matched": len(matches), "detail": detail})
    closest = matches[-CLOSEST:]
    if len(matches) < low:  # the latest requests with the fewest differences
        ranked = sorted(entries, key=lambda entry: (len(differences(entry, criteria)), -entry.number))
        closest = sorted(ranked[:CLOSEST], key=lambda entry: entry.number)
    views = entry_views(context, closest, call.request)
    if closest:
        lines = [_line(view, differences(entry, criteria)) for view, entry in zip(views, closest, strict=True)]
        detail = "\n".join([detail, "The closest requests:", *lines])
    return json_response({"ok": False, "matched": len(matches), "detail": detail, "nearest": views}, 409)


def _verdict_view(verdict: ClientVerdict) -> dict[str, Any]:
    evidence = [{**each._asdict(), "key": mask_key(each.key)} for each in verdict.evidence]
    counts = {"judged": verdict.judged, "dropped": verdict.dropped}
    return {"ok": verdict.is_well_behaved, "detail": verdict.text, **counts, "evidence": evidence}


def _described(criteria: Criteria, keys: Sequence[str]) -> Iterator[str]:
    """Yield the criteria in words, with identifiers instead of keys."""
    for name, value in criteria.items():
        if name == "key":
            yield f"key {value if '…' in str(value) else mask_key(str(value))}"
        elif isinstance(value, Mapping) and name in ("headers", "query"):
            kind = "header" if name == "headers" else "parameter"
            for each, text in value.items():
                shown = "" if text is None else mask_field(each, text, keys)
                yield f"no {kind} {each}" if text is None else f"{kind} {each}: {shown}"
        else:
            yield f"no {name}" if value is None else f"{name} {mask_text(str(value), keys)}"


def _expected_count(body: Mapping[str, Any]) -> tuple[int, int | None, str]:
    """Return the lowest and the highest (None: any) expected number, and both in words."""
    exactly, low, high = (body.get(name) for name in ("exactly", "at_least", "at_most"))
    if exactly is low is high is None:
        low = 1
    bounds = {"exactly": exactly, "at least": low, "at most": high}
    words = " and ".join(f"{name} {int(number)}" for name, number in bounds.items() if number is not None)
    lowest = max(number for number in (exactly, low, 0) if number is not None)
    highest = min((number for number in (exactly, high) if number is not None), default=None)
    return lowest, highest, words


def _line(view: Mapping[str, Any], differences: Sequence[str]) -> str:
    key = f" with {view['key']}" if view["key"] else " without a key"
    different = f" (different {', '.join(differences)})" if differences else ""
    return f"#{view['number']} {view['method']} {view['target']}{key}: status {view['status']}{different}"


OPERATIONS: tuple[Operate, ...] = (get_journal, clear_journal, get_verdict, verify)
