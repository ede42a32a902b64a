"""The operations on the journal: reading it, clearing it, and verifying the requests in it."""

from __future__ import annotations

from itertools import islice
from typing import Any

from aiohttp import web

from mock_server.control.context import Call, Context, Operate, json_response, no_content
from mock_server.control.entry_views import entry_views, summary_views
from mock_server.control.views import journal_view
from mock_server.journal.client_verdict import ClientVerdict, judge_client
from mock_server.journal.criteria import criteria_from, differences
from mock_server.journal.verification import Expectation
from mock_server.journal.verification import verify as verify_journal
from mock_server.masking import mask_key

LIMIT = 100


async def get_journal(context: Context, call: Call) -> web.Response:
    """Return the latest requests."""
    query, journal = call.query, context.mock.journal
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
    context.mock.journal.clear(call.query.get("key"))
    return no_content()


async def get_verdict(context: Context, call: Call) -> web.Response:
    """Return the verdict on the clients."""
    verdict = judge_client(context.mock.journal, context.simulator.keys, call.query.get("key"))
    return json_response(_verdict_view(verdict))


async def verify(context: Context, call: Call) -> web.Response:
    """Verify how often a request was sent, or how the client behaves."""
    simulator, journal = context.simulator, context.mock.journal
    if "client" in call.body:
        verdict = judge_client(journal, simulator.keys, call.body.get("key"))
        return json_response(_verdict_view(verdict), 200 if verdict.is_well_behaved else 409)
    criteria = criteria_from(call.body)
    if "key" in criteria:
        context.mock.check_requested(criteria["key"])
    names = Expectation.__annotations__
    expectation = Expectation(**{name: call.body[name] for name in names if name in call.body})  # type: ignore[typeddict-item]
    found = verify_journal(journal, simulator.keys, criteria, expectation)
    result = {"ok": found.is_ok, "matched": found.matched, "detail": found.detail}
    if found.is_ok:
        return json_response(result)
    return json_response({**result, "nearest": entry_views(context, found.closest, call.request)}, 409)


def _verdict_view(verdict: ClientVerdict) -> dict[str, Any]:
    evidence = [{**each._asdict(), "key": mask_key(each.key)} for each in verdict.evidence]
    counts = {"judged": verdict.judged, "dropped": verdict.dropped.number}
    return {"ok": verdict.is_well_behaved, "detail": verdict.text, **counts, "evidence": evidence}


OPERATIONS: tuple[Operate, ...] = (get_journal, clear_journal, get_verdict, verify)
