"""Mutations of state and arithmetic: usage metrics that contradict each other, the document, or earlier responses."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from itertools import chain
from typing import Any

import orjson

from mock_server import load_deployment
from mock_server.simulation.accounts import Account
from mock_server.web.raw_response import RawMessage
from tests.support.search.mutations import Metrics, Mutation, Turn, is_ok
from tests.support.search.served import Behaviour, Received, with_json

Body = dict[str, Any]
Edit = Callable[[Body, Turn], Any]
IsTurn = Callable[[Turn], bool]
DEPLOYMENT = load_deployment()
COUNTERS = ("total", "success", "fail", "bytes_transferred")
PROTOCOLS = ("fetch", "ws", "amqp")


@cache
def _sound(key: str) -> bytes:
    return orjson.dumps(Account(key, key, DEPLOYMENT.keys[key], now=0.0).usage_metrics(9.0))


def other_metrics(turn: Turn) -> Body:
    """Return the usage metrics of another key."""
    keys = list(DEPLOYMENT.keys)
    body: Body = json.loads(_sound(keys[1 if turn.key == keys[0] else 0]))
    return body


def _member(path: str, change: Callable[[Any], Any]) -> Edit:
    """Return an edit of the member at a path, such as rate_limit/rps; a row that a key lacks is not changed."""

    def edit(body: Body, _: Turn) -> Body:
        *parents, name = path.split("/")
        place: Any = body
        for parent in parents:
            place = place[int(parent) if isinstance(place, list) else parent]
        at = int(name) if isinstance(place, list) else name
        place[at] = change(place[at])
        return body

    def edit_if_there(body: Body, turn: Turn) -> Body:
        rows = path.split("/")[1:2] if path.startswith("top_domains/") else []
        return body if rows and int(rows[0]) >= len(body["top_domains"]) else edit(body, turn)

    return edit_if_there


def _rate(of: Callable[[Body], float]) -> Edit:
    def edit(body: Body, _: Turn) -> Body:
        return {**body, "success_rate": round(of(body), 2)}

    return edit


def _part(one: float, whole: float) -> float:
    return 100 * one / whole if whole else 50.0


def _float32(value: float) -> int:
    return int(struct.unpack("f", struct.pack("f", value))[0])


# Operators of which each contradicts another member, for each key with traffic.
RELATIONS: dict[str, Edit] = {
    **{
        f"{name} {how}": _member(name, change)
        for name in ("total", "success", "fail")
        for how, change in {
            "one too many": lambda value: value + 1,
            "ten percent too many": lambda value: value + value // 10 + 1,
            "doubled": lambda value: value * 2 + 1,
            "in thousands": lambda value: value // 1000 if value > 10**6 else value * 1000 + 1,
        }.items()
    },
    **{
        f"total {how}": _member("total", change)
        for how, change in {
            "one too few": lambda value: max(0, value - 1) if value else 1,
            "half": lambda value: value // 2 if value else 1,
            "zero": lambda value: 0 if value else 1,
            "rounded to hundreds": lambda value: round(value, -2) + (100 if value % 100 == 0 else 0),
            "in 16 bits": lambda value: value % 2**16 if value >= 2**16 else value + 1,
            "of 32-bit floats of a thousandfold": lambda value: _float32(value * 1001) // 1000 + 2,
        }.items()
    },
    **{
        f"by_protocol.{name} {how}": _member(f"by_protocol/{name}", change)
        for name in PROTOCOLS
        for how, change in {
            "one too many": lambda value: value + 1,
            "doubled": lambda value: value * 2 + 1,
            "in percent": lambda value: value // 100 + 1 + (value < 3),
        }.items()
    },
    **{f"by_protocol.{name} one too few": _member(f"by_protocol/{name}", lambda v: v - 1) for name in PROTOCOLS},
    "by_protocol without fetch failures": _member("by_protocol/fetch", lambda value: value - value // 50 - 1),
    "success and fail swapped": lambda body, _: {**body, "success": body["fail"], "fail": body["success"] + 1},
    "total of fetches only": lambda body, _: {**body, "total": body["by_protocol"]["fetch"] - 1},
    "total of other keys as well": lambda body, turn: {
        **body,
        "total": body["total"] + other_metrics(turn)["total"] + 1,
    },
    "success of other keys as well": lambda body, turn: {
        **body,
        "success": body["success"] + other_metrics(turn)["success"] + 1,
    },
    "failures counted as successes too": lambda body, _: {**body, "success": body["success"] + body["fail"] + 1},
    "success_rate a fraction": _rate(lambda body: _part(body["success"], body["total"]) / 100 or 0.5),
    "success_rate in permille": _rate(lambda body: 10 * _part(body["success"], body["total"]) + 101),
    "success_rate of failures": _rate(lambda body: _part(body["fail"], body["total"]) + (not body["total"])),
    "success_rate of success to fail": _rate(lambda body: _part(body["success"], body["fail"])),
    "success_rate of fail to success": _rate(lambda body: _part(body["fail"], body["success"]) + (not body["total"])),
    "success_rate of fetches": _rate(lambda body: _part(body["by_protocol"]["fetch"], body["total"] + 1) - 7),
    "success_rate of total to success": _rate(lambda body: _part(body["total"], body["success"])),
    "success_rate of another key": lambda body, turn: {
        **body,
        "success_rate": other_metrics(turn)["success_rate"] if body["total"] else 50.0,
    },
    "success_rate rounded to tens": _rate(lambda body: round(_part(body["success"], body["total"]), -1) + 10 - 20),
    "success_rate always 100": _rate(lambda body: 100.0 if body["total"] else 1.0),
    "success_rate always 0": _rate(lambda body: 0.0 if body["total"] else 1.0),
    "success_rate half a percent too high": _rate(lambda body: min(100, _part(body["success"], body["total"]) + 0.5)),
    "success_rate half a percent too low": _rate(lambda body: _part(body["success"], body["total"]) - 0.5),
    "success_rate two percent too low": _rate(lambda body: _part(body["success"], body["total"]) - 2),
    "success_rate negative": _rate(lambda body: -_part(body["success"], body["total"]) - 1),
    "success_rate above 100": _rate(lambda _: 100.01),
    "bytes_transferred negative": _member("bytes_transferred", lambda value: -value - 1),
    "bytes_transferred in signed 32 bits": _member("bytes_transferred", lambda value: -(value % 2**31) - 1),
    "bytes_transferred in float": _member("bytes_transferred", lambda value: value + 0.5),
    "fail negative": _member("fail", lambda value: -value - 1),
    "success negative": _member("success", lambda value: -value - 1),
    "top_domains of another key": lambda body, turn: {**body, "top_domains": other_metrics(turn)["top_domains"]},
    "top_domains in ascending order": lambda body, _: {
        **body,
        "top_domains": sorted(body["top_domains"], key=lambda row: int(row["requests"])),
    },
    "top_domains by name": lambda body, _: {
        **body,
        "top_domains": sorted(body["top_domains"], key=lambda row: str(row["domain"])),
    },
    "top_domains sorted as texts": lambda body, _: {
        **body,
        "top_domains": sorted(body["top_domains"], key=lambda row: str(row["requests"]), reverse=True),
    },
    "top_domains with the last two swapped": lambda body, _: _swapped_rows(body, -2, -1),
    "top_domains with the first two swapped": lambda body, _: _swapped_rows(body, 0, 1),
    "top_domains of 21": lambda body, _: {
        **body,
        "top_domains": [*body["top_domains"], *({"domain": f"d{n}.example", "requests": 0} for n in range(21))][:21],
    },
    "top_domains tenfold": lambda body, _: _rows(body, lambda row: {**row, "requests": row["requests"] * 10}),
    "top_domains with its first row twice": lambda body, _: {
        **body,
        "top_domains": [*body["top_domains"][:1], *body["top_domains"]][:20],
    },
    "top_domains with capitals beside": lambda body, _: {
        **body,
        "top_domains": [
            *body["top_domains"][:1],
            *({**row, "domain": row["domain"].upper()} for row in body["top_domains"][:1]),
            *body["top_domains"][2:],
        ],
    },
    "top_domains with URLs": lambda body, _: _domains(body, "https://{}/a"),
    "top_domains with paths": lambda body, _: _domains(body, "{}/login?token=1"),
    "top_domains with ports and users": lambda body, _: _domains(body, "u:p@{}:80"),
    "top_domains with empty names": lambda body, _: _rows(body, lambda row: {**row, "domain": ""}),
    "top_domains with negative counts": lambda body, _: _rows(body, lambda row: {**row, "requests": -row["requests"]}),
    "top_domains with texts": lambda body, _: _rows(body, lambda row: row["domain"]),
    "top_domains as an object": lambda body, _: {
        **body,
        "top_domains": {row["domain"]: row["requests"] for row in body["top_domains"]},
    },
    "top_domains empty": lambda body, _: {**body, "top_domains": []},
    "first domain with more than total": lambda body, _: {
        **body,
        "top_domains": [{"domain": "all.example", "requests": body["total"] + 1}, *body["top_domains"][1:]],
    },
    "burst below remaining": _member("rate_limit/burst", lambda _: 0),
    "remaining negative": _member("rate_limit/remaining", lambda value: -value - 1),
    "remaining above burst": lambda body, _: {
        **body,
        "rate_limit": {**body["rate_limit"], "remaining": body["rate_limit"]["burst"] + 1},
    },
    "rps negative": _member("rate_limit/rps", lambda value: -value),
    "burst negative": _member("rate_limit/burst", lambda value: -value),
    "burst a fraction": _member("rate_limit/burst", lambda value: value + 0.5),
    "all metrics of another key": lambda _, turn: other_metrics(turn),
    "all but api_key of another key": lambda body, turn: {**other_metrics(turn), "api_key": body["api_key"]},
    "api_key of another key": lambda body, turn: {**body, "api_key": other_metrics(turn)["api_key"]},
    "totals of another key": lambda body, turn: body | {name: other_metrics(turn)[name] for name in COUNTERS},
    "bytes_transferred of another key": lambda body, turn: {
        **body,
        "bytes_transferred": other_metrics(turn)["bytes_transferred"],
    },
    "an empty object": lambda *_: {},
    "an error": lambda *_: {"error": "not available"},
    "in data": lambda body, _: {"data": body},
    "in a list": lambda body, _: [body],
    "in camel case": lambda body, _: {"usage" + name.title().replace("_", ""): value for name, value in body.items()},
    "as a number": lambda *_: 0,
}  # fmt: skip
TYPES: dict[str, Callable[[Any], Any]] = {
    "a text": str,
    "null": lambda _: None,
    "true": lambda _: True,
    "a list": lambda value: [value],
    "an object": lambda value: {"value": value},
    "a text with a unit": lambda value: f"{value} B",
}
MEMBERS = (
    *COUNTERS, "success_rate", "rate_limit/rps", "rate_limit/burst", "rate_limit/remaining", "by_protocol/fetch",
    "by_protocol/ws", "by_protocol/amqp", "by_protocol", "rate_limit", "top_domains", "top_domains/0/requests",
    "top_domains/6/domain", "top_domains/1", "api_key",
)  # fmt: skip


def _rows(body: Body, change: Callable[[dict[str, Any]], Any]) -> Body:
    return {**body, "top_domains": [change(row) for row in body["top_domains"]]}


def _domains(body: Body, form: str) -> Body:
    return _rows(body, lambda row: {**row, "domain": form.format(row["domain"])})


def _swapped_rows(body: Body, one: int, other: int) -> Body:
    rows = list(body["top_domains"])
    if len(rows) > 1:
        rows[one], rows[other] = rows[other], rows[one]
    return {**body, "top_domains": rows}


# Changes of single responses: unlike a window or a new limit, they are gone with the next response.
def _of_all(factor: float) -> Edit:
    def edit(body: Body, _: Turn) -> Body:
        by_protocol = {name: int(count * factor) for name, count in body["by_protocol"].items()}
        total = sum(by_protocol.values())
        success = int(body["success"] / max(1, body["total"]) * total)
        rate = round(_part(success, total), 2) if total else 0.0
        changed = {"total": total, "success": success, "fail": total - success, "success_rate": rate}
        rows = [{**row, "requests": int(row["requests"] * factor)} for row in body["top_domains"]]
        counted = int(body["bytes_transferred"] * factor)
        return body | changed | {"by_protocol": by_protocol, "top_domains": rows, "bytes_transferred": counted}

    return edit


TRANSIENT: dict[str, Edit] = {
    "all metrics a third": _of_all(1 / 3),
    "all metrics zero": _of_all(0),
    "all metrics threefold": _of_all(3),
    "all metrics doubled and more": _of_all(2.1),
    "bytes_transferred tenfold": _member("bytes_transferred", lambda value: value * 10),
    "bytes_transferred zero": _member("bytes_transferred", lambda _: 0),
    "protocols swapped": lambda body, _: {
        **body,
        "by_protocol": body["by_protocol"] | {"fetch": body["by_protocol"]["ws"], "ws": body["by_protocol"]["fetch"]},
    },
    "rps halved": _member("rate_limit/rps", lambda value: value / 2),
    "burst doubled": _member("rate_limit/burst", lambda value: value * 2),
    "burst one more": _member("rate_limit/burst", lambda value: value + 1),
}  # fmt: skip

ALWAYS: dict[str, IsTurn] = {"always": lambda _: True}
OFTEN: dict[str, IsTurn] = {
    "every second time": lambda turn: turn.number % 2 == 0,
    "every third time": lambda turn: turn.number % 3 == 0,
    "every fifth time": lambda turn: turn.number % 5 == 0,
    "the fourth time": lambda turn: turn.number == 4,
}
LASTING: dict[str, IsTurn] = {
    "from the fourth time on": lambda turn: turn.number > 3,
    "the first time": lambda turn: turn.number == 1,
    "for the first key": lambda turn: turn.key == turn.keys[0],
    "for the second key": lambda turn: turn.key == turn.keys[1],
    "for the third key": lambda turn: turn.key == turn.keys[2],
}


def _deployments(group: str, edits: Mapping[str, Edit], turns: Mapping[str, IsTurn]) -> Iterator[Mutation]:
    for operator, edit in edits.items():
        for when, is_turn in turns.items():
            if operator.startswith("top_domains") and when == "for the third key":
                continue  # it has no domains

            def build(edit: Edit = edit, is_turn: IsTurn = is_turn) -> Metrics:
                return lambda body, turn: edit(body, turn) if is_turn(turn) else body

            yield of_metrics(f"{group}: {operator}, {when}", group, build)


def of_metrics(name: str, group: str, build: Callable[[], Metrics]) -> Mutation:
    """Return the deployment that changes usage metrics in a way; the passive rules can judge it without requests."""

    def served() -> Behaviour:
        metrics, counts = build(), Counter[str]()

        def change(message: RawMessage, received: Received) -> RawMessage:
            if not is_ok(message, received):
                return message
            counts[received.key] += 1
            turn = Turn(received.key, counts[received.key], received.keys)
            return with_json(message, metrics(json.loads(message.body), turn))

        return Behaviour(change=change)

    return Mutation(name, group, served, metrics=build)


def _remembering(build: Callable[[dict[str, Any]], Edit]) -> Callable[[], Metrics]:
    """Return what builds an edit with a memory."""
    return lambda: build({})


def _last_of_all(memory: dict[str, Any]) -> Edit:
    def edit(body: Body, turn: Turn) -> Body:
        last, memory["last"] = memory.get("last", body), body
        return body if turn.number < 3 else dict(last)

    return edit


def _first_of_all(memory: dict[str, Any]) -> Edit:
    return lambda body, _: dict(memory.setdefault("first", body))


def _mixed_member(name: str) -> Callable[[dict[str, Any]], Edit]:
    def build(memory: dict[str, Any]) -> Edit:
        def edit(body: Body, _: Turn) -> Body:
            last, memory["last"] = memory.get("last", body[name]), body[name]
            return {**body, name: last}

        return edit

    return build


STATES: dict[str, Callable[[dict[str, Any]], Edit]] = {
    "the metrics of the previous request of any key": _last_of_all,
    "the metrics of the first request of any key": _first_of_all,
    **{
        f"{name} of the previous request of any key": _mixed_member(name)
        for name in (*COUNTERS, "top_domains", "by_protocol", "success_rate")
    },
}  # fmt: skip


def _constant(number: int, _: Any) -> int:
    return number


def saturations() -> Iterator[Mutation]:
    """Yield deployments whose counters remain at the largest value of a type."""
    for bits in (31, 32, 63, 64):
        for name in COUNTERS:
            edits = {f"{name} at {bits} bits": _member(name, partial(_constant, 2**bits - 1))}
            yield from _deployments("consistency, a counter that sticks", edits, ALWAYS | LASTING)


def metric_mutations() -> Iterator[Mutation]:
    """Yield all mutations of state and arithmetic."""
    types = {
        f"{path} as {how}": _member(path, change)
        for path in MEMBERS
        for how, change in TYPES.items()
        if not (path.endswith(("api_key", "domain")) and how.startswith("a text"))
        and not (path in {"by_protocol", "rate_limit", "top_domains/1"} and how == "an object")
        and not (path == "top_domains" and how == "a list")
    }
    some = {
        "every third time": OFTEN["every third time"],
        "for the second key": LASTING["for the second key"],
    }
    states = (
        of_metrics(f"keys, the state of several keys: {name}", "keys, the state of several keys", _remembering(build))
        for name, build in STATES.items()
    )
    return chain(
        _deployments("consistency, a relation", RELATIONS, ALWAYS | OFTEN | LASTING),
        _deployments("schema, a type", types, ALWAYS | some),
        _deployments("keys, a transient change", TRANSIENT, OFTEN),
        saturations(),
        states,
    )
