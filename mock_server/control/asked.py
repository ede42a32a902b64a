"""The operations on what was asked: look it up, forget it, verify how often it was."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from aiohttp import web

from mock_server.control.context import Call, Context, Operate, as_json, nothing
from mock_server.control.views import entry_views, journal_view
from mock_server.simulation.journal import Entry, masked

LIMIT = 100
NEAREST = 5

# What a request can be looked for by.
CRITERIA = ("key", "method", "path", "status", "reason")


async def get_journal(context: Context, call: Call) -> web.Response:
    """Answer what was asked of late."""
    query, journal = call.query, context.simulator.journal
    wanted = _wanted(query)
    found = (entry for entry in reversed(journal.since(query.get("since", 0))) if not _differences(entry, wanted))
    last = [*islice(found, query.get("limit", LIMIT))][::-1]
    return as_json({"entries": entry_views(context, last, call.request), **journal_view(journal)})


async def clear_journal(context: Context, call: Call) -> web.Response:
    """Forget what was asked, with one key or altogether."""
    journal, name = context.simulator.journal, call.query.get("key")
    keys = (
        {None} if name is None else {entry.key for entry in journal.entries if name in (entry.key, masked(entry.key))}
    )
    for key in keys:
        journal.clear(key)
    return nothing()


async def verify(context: Context, call: Call) -> web.Response:
    """Verify how often something was asked."""
    wanted, entries = _wanted(call.body), context.simulator.journal.entries
    matched = [entry for entry in entries if not _differences(entry, wanted)]
    low, high, expected = _expected(call.body)
    detail = f"{_told(wanted)}: expected {expected}, found {len(matched)}."
    if context.simulator.journal.number > len(entries):
        detail += f" The journal holds {len(entries)} of {context.simulator.journal.number} requests."
    if low <= len(matched) and (high is None or len(matched) <= high):
        return as_json({"ok": True, "matched": len(matched), "detail": detail})
    nearest = _nearest(entries, wanted) if len(matched) < low else matched[-NEAREST:]
    views = entry_views(context, nearest, call.request)
    lines = [_line(view, _differences(entry, wanted)) for view, entry in zip(views, nearest, strict=True)]
    detail = "\n".join([detail, *(["The nearest:", *lines] if lines else [])])
    return as_json({"ok": False, "matched": len(matched), "detail": detail, "nearest": views}, 409)


def _wanted(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: facts[name] for name in CRITERIA if name in facts}


def _differences(entry: Entry, wanted: Mapping[str, Any]) -> list[str]:
    """Return those of the wanted things that a request does not have."""
    had = {
        "key": (entry.key, masked(entry.key)),
        "method": (entry.method,),
        "path": (entry.target.partition("?")[0],),
        "status": (entry.status,),
        "reason": (entry.reason,),
    }
    return [name for name, value in wanted.items() if value not in had[name]]


def _expected(body: Mapping[str, Any]) -> tuple[int, int | None, str]:
    """Return the fewest, the most (None: any number), and both in words."""
    exactly, low, high = (body.get(name) for name in ("exactly", "at_least", "at_most"))
    if exactly is low is high is None:
        low = 1
    named = {"exactly": exactly, "at least": low, "at most": high}
    words = " and ".join(f"{name} {int(number)}" for name, number in named.items() if number is not None)
    lowest = max(number for number in (exactly, low, 0) if number is not None)
    highest = min((number for number in (exactly, high) if number is not None), default=None)
    return lowest, highest, words


def _told(wanted: Mapping[str, Any]) -> str:
    shown = dict(wanted)
    if "key" in wanted and "…" not in wanted["key"]:
        shown["key"] = masked(wanted["key"])
    named = ", ".join(f"{name} {value}" for name, value in shown.items())
    return f"Requests with {named}" if named else "Requests"


def _nearest(entries: list[Entry], wanted: Mapping[str, Any]) -> list[Entry]:
    """Return the requests that lack least, the latest of them, oldest first."""
    ranked = sorted(entries, key=lambda entry: (len(_differences(entry, wanted)), -entry.number))
    return sorted(ranked[:NEAREST], key=lambda entry: entry.number)


def _line(view: Mapping[str, Any], differences: list[str]) -> str:
    key = f" with {view['key']}" if view["key"] else " without a key"
    other = f" (another {', '.join(differences)})" if differences else ""
    return f"#{view['number']} {view['method']} {view['target']}{key} was answered {view['status']}{other}"


OPERATIONS: tuple[Operate, ...] = (get_journal, clear_journal, verify)
