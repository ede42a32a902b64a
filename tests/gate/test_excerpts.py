"""Redaction precedes shortening, so that no part of a key remains in a shortened text."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract_tests.metrics.schema import header_problems, problems
from contract_tests.redaction.redactor import CUT, Redactor
from contract_tests.run.report import rule_report
from contract_tests.run.verdicts import Verdict, Verdicts
from contract_tests.support.findings import Finding
from contract_tests.support.rules import all_rules
from contract_tests.wire.messages import SHOWN, SHOWN_OF_A_TARGET, Exchange, Request
from contract_tests.wire.strict_json import parse
from tests.support.gate import Respond, Run, http_response
from tests.support.transport import settings, transcript

no_deadline = hypothesis.settings(deadline=None)  # no result depends on the speed of the machine
FILLING = "~"  # a character that no key of these tests contains
LONGEST_PIECE = 3  # characters; a longer sequence of a key cannot occur by chance
keys = st.text("qzxjvkQZXJVK2357", min_size=8, max_size=40)  # letters that form no word of the evidence
offsets = st.integers(0, 700)


def pieces(key: str, text: str) -> set[str]:
    """Return the sequences of a key that a text contains and that are too long to occur by chance."""
    runs = {key[start : start + LONGEST_PIECE + 1].lower() for start in range(len(key) - LONGEST_PIECE)}
    return {run for run in runs if run in text.lower()}


@pytest.mark.parametrize(
    "place", ["target", "reason", "Content-Type", "Location", "Content-Encoding", "body", "problem"]
)
@no_deadline
@given(key=keys, offset=offsets)
def test_key_at_any_offset_leaves_no_piece_in_the_evidence(place: str, key: str, offset: int) -> None:
    text = FILLING * offset + key + FILLING * 700
    request = Request("GET", b"/usage", ())
    exchange = Exchange(request, 200, redact=Redactor((key,)))
    match place:
        case "target":
            exchange = replace(exchange, request=Request("GET", text.encode(), ()))
        case "reason":
            exchange = replace(exchange, reason=text)
        case "body":
            exchange = replace(exchange, payload=text.encode())
        case "problem":
            exchange = replace(exchange, ending="malformed", problem=text)
        case _:
            exchange = replace(exchange, fields=((place, text.encode()),))
    assert not pieces(key, transcript(exchange) + exchange.coding_problem)


@no_deadline
@given(key=keys, offset=offsets)
def test_key_at_any_offset_leaves_no_piece_in_a_problem(key: str, offset: int) -> None:
    text = FILLING * offset + key + FILLING * 700
    exchange = Exchange(Request("GET", b"/usage", ()), 200, payload=f'{{"{text}": 1, "{text}": 1}}'.encode())
    exchange = replace(exchange, redact=Redactor((key,)))
    assert exchange.json.problem.startswith("repeats the member")
    invalid = replace(exchange, payload=f'{{"total": "{text}"}}'.encode())
    throttled = replace(
        exchange, status=429, fields=(("Retry-After", text.encode()), ("X-RateLimit-Limit", text.encode()))
    )
    found = [
        exchange.json.problem,
        *(str(problem) for problem in problems("get_usage", invalid, "specified")),
        *(str(problem) for problem in header_problems("get_usage", throttled)),
    ]
    assert len(found) > 3
    assert not pieces(key, " ".join(found))


def test_no_problem_of_a_body_is_cut_before_it_is_redacted() -> None:
    key = "k3y-0f-a-very-secret-kind"
    assert key in parse(f'{{"{"~" * 250}{key}": 1, "{"~" * 250}{key}": 1}}'.encode()).problem


@no_deadline
@given(key=keys, offset=st.integers(0, SHOWN))
def test_key_across_the_cut_is_replaced_whole(key: str, offset: int) -> None:
    shortened = Redactor((key,)).shortened(FILLING * offset + key + FILLING * 900, SHOWN)
    assert shortened.endswith(CUT)
    assert shortened.removesuffix(CUT).replace("<redacted:1>", "").strip(FILLING) == ""
    assert len(shortened) <= SHOWN + len("<redacted:1>" + CUT)


@no_deadline
@given(text=st.text(max_size=SHOWN * 3) | st.binary(max_size=SHOWN * 3), key=keys, offset=offsets)
def test_an_excerpt_of_an_excerpt_is_the_same(text: str | bytes, key: str, offset: int) -> None:
    exchange = Exchange(Request("GET", b"/usage", ()), 200, redact=Redactor((key,)))
    for received in (text, FILLING * offset + key + FILLING * 900, "\x01" * 900):
        excerpt = exchange.excerpt(received)
        assert exchange.excerpt(excerpt) == excerpt


@no_deadline
@given(text=st.text(max_size=SHOWN * 3), key=keys, offset=offsets)
def test_values_that_a_rule_leaves_as_received_are_excerpts_in_the_report(text: str, key: str, offset: int) -> None:
    exchange = Exchange(Request("GET", b"/usage", ()), 200, redact=Redactor((key,)))
    verdicts = Verdicts(settings("http://127.0.0.1:1"))
    for received in (text, FILLING * offset + key + FILLING * 900):
        verdict, shortened = (
            Verdict(all_rules()[0], "broken", (Finding("it is wrong", exchange, expected=value, actual=value),))
            for value in (received, exchange.excerpt(received))
        )
        report = rule_report(verdict, verdicts)
        assert report == rule_report(shortened, verdicts)
        (finding,) = report.findings
        assert finding.expected == finding.actual == exchange.excerpt(received)


def test_findings_that_differ_beyond_the_cut_are_equal() -> None:
    exchange = Exchange(Request("GET", b"/usage", ()), 200)
    findings = tuple(Finding("it is wrong", exchange, actual="a" * SHOWN + end) for end in ("b", "c"))
    report = rule_report(Verdict(all_rules()[0], "broken", findings), Verdicts(settings("http://127.0.0.1:1")))
    assert [(finding.count, finding.actual) for finding in report.findings] == [(2, "a" * SHOWN + CUT)]


def test_target_is_shown_up_to_its_limit() -> None:
    target = "/" + "a" * 200
    shown = Request("GET", target.encode(), ()).described(Redactor(()))
    assert shown == f"GET {target[:SHOWN_OF_A_TARGET]}{CUT} without a key"


def test_key_in_a_long_target_leaves_no_piece_in_any_output(
    run_gate: Callable[..., Run], serve: Callable[[Respond], str]
) -> None:
    """The query with all names of a key is shortened within one of its values."""
    key = "QZXJVKqzxjvkQXZV23"

    def respond(head: bytes) -> bytes:
        if key.encode() not in head:
            return http_response(b'{"detail": "no"}', "401 Unauthorized")
        return http_response(json.dumps({"total": 1, "success": 1, "echo": head.decode("latin-1")}).encode())

    url = serve(respond)
    run = run_gate(
        *("--base-url", url, "--max-rate", "1000", "--report-dir", "out", "-k", "query or missing"),
        environment={"CONTRACT_API_KEY": key},
    )
    assert run.failed == {"bypass/key-in-the-query-is-not-accepted"}
    written = [run.output, *(path.read_text() for path in (run.folder / "out").iterdir())]
    assert not set().union(*(pieces(key, text) for text in written))
