"""Combined requests: a defect is narrowed down to one part, and rejected parts hide no other part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import pytest

from contract_tests.support.combined import Combined, Judgement, find_defect
from contract_tests.support.gate import Gate
from contract_tests.support.request_parts import (
    LARGEST_REQUEST_HEAD,
    LONGEST_QUERY,
    MOST_FIELDS,
    SPARE_REQUESTS,
    Kind,
    Part,
    packed,
)
from contract_tests.wire.messages import Exchange, Request
from contract_tests.wire.not_tested import NotTested
from contract_tests.wire.transport import Transport
from tests.support.transport import gate_for

JUDGEMENTS: dict[int, Judgement] = {200: "defect", 401: "kept"}
Status = Callable[[Request], int | None]


def parts(kind: Kind, count: int) -> tuple[Part, ...]:
    return tuple(Part(kind, f"{kind[0]}{number}", "1") for number in range(count))


@dataclass
class Deployment:
    """A transport to a deployment whose status codes a function returns: None where it has stopped, 0 for a hang."""

    status: Status
    sent: int = 0

    def send(self, request: Request) -> Exchange:
        self.sent += 1
        if (code := self.status(request)) is None:
            raise NotTested("stopped")
        return Exchange(request, code) if code else Exchange(request, ending="timeout")


def found(gate: Gate, combination: Sequence[Part], status: Status) -> tuple[str, int]:
    """Return the label of the request that was found, "" without one, and the number of requests."""

    def judge(exchange: Exchange) -> Judgement:
        return "defect" if exchange.ending == "timeout" else JUDGEMENTS.get(exchange.status or 0, "refused")

    deployment = Deployment(status)
    gate.transport = cast("Transport", deployment)
    exchange = find_defect(Combined(gate, "all", "only the", tuple(combination), "a group"), judge)
    return exchange.request.label if exchange else "", deployment.sent


@pytest.fixture
def gate() -> Gate:
    return gate_for()


def text(request: Request) -> bytes:
    """Return the target and the fields of a request, each name before an equals sign or a colon."""
    return request.target + b"".join(b"&%b=%b;" % field for field in request.fields)


ALL = (*parts("header", 70), *parts("query parameter", 90), *parts("cookie", 30))


def test_a_refusal_of_all_parts_costs_one_request(gate: Gate) -> None:
    assert found(gate, ALL, lambda _: 401) == ("", 1)


@pytest.mark.parametrize("part", [ALL[0], ALL[69], ALL[100], ALL[-1]], ids=lambda part: part.name)
def test_an_accepted_part_is_narrowed_down_to(part: Part, gate: Gate) -> None:
    label, requests = found(gate, ALL, lambda request: 200 if b"%b=" % part.name.encode() in text(request) else 401)
    assert label == f"only the {part.kind} {part.name}"
    assert requests <= 20


def test_parts_that_are_accepted_only_together_are_found_together(gate: Gate) -> None:
    def status(request: Request) -> int:
        return 200 if b"h1=" in text(request) and b"h69=" in text(request) else 401

    assert found(gate, ALL[:70], status)[0] == "all"


def test_a_deployment_that_stops_responding_is_found(gate: Gate) -> None:
    statuses = iter([200, None])
    assert found(gate, ALL, lambda _: next(statuses)) == ("all", 2)


def test_a_defect_is_found_although_a_later_response_cannot_be_judged(gate: Gate) -> None:
    sent: list[Exchange] = []

    def judge(exchange: Exchange) -> Judgement:
        sent.append(exchange)
        if len(sent) > 1:
            raise NotTested("not all of the response was kept")
        return "defect"

    gate.transport = cast("Transport", Deployment(lambda _: 200))
    assert find_defect(Combined(gate, "all", "only the", parts("header", 4), "a group"), judge) is sent[0]


def test_a_hang_that_delays_the_next_request_is_narrowed_down_to_its_cause(gate: Gate) -> None:
    has_hung = False

    def status(request: Request) -> int:
        nonlocal has_hung
        delayed, has_hung = has_hung and b"&h" in text(request), b"h40=" in text(request)
        return 0 if delayed or has_hung else 401

    assert found(gate, ALL[:70], status)[0] == "only the header h40"


def test_a_hang_after_which_every_request_hangs_is_reported_as_a_whole(gate: Gate) -> None:
    assert found(gate, ALL[:70], lambda _: 0) == ("all", 2)


def test_a_refused_part_does_not_hide_an_accepted_one(gate: Gate) -> None:
    def status(request: Request) -> int:
        if b"h7=" in text(request):
            return 400
        return 200 if b"h40=" in text(request) else 401

    assert found(gate, ALL[:70], status)[0] == "only the header h40"


def test_two_refused_parts_do_not_hide_a_later_request(gate: Gate) -> None:
    def status(request: Request) -> int:
        if b"h3=" in text(request) or b"h60=" in text(request):
            return 400
        return 200 if b"h100=" in text(request) else 401

    first, later = parts("header", 140)[:70], parts("header", 140)[70:]
    assert found(gate, first, status)[0] == ""
    assert found(gate, later, status)[0] == "only the header h100"


def test_a_refused_part_is_not_sent_again(gate: Gate) -> None:
    def status(request: Request) -> int:
        return 400 if b"h7=" in text(request) else 401

    assert found(gate, ALL[:60], status)[1] > 1
    assert found(gate, ALL[:60], status) == ("", 1)


def test_a_refused_kind_does_not_hide_other_kinds(gate: Gate) -> None:
    def status(request: Request) -> int:
        if b"?" in request.target:
            return 400
        return 200 if b"h40=" in text(request) else 401

    assert found(gate, ALL, status)[0] == "only the header h40"


def test_the_most_usual_part_is_sent_alone_if_every_combination_is_rejected(gate: Gate) -> None:
    def status(request: Request) -> int:
        if request.target.count(b"=") > 1:
            return 400
        return 200 if b"?q2=" in request.target else 401

    assert found(gate, parts("query parameter", 90), status)[0] == "only the query parameter q2"


def test_a_deployment_that_refuses_everything_costs_the_spare_requests_once(gate: Gate) -> None:
    requests = [found(gate, ALL, lambda _: 400)[1] for _ in range(5)]
    assert sum(requests) <= SPARE_REQUESTS + 5
    assert gate.refused_parts.spare_requests == 0


def test_packed_parts_fit_into_their_requests() -> None:
    many = [*parts("header", 500), *(Part("query parameter", f"q{number}", "k" * 300) for number in range(100))]
    packs = packed(many, 3)
    for pack in packs:
        queries = [part for part in pack if part.kind == "query parameter"]
        assert len(pack) - len(queries) <= MOST_FIELDS
        assert sum(len(part.pair) + 1 for part in queries) <= LONGEST_QUERY
        assert sum(len(part.pair) for part in pack) <= LARGEST_REQUEST_HEAD
    assert packs[0][:MOST_FIELDS] == tuple(many[:MOST_FIELDS])


def test_a_part_that_is_too_large_is_skipped() -> None:
    assert packed([Part("query parameter", "q", "k" * LONGEST_QUERY)], 2) == [(), ()]


def test_packing_measures_each_part_once_for_each_request() -> None:
    measured = 0

    class Measured(Part):
        @property
        def pair(self) -> bytes:
            nonlocal measured
            measured += 1
            return super().pair

    many = [Measured("header", f"h{number}", "1") for number in range(500)]
    packed(many, 3)
    assert measured <= 3 * len(many)
