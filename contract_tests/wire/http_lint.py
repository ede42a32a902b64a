"""Notes of httplint that matter for a JSON API."""

from __future__ import annotations

import time

from contract_tests.wire.messages import Exchange

DATES = ("Date", "Last-Modified")  # Expires may be anything (RFC 9111, section 5.3), and Retry-After a number
SINGLE = (*DATES, "Content-Location", "Content-Range", "Content-Type", "ETag", "Location", "Retry-After")
IGNORED = {
    "DATE_INCORRECT",  # the clock of this machine may be the wrong one
    "BAD_DATE_SYNTAX",  # a rule of its own checks DATES, and `Expires: 0` is correct
    *("AGE_NOT_INT", "AGE_NEGATIVE", "LM_FUTURE"),  # rules of their own check these
}
WARNINGS = {"FIELD_SECTION_TOO_LARGE", "FIELD_TOO_LARGE", "FIELD_VALUE_ENCODING", "SUNSET_PAST"}


def complaints(exchange: Exchange) -> list[str]:
    """Return the summaries of httplint's notes of level "bad", and of some warnings."""
    exchange.check_time()
    from httplint import HttpResponseLinter, levels  # slow to import

    linter = HttpResponseLinter(start_time=time.time(), no_content=exchange.request.method == "HEAD")
    linter.process_response_topline(exchange.version.encode(), str(exchange.status).encode(), exchange.reason.encode())
    # Pragma belongs to requests; it is common and harmless in responses, beside Cache-Control.
    # http/length-is-stated-once judges Content-Length beside Transfer-Encoding.
    omitted = {"pragma", "content-length" if exchange.values("Transfer-Encoding") else ""}
    fields = [(name.encode("latin-1"), value) for name, value in exchange.fields if name.lower() not in omitted]
    linter.process_headers(fields)
    linter.feed_content(exchange.raw_body)
    linter.finish_content(exchange.ending == "complete")
    notes = [(type(note).__name__, note) for note in linter.notes]
    bad = [(kind, note) for kind, note in notes if note.level == levels.BAD or kind in WARNINGS]
    known = IGNORED | {("SINGLE_HEADER_REPEAT", f"field-{name.lower()}") for name in SINGLE}
    return [f"{note.summary} ({kind})" for kind, note in bad if {kind, (kind, note.subject)}.isdisjoint(known)]
