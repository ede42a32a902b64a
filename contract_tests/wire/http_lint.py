"""Notes of httplint that matter for a JSON API."""

from __future__ import annotations

import re
import time

from contract_tests.wire.dates import timestamp
from contract_tests.wire.grammar import malformed
from contract_tests.wire.messages import AUTH_ERRORS, Exchange

DATES = ("Date", "Last-Modified")
OTHER_DATES = ("Expires", "Retry-After")  # Expires may be anything (RFC 9111, section 5.3), and Retry-After a number
SINGLE = (*DATES, *OTHER_DATES, "Age", "Content-Location", "Content-Range", "Content-Type", "ETag", "Location")
IGNORED = {
    "DATE_INCORRECT",  # the clock of this machine may be the wrong one
    "BAD_DATE_SYNTAX",  # a rule of its own checks DATES, and `Expires: 0` is correct
    *("AGE_NOT_INT", "AGE_NEGATIVE", "LM_FUTURE"),  # rules of their own check these
}
STRUCTURED_DATE = re.compile(r"@(\d{1,12})")  # seconds since 1970 (RFC 9651, section 3.3.7)
LINK_RELATION = re.compile(r"(?i);\s*(?:rel|rev)\b")
WARNINGS = {"FIELD_SECTION_TOO_LARGE", "FIELD_TOO_LARGE", "FIELD_VALUE_ENCODING", "SUNSET_PAST"}


def complaints(exchange: Exchange) -> list[str]:
    """Return the summaries of httplint's notes of level "bad", of some warnings, and of our own about Sunset."""
    exchange.check_time()
    from httplint import HttpResponseLinter, levels  # slow to import

    linter = HttpResponseLinter(start_time=time.time(), no_content=exchange.request.method == "HEAD")
    linter.process_response_topline(exchange.version.encode(), str(exchange.status).encode(), exchange.reason.encode())
    # Pragma belongs to requests; it is common and harmless in responses, beside Cache-Control.
    # http/length-is-stated-once judges Content-Length beside Transfer-Encoding.
    # http/usual-fields-match-their-grammar judges the malformed fields.
    omitted = {"pragma", "content-length" if exchange.values("Transfer-Encoding") else ""}
    omitted.update(name.lower() for name, _ in malformed(exchange))
    fields = [(name.encode("latin-1"), value) for name, value in exchange.fields if name.lower() not in omitted]
    linter.process_headers(fields)
    linter.feed_content(exchange.raw_body)
    linter.finish_content(exchange.ending == "complete")
    notes = [(type(note).__name__, note) for note in linter.notes]
    bad = [(kind, note) for kind, note in notes if note.level == levels.BAD or kind in WARNINGS]
    of_options = {"CORS_PREFLIGHT_ONLY"} if exchange.request.method == "OPTIONS" else set()
    known = IGNORED | of_options | {("SINGLE_HEADER_REPEAT", f"field-{name.lower()}") for name in SINGLE}
    noted = [f"{note.summary} ({kind})" for kind, note in bad if {kind, (kind, note.subject)}.isdisjoint(known)]
    return [*noted, *_complaints_about_sunset(exchange), *_complaints_about_links(exchange)]


def _complaints_about_links(exchange: Exchange) -> list[str]:
    """Return what is wrong with Link, which names a target and a relation (RFC 8288), and Location of a refusal."""
    links = filter(None, (value.strip(" \t,") for value in exchange.values("Link")))  # a list may be empty
    malformed = [link for link in links if not (link.startswith("<") and LINK_RELATION.search(link))]
    is_refusal = exchange.status in AUTH_ERRORS and exchange.values("Location")
    wrong = {"Link has no target in angle brackets, or no rel": malformed, "Location is for redirects": is_refusal}
    return [complaint for complaint, is_wrong in wrong.items() if is_wrong]


def _complaints_about_sunset(exchange: Exchange) -> list[str]:
    """Return what is wrong with Sunset, which is an HTTP date (RFC 8594), and not before Deprecation (RFC 9745)."""
    ends = timestamp(exchange.header("Sunset"))
    if ends is None:
        return ["Sunset is not an HTTP date"] if exchange.values("Sunset") else []
    deprecated = STRUCTURED_DATE.match(exchange.header("Deprecation"))
    return ["Sunset is earlier than Deprecation"] if deprecated and ends < int(deprecated[1]) else []
