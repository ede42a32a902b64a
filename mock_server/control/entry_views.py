"""JSON views of journal entries, with identifiers instead of keys, and curl commands that repeat their requests."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from aiohttp import web

from mock_server.control.context import Context
from mock_server.journal.entry import Entry, Message
from mock_server.masking import keys_in, mask_field, mask_key, mask_target, mask_text, printable, printable_target
from mock_server.simulation.clock import time_text
from mock_server.web.reasons import SENTENCES

# The place of an API key in a text, before it becomes a shell variable: a character for private use.
_KEY = "\ue000"
_QUOTED_KEY = "'\"$USAGE_KEY\"'"

# curl sends these itself: the address, and the framing of the body.
_OF_CURL = ("host", "content-length", "transfer-encoding", "expect")

# The header fields that curl adds unless they are switched off.
_DEFAULTS = ("User-Agent", "Accept")


def summary_views(context: Context, entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Return Summaries of the document."""
    shown, key_header = printable_target(context.simulator.keys), context.mock.routes.usage.key_header
    return [
        {
            "number": entry.number,
            "received": entry.received,
            "at": entry.at,
            "time": time_text(entry.at),
            "method": entry.method,
            "target": shown(entry.target, entry.key),
            "key": mask_key(entry.key),
            "label": context.simulator.label(entry.key),
            "status": entry.status,
            "seconds": entry.seconds,
            "reason": entry.reason,
            "reason_text": SENTENCES.get(entry.reason, "").format(key_header),
            "outcome": entry.outcome,
            "applied": entry.applied,
        }
        for entry in entries
    ]


def entry_views(context: Context, entries: Sequence[Entry], request: web.Request) -> list[dict[str, Any]]:
    """Return Entries of the document; their curl commands use the base URL of a request."""
    known, base_url = tuple(context.simulator.keys), f"{request.scheme}://{request.host}"
    summaries = zip(entries, summary_views(context, entries), strict=True)
    return [{**view, **_exchange(entry, _keys(entry, known), base_url)} for entry, view in summaries]


def _exchange(entry: Entry, keys: Sequence[str], base_url: str) -> dict[str, Any]:
    return {
        "request": _message(entry.request, keys, mask_field),
        "response": _message(entry.response, keys, lambda _, value, keys: mask_text(value, keys)),
        "curl": _curl(entry, keys, base_url),
    }


def _message(message: Message, keys: Sequence[str], mask: Callable[[str, str, Sequence[str]], str]) -> dict[str, Any]:
    headers = [
        {"name": printable(name), "value": printable(mask(name, value, keys))} for name, value in message.headers
    ]
    body = _text(message.body)
    return {
        "headers": headers,
        "body": None if body is None else mask_text(body, keys),
        "size": len(message.body),
        "complete": message.is_complete,
    }


def _keys(entry: Entry, known: Sequence[str]) -> Sequence[str]:
    """Return the keys to mask: the known ones in an exchange, and the key of the request unless it contains one."""
    messages = (entry.request, entry.response)
    fields = [text for message in messages for field in message.headers for text in field]
    bodies = [message.body.decode("utf-8", "replace") for message in messages]
    found = keys_in("\n".join([entry.target, *fields, *bodies]), known)
    return found if keys_in(entry.key, found) else [*found, entry.key]


def _text(body: bytes) -> str | None:
    """Return a body as a text; None for one that is not a text, in which keys cannot be recognized."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return text if printable(re.sub(r"[\t\n\r]", "", text)) == re.sub(r"[\t\n\r]", "", text) else None


def _curl(entry: Entry, keys: Sequence[str], base_url: str) -> str:
    """Return a shell command that repeats a request, with the shell variable USAGE_KEY instead of its key.

    It is empty for a request that the mock could not parse.
    """
    if not entry.target:
        return ""
    request = entry.request
    target = _printable(mask_target(entry.target, keys, lambda _: _KEY))
    options = ["curl", *_method(entry.method, has_body=bool(request.body))]
    if re.search(r"[][{}]", target):
        options.append("--globoff")
    if "/." in target:
        options.append("--path-as-is")
    for field in _fields(request, base_url.partition("://")[2], keys):
        options += ["-H", _quoted(field)]
    if request.body and entry.method != "HEAD":
        body = _text(request.body)
        if body is None:
            encoded = base64.b64encode(request.body).decode()
            options = ["printf", encoded, "|", "base64", "-d", "|", *options, "--data-binary", "@-"]
        else:
            options += ["--data-binary", _quoted(mask_text(body, keys, lambda _: _KEY))]
    return " ".join([*options, _quoted(base_url + target)])


def _method(method: str, *, has_body: bool) -> list[str]:
    default = "POST" if has_body else "GET"
    return ["--head"] if method == "HEAD" else [] if method == default else ["-X", shlex.quote(method)]


def _fields(request: Message, host: str, keys: Sequence[str]) -> Iterator[str]:
    """Yield the header fields of a request as curl takes them."""
    for name, value in request.headers:
        if name.lower() not in _OF_CURL or (name.lower() == "host" and value != host):
            shown = _printable(mask_field(name, value, keys, lambda _: _KEY))
            yield f"{name}: {shown}" if value else f"{name};"
    names = [*_DEFAULTS, *(["Content-Type"] if request.body else [])]
    yield from (f"{name}:" for name in names if not request.values(name))


def _printable(text: str) -> str:
    """Return a text as one line of printable characters and places of keys."""
    return _KEY.join(map(printable, text.split(_KEY)))


def _quoted(text: str) -> str:
    """Return a text as a word of the shell; the place of a key becomes a variable."""
    if _KEY in text and not re.search(r"[\"$`\\!]", text):
        return '"' + text.replace(_KEY, "$USAGE_KEY") + '"'
    return shlex.quote(text).replace(_KEY, _QUOTED_KEY)
