"""Mutants of a correct response, and runs of the gate against them.

They are generated from the effective document: one for each member of the body with status 200, at every depth.
Others change each documented status, media type and header.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from contract_tests.support.gate import OPERATION
from contract_tests.wire.messages import Exchange
from mock_server import load_deployment
from mock_server.fixtures.faults import load_fault
from mock_server.simulation.accounts import Account
from tests.support.offline import judged, patched, sound_exchanges
from tests.support.proof import Result, run_against
from usage_contract import load
from usage_contract.pointers import pointer

USAGE = load("documented").operations[OPERATION]
KEY, ACCOUNT = list(load_deployment().keys.items())[1]  # the key with a small bucket, which the gate may empty
DOCUMENT = Path(__file__).parents[2] / "docs" / "mutants.md"
SURVIVORS = set(re.findall(r"^\| `([^`]+)` \|", DOCUMENT.read_text().partition("\n## ")[0], re.MULTILINE))

Change = Callable[[Any], Any]
NUMBER: dict[str, Change] = {
    "negated": lambda value: -value - 1,
    "a hundredfold": lambda value: value * 100,
    "a hundredth": lambda value: value / 100,
    "off by one": lambda value: value + 1,
    "zero": lambda _: 0,
    "a text": str,
    "a list": lambda value: [value],
}
TEXT: dict[str, Change] = {"empty": lambda _: "", "a number": lambda _: 7, "doubled": lambda value: value * 2}
LIST: dict[str, Change] = {
    "reversed": lambda value: value[::-1],
    "empty": lambda _: [],
    "with its first item twice": lambda value: value[:1] + value,
    "with an item too many": lambda value: [*value, {"domain": "one.more.example", "requests": 0}],
    "an object": lambda value: dict(enumerate(map(str, value))),
}
OBJECT: dict[str, Change] = {"empty": lambda _: {}, "a list": lambda value: list(value.values())}
ANY: dict[str, Change] = {"null": lambda _: None}
CHANGES = {"integer": NUMBER, "number": NUMBER, "string": TEXT, "array": LIST, "object": OBJECT}


def body() -> Any:
    """Return a valid body for the key, with a plausible number of tokens."""
    return json.loads(orjson.dumps(Account(KEY, KEY, ACCOUNT, now=0.0).usage_metrics(remaining=9.0)))


def members(schema: Mapping[str, Any], value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[Any, Any, Any]]:
    """Yield the path, schema and value of each documented member at every depth, and of the ends of each list."""
    schema = resolved(schema)
    if path:
        yield path, schema, value
    for name, member in schema.get("properties", {}).items():
        yield from members(member, value[name], (*path, name))
    if "items" in schema:
        for index in (0, len(value) - 1):
            yield from members(schema["items"], value[index], (*path, index))


def resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return load("documented").document["components"]["schemas"][name] if name else schema


def body_mutants() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each mutant of the body: its name, and the fault's steps."""
    schema = USAGE.responses["200"].schema
    assert schema
    for path, member, value in members(schema, body()):
        where = pointer(*path)
        when = {"key": KEY, "status": [200]}
        yield f"{where} dropped", [{"when": when, "patch": [{"op": "remove", "path": where}]}]
        for how, change in {**CHANGES[member["type"]], **ANY}.items():
            if (mutated := change(value)) != value:
                patch = {"op": "replace", "path": where, "value": mutated}
                yield f"{where} {how}", [{"when": when, "patch": [patch]}]


def head_mutants() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each mutant of a documented status, its media type and its headers."""
    for status, response in USAGE.responses.items():
        when = {"status": [int(status)]}
        yield f"{status} as 418", [{"when": when, "status": 418}]
        yield f"{status} as 500", [{"when": when, "status": 500}]
        for media_type in response.content:
            for other in ("text/plain", f"{media_type}; charset=utf-16"):
                yield f"{status} as {other}", [{"when": when, "headers": {"set": {"Content-Type": other}}}]
            yield f"{status} without Content-Type", [{"when": when, "headers": {"remove": ["Content-Type"]}}]
            yield f"{status} with an empty body", [{"when": when, "body": [{"op": "set", "text": ""}]}]
        for name in response.headers:
            yield f"{status} without {name}", [{"when": when, "headers": {"remove": [name]}}]
            yield f"{status} with garbage in {name}", [{"when": when, "headers": {"set": {name: "many"}}}]


BODY_MUTANTS, HEAD_MUTANTS = dict(body_mutants()), dict(head_mutants())
MUTANTS = {**BODY_MUTANTS, **HEAD_MUTANTS}
# Mutants of the body that only further requests reveal, as they concern the actual tokens of a bucket.
ONLY_FOR_REQUESTS = {
    "/rate_limit/rps a hundredfold",
    "/rate_limit/rps a hundredth",
    "/rate_limit/remaining a hundredth",
    "/rate_limit/remaining off by one",
    "/rate_limit/remaining zero",
}


def is_noticed_offline(name: str) -> bool:
    """Whether a passive rule finds a mutant of the body in the baseline exchanges."""
    patch = BODY_MUTANTS[name][0]["patch"]
    exchanges = [patched(each, patch) if _is_of_the_key(each) else each for each in sound_exchanges()]
    return any(verdict.outcome == "broken" for verdict in judged(exchanges).all)


def _is_of_the_key(exchange: Exchange) -> bool:
    credential = exchange.request.credential
    return exchange.status == 200 and credential is not None and credential.value == KEY.encode()


def run_against_mutant(name: str, folder: Path) -> Result:
    """Run the gate against a mutant until a rule is broken."""
    (folder / "faults").mkdir()
    mutant = {"description": name, "breaks": [], "do": MUTANTS[name]}
    (folder / "faults" / "mutant.yaml").write_text(json.dumps(mutant))
    intrusive = ["--intrusive"] if name.startswith(("429", "/rate_limit")) else []
    return run_against(load_fault("mutant", folder), folder, *intrusive, "--exitfirst")


def is_accepted(result: Result) -> bool:
    """Whether the gate accepts a mutant."""
    return not result.having("broken", "gate error") and result.code == 0
