"""What httplint has to say of an answer's head and body, as far as it matters to a JSON API."""

from __future__ import annotations

import time

from contract_tests.message import Answer

IGNORED = {"DATE_INCORRECT"}  # whose clock is wrong cannot be told from here


def complaints(answer: Answer) -> list[str]:
    """Return the summaries of httplint's findings of level "bad"."""
    answer.check_time()
    from httplint import HttpResponseLinter, levels  # it takes its time to import

    linter = HttpResponseLinter(start_time=time.time(), no_content=answer.request.method == "HEAD")
    linter.process_response_topline(answer.version.encode(), str(answer.status).encode(), answer.reason.encode())
    linter.process_headers([(name.encode("latin-1"), value) for name, value in answer.fields])
    linter.feed_content(answer.raw_body)
    linter.finish_content(answer.ending == "complete")
    bad = [note for note in linter.notes if note.level == levels.BAD and type(note).__name__ not in IGNORED]
    return [f"{note.summary} ({type(note).__name__})" for note in bad]
