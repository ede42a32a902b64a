"""Mutations of messages: another status, and all mutations of framing, fields, caching, bodies and harm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain

from mock_server.web.raw_response import RawMessage
from tests.support.search.bodies import bodies, disclosures
from tests.support.search.caching import caching, shared_caches
from tests.support.search.fields import fields
from tests.support.search.framing import framings
from tests.support.search.harms import harms
from tests.support.search.mutations import (
    ALWAYS,
    ERROR_CONDITIONS,
    FIFTH_TIME,
    FRESH,
    ONCE,
    OTHER_KEYS,
    REUSED,
    SECOND_TIME,
    THIRD_TIME,
    Mutation,
    changing,
    having_status,
    is_ok,
)
from tests.support.search.served import Received, with_fields, with_status

STATUS_CONDITIONS = (ALWAYS, SECOND_TIME, THIRD_TIME, FIFTH_TIME, ONCE, OTHER_KEYS, REUSED, FRESH)


OK_AS = (
    201, 202, 204, 206, 226, 300, 301, 302, 303, 304, 307, 400, 402, 404, 409, 418, 422, 500, 502, 503, 504, 599,
)  # fmt: skip
REFUSALS_AS = {
    401: (200, 204, 302, 303, 307, 400, 403, 404, 405, 407, 422, 429, 500, 503),
    403: (200, 204, 302, 400, 404, 407, 422, 500, 503),
}


def statuses() -> Iterator[Mutation]:
    """Yield deployments whose status is another one."""
    for status in OK_AS:
        change = partial(_with_other_status, status)
        yield from changing("auth, a valid key", f"gets {status}", change, STATUS_CONDITIONS, applies=is_ok)
    for old, others in REFUSALS_AS.items():
        what = "a missing key" if old == 401 else "an unknown key"
        for status in others:
            change = partial(_refused_with, status)
            applies = having_status(old)
            conditions = ERROR_CONDITIONS[: 1 if status == 429 else None]  # callers that guess keys may be throttled
            yield from changing(f"auth, {what}", f"gets {status}", change, conditions, applies=applies)


def _with_other_status(status: int, message: RawMessage, _: Received) -> RawMessage:
    return with_status(message, status) if status > 399 else replace(message, status=status, reason="")


def _refused_with(status: int, message: RawMessage, _: Received) -> RawMessage:
    changed = with_status(message, status)
    fields = {"Location": "/login" if 300 <= status < 400 else None, "Allow": "GET" if status == 405 else None}
    return replace(with_fields(changed, fields), body=b"" if status == 204 else changed.body)


def of_messages() -> Iterator[Mutation]:
    """Yield all mutations of messages."""
    return chain(framings(), fields(), caching(), shared_caches(), harms(), bodies(), disclosures(), statuses())
