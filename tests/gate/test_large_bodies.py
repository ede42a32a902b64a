"""Large responses: the gate stays within its limits of memory and time, and reports skipped checks."""

from __future__ import annotations

import json
import os
import re
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from hashlib import sha256
from operator import attrgetter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract_tests.metrics.schema import MOST_CHECKED, Problem, invalid_members, problems
from contract_tests.metrics.view import UsageMetrics
from contract_tests.wire.clock import Clock
from contract_tests.wire.internals import internals
from contract_tests.wire.limits import KEPT
from contract_tests.wire.messages import Abridged, Exchange, Request, kept_whole
from contract_tests.wire.not_tested import NotTested
from contract_tests.wire.parsed_forms import ParsedForms
from contract_tests.wire.retention import KEPT_IN_ALL, KEPT_OF_A_HEAD, Retention
from contract_tests.wire.strict_json import is_too_large
from contract_tests.wire.transport import Transport
from tests.support.gate import Run, serving, serving_with
from tests.support.large_bodies import ROWS, VALUES, response, usage
from tests.support.transport import ManualClock, gate_for, settings, transcript


def exchange_with(body: bytes, **changes: Any) -> Exchange:
    exchange = Exchange(Request("GET", b"/usage", ()), 200, payload=body, received=len(body))
    return replace(exchange, **changes)


@pytest.fixture
def transport() -> Iterator[Any]:
    with ExitStack() as stack:

        def to(body: bytes, **changes: Any) -> tuple[Transport, ManualClock]:
            url = stack.enter_context(serving(lambda _: response(body)))
            clock = ManualClock()
            sending = Transport(settings(url, **changes), Clock(clock.now, clock.sleep))
            stack.callback(sending.close)
            return sending, clock

        yield to


def test_the_beginning_and_the_digest_are_kept_beyond_the_budget(transport: Any) -> None:
    body = bytes(range(256)) * 3000
    sending, _ = transport(body)
    sending.retention = Retention(left=len(body) + 10_000)
    first, second = (sending.send(Request("GET", b"/", ((b"Host", b"here"),))) for _ in range(2))
    assert (first.payload, first.abridged) == (body, None)
    assert second.abridged == Abridged(len(body), sha256(body).hexdigest())
    assert second.payload == body[:KEPT]
    assert (second.size, second.sha256) == (first.size, first.sha256)
    assert f"{len(body)} bytes in" in transcript(second)
    for need in ("body", "json.problem", "json.value", "raw_body", "exact"):
        with pytest.raises(NotTested, match="not all of a response of"):
            attrgetter(need)(second)
    assert sending.journal == [first, second]


def test_concurrent_responses_share_the_remaining_budget(transport: Any) -> None:
    body = b"x" * 200_000
    sending, _ = transport(body)
    sending.retention = Retention(left=500_000)
    exchanges = sending.send_concurrently([Request("GET", b"/", ((b"Host", b"here"),))] * 4)
    assert [exchange.size for exchange in exchanges] == [len(body)] * 4
    assert all(exchange.abridged for exchange in exchanges)
    assert sum(len(exchange.payload) for exchange in exchanges) <= 500_000


def test_small_bodies_are_kept_regardless_of_earlier_ones(transport: Any) -> None:
    sending, _ = transport(b"{}")
    sending.retention = Retention(left=-1)
    assert sending.send(Request("GET", b"/", ((b"Host", b"here"),))).json.value == {}


def test_large_heads_are_cut_beyond_the_budget() -> None:
    large = exchange_with(b"{}", fields=(("X-Long", b"a" * KEPT_OF_A_HEAD), ("X-Short", b"b")), head=b"c" * 99_999)
    assert Retention().kept(large) is large
    kept = Retention(left=0).kept(large)
    assert (len(kept.head), kept.fields) == (KEPT_OF_A_HEAD, ())
    for need in ("media_type", "raw_head", "json.problem"):
        with pytest.raises(NotTested):
            attrgetter(need)(kept)
    assert transcript(kept).strip().startswith("request: GET /usage")


def test_all_bodies_of_an_ordinary_run_are_kept() -> None:
    retention = Retention()
    exchanges = [exchange_with(b"a" * 1000, fields=(("A", b"b"),) * 20, head=b"c" * 600) for _ in range(1000)]
    assert all(retention.kept(exchange) is exchange for exchange in exchanges)
    assert retention.left > KEPT_IN_ALL // 2


def test_a_finding_counts_although_other_exchanges_were_not_kept() -> None:
    abridged = exchange_with(b"", abridged=Abridged(9, ""))
    found: list[Exchange] = []
    with pytest.raises(NotTested):
        found.extend(kept_whole([abridged, exchange_with(b"1"), abridged, exchange_with(b"2")]))
    assert [exchange.payload for exchange in kept_whole([exchange_with(b"1")])] == [b"1"]


@given(st.lists(st.integers(1, 12), max_size=40))
def test_parsed_forms_never_exceed_their_share(sizes: list[int]) -> None:
    forms, computed = ParsedForms(largest=10), 0

    def compute(body: bytes) -> int:
        nonlocal computed
        computed += 1
        return len(body)

    for size in sizes:
        assert forms.form("length", b"x" * size, compute) == size
        before = computed
        assert forms.form("length", b"x" * size, compute) == size
        assert computed == before + (size > 10)
        assert forms._size == sum(len(body) for _, body in forms._kept) <= 10


@pytest.mark.parametrize(
    ("beginning", "is_found"),
    [(b'{"total": 1, "success": 1,', True), (b'{"help": "', False), (b'<pre>"total": 1', False)],
)
def test_the_beginning_of_a_body_is_searched_for_metrics_if_the_rest_was_not_kept(
    beginning: bytes, is_found: bool
) -> None:
    assert gate_for().contains_metrics(exchange_with(beginning, abridged=Abridged(300_000, ""))) == is_found


def test_a_body_of_too_many_values_is_searched_for_metrics_and_not_parsed() -> None:
    gate = gate_for()
    assert gate.contains_metrics(exchange_with(usage("more", VALUES["objects"])))
    assert not gate.contains_metrics(exchange_with(VALUES["objects"]))
    with pytest.raises(NotTested, match="has more than 200000 values"):
        exchange_with(usage("more", VALUES["objects"])).json.problem  # noqa: B018 - raises


def test_an_array_of_too_many_values_is_rejected_without_being_parsed(run_gate: Callable[..., Run]) -> None:
    exchange = exchange_with(b" " + VALUES["objects"])
    assert exchange.json.problem == "is not an object, and has more than 200000 values"
    assert exchange.exact is None
    with serving(lambda _: response(VALUES["objects"])) as url:
        options = ("--base-url", url, "--rule", "schema/body-is-json", "--max-rate", "1000")
        run = run_gate(*options, environment={"CONTRACT_API_KEY": "main-key"})
    assert (run.code, run.failed) == (1, {"schema/body-is-json"})


def test_a_large_body_is_not_read_after_the_time_limit(transport: Any) -> None:
    sending, clock = transport(usage("more", VALUES["one text"]))
    exchange = sending.send(Request("GET", b"/", ((b"Host", b"here"),)))
    assert UsageMetrics(exchange).total == 4711
    clock.sleep(sending.settings.max_time)
    with pytest.raises(NotTested, match="the 120 s of --max-time are over"):
        invalid_members("get_usage", exchange)
    for need in ("body", "json.value", "exact"):
        with pytest.raises(NotTested, match="the 120 s of --max-time are over"):
            attrgetter(need)(exchange)


@pytest.mark.parametrize("name", [*VALUES, *ROWS])
def test_one_large_body_is_validated_in_seconds(name: str) -> None:
    member = {"protocols": "by_protocol"}.get(name, "top_domains" if name in ROWS else "more")
    exchange = exchange_with(usage(member, (VALUES | ROWS)[name]))
    found: list[Problem] = []
    started = os.times().user
    reason = "more than" if is_too_large(exchange.body) else f"only the first {MOST_CHECKED}"
    is_checked = name not in {"top_domains", "wrong rows"} and not is_too_large(exchange.body)
    with nullcontext() if is_checked else pytest.raises(NotTested, match=reason):
        found.extend(problems("get_usage", exchange, "specified"))
    assert bool(found) == (name == "wrong rows")
    assert not internals(exchange.body)
    assert os.times().user - started < 60  # hundreds of times the usual time


def test_deployment_that_stops_responding_does_not_outlast_the_run(run_gate: Callable[..., Run]) -> None:
    over, count = threading.Event(), 0

    class Hanging(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            nonlocal count
            while self.rfile.readline(1 << 20) not in {b"\r\n", b""}:
                pass
            count += 1
            if count < 4:
                self.wfile.write(response(b'{"total": 1}'))
            else:
                over.wait()

    with serving_with(Hanging) as url:
        options = ("--base-url", url, "--max-rate", "1000", "--max-time", "2", "--answer-timeout", "600")
        run = run_gate(*options, "--report-dir", "out", environment={"CONTRACT_API_KEY": "main-key"})
        over.set()
    report = json.loads((run.folder / "out" / "contract.json").read_text())
    seconds = float(re.findall(r"requests in ([\d.]+) s", run.output)[-1])
    assert seconds <= 2 + 20 * 3  # --max-time, and some time to finish
    assert report["counts"]["gate error"] == report["counts"]["broken"] == 0
    assert any("the 2 s of --max-time are over" in text for text in (*report["shortfalls"], run.output))
