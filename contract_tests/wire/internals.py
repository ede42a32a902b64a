"""Internals of a server that a response may disclose: stack traces, its files, complaints of a database."""

from __future__ import annotations

import re
from functools import lru_cache

INTERNALS = re.compile(
    # In JSON there are backslashes before quotation marks, and for the ends of lines. Every repetition has a bound:
    # the search must not take longer than the text is long.
    rb'Traceback \(most recent call last\)|File \\?"[^"]{1,1000}", line \d|\bat [\w.$<>]{1,300}\([\w.]{1,300}:\d{1,9}\)'
    rb"|\n[ \t\r]{1,100}at [^\n]{1,1000}:\d{1,9}:\d"
    rb"|\[Errno \d{1,9}\]|goroutine \d{1,20} \[|panicked at|\bSQLSTATE|sqlite3\.|psycopg|syntax error at or near"
    rb"|/site-packages/|(?<!/)/\w{1,60}\.(?:py|rb|js|ts|go|php|java|cs|exs?|kt):\d|\.(?:py|rb|php) line \d"
    rb'|\bORA-\d{5}|relation \\?"[\w.]{1,200}\\?" does not exist|panic: runtime error'
    rb"|error in your SQL syntax|Unclosed quotation mark after|\bMongo\w{0,20}Error\b|\bE11000 duplicate key"
    rb"|\bSystem\.[\w.]{1,200}Exception\b|:line \d|\*\* \(\w{1,60}Error\)"
    rb"|\bSELECT [^\n]{1,300} FROM [^\n]{1,300} WHERE \w"
    rb"|\b(?:postgres(?:ql)?|mysql|mariadb|redis|mongodb|amqp)://[^\s/@:]{0,100}:[^\s/@]{1,200}@"
    # The folders of a server, and not those of a web site.
    rb"|(?<![\w./:-])/(?:etc|srv|var/(?:www|lib|log|task)|usr/(?:local|lib|share|src)|home/\w{1,60}|opt/\w{1,60})"
    rb"/[\w./-]{0,200}\.(?:py|rb|js|php|json|ya?ml|conf|ini|env|pem|key|db|log|sock)\b"
)


@lru_cache(maxsize=16)  # many responses have the same body; a large body is not kept for long
def internals(body: bytes) -> re.Match[bytes] | None:
    """Find the first sign of internals in a body, also in the texts of JSON."""
    return INTERNALS.search(body.replace(b"\\n", b"\n").replace(b"\\t", b"\t"))
