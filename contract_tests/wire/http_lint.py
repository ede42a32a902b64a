"""Complaints of httplint about a response, as far as they matter for a JSON API."""

from __future__ import annotations

import time

from contract_tests.wire.messages import Exchange

IGNORED = {"DATE_INCORRECT"}  # the clock of this machine may be the wrong one


def complaints(exchange: Exchange) -> list[str]:
    """Return the summaries of httplint's findings of level "bad"."""
    exchange.check_time()
    from httplint import HttpResponseLinter, levels  # slow to import

    linter = HttpResponseLinter(start_time=time.time(), no_content=exchange.request.method == "HEAD")
    linter.process_response_topline(exchange.version.encode(), str(exchange.status).encode(), exchange.reason.encode())
    linter.process_headers([(name.encode("latin-1"), value) for name, value in exchange.fields])
    linter.feed_content(exchange.raw_body)
    linter.finish_content(exchange.ending == "complete")
    bad = [note for note in linter.notes if note.level == levels.BAD and type(note).__name__ not in IGNORED]
    return [f"{note.summary} ({type(note).__name__})" for note in bad]
