"""The operations on the journal: reading it, clearing it, and verifying how often requests were sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from aiohttp import web

from mock_server.control.context import Call, Context, Operate, json_response, no_content
from mock_server.control.views import entry_views, journal_view
from mock_server.masking import mask_key
from mock_server.simulation.journal import Entry

LIMIT = 100
CLOSEST = 5

# The criteria by which requests can be selected.
CRITERIA = ("key", "method", "path", "status", "reason")


async def get_journal(context: Context, call: Call) -> web.Response:
    """Return the latest requests."""
    query, journal = call.query, context.simulator.journal
    criteria = _criteria(query)
    matches = (entry for entry in reversed(journal.since(query.get("since", 0))) if not _differences(entry, criteria))
    latest = [*islice(matches, query.get("limit", LIMIT))][::-1]
    return json_response({"entries": entry_views(context, latest, call.request), **journal_view(journal)})


async def clear_journal(context: Context, call: Call) -> web.Response:
    """Remove the requests with one key, or all requests."""
    journal, name = context.simulator.journal, call.query.get("key")
    if name is None:
        journal.clear()
    for key in {entry.key for entry in journal.entries if name in (entry.key, mask_key(entry.key))}:
        journal.clear(key)
    return no_content()


async def verify(context: Context, call: Call) -> web.Response:
    """Verify how often a request was sent."""
    journal, criteria = context.simulator.journal, _criteria(call.body)
    entries = journal.entries
    matches = [entry for entry in entries if not _differences(entry, criteria)]
    low, high, expected = _expected_count(call.body)
    label = ", ".join(
        f"{name} {mask_key(value) if name == 'key' and '…' not in value else value}" for name, value in criteria.items()
    )
    detail = f"{f'Requests with {label}' if label else 'Requests'}: expected {expected}, found {len(matches)}."
    if journal.number > len(entries):
        detail += f" The journal holds {len(entries)} of {journal.number} requests."
    if low <= len(matches) and (high is None or len(matches) <= high):
        return json_response({"ok": True, "matched": len(matches), "detail": detail})
    closest = matches[-CLOSEST:]
    if len(matches) < low:  # the latest requests with the fewest differences
        ranked = sorted(entries, key=lambda entry: (len(_differences(entry, criteria)), -entry.number))
        closest = sorted(ranked[:CLOSEST], key=lambda entry: entry.number)
    views = entry_views(context, closest, call.request)
    if closest:
        lines = [_line(view, _differences(entry, criteria)) for view, entry in zip(views, closest, strict=True)]
        detail = "\n".join([detail, "The closest requests:", *lines])
    return json_response({"ok": False, "matched": len(matches), "detail": detail, "nearest": views}, 409)


def _criteria(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: parameters[name] for name in CRITERIA if name in parameters}


def _differences(entry: Entry, criteria: Mapping[str, Any]) -> list[str]:
    """Return the criteria that a request does not fulfil."""
    values = {
        "key": (entry.key, mask_key(entry.key)),
        "method": (entry.method,),
        "path": (entry.target.partition("?")[0],),
        "status": (entry.status,),
        "reason": (entry.reason,),
    }
    return [name for name, value in criteria.items() if value not in values[name]]


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


OPERATIONS: tuple[Operate, ...] = (get_journal, clear_journal, verify)
