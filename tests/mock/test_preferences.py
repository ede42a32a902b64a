"""The Prefer header: how one request wants to be answered, and what outranks what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mock_server import UsageMock, load_deployment, load_fault, make_app
from mock_server.fixtures.deployments import Calls, Deployment, Key
from mock_server.fixtures.library import Library
from mock_server.options import MockOptions
from mock_server.simulation.overrides import NO_OVERRIDE, NONE, FaultUse, Override, Overrides
from mock_server.web.connection import MAX_FIELD_BYTES
from mock_server.web.mock import MOCK
from mock_server.web.preferences import (
    MAX_CHECKED,
    PreferenceError,
    parse_preferences,
    preferred_override,
)
from tests.support.wire import KEY, Reply, ask, send, usage
from usage_contract import Contract

CODES = [200, 401, 403, 429]
LIBRARY = Library(load_deployment())


@pytest.fixture(scope="module")
def mock(contract: Contract) -> Iterator[UsageMock]:
    async def unconditional(_: float) -> None:
        pass

    with UsageMock(make_app(contract, MockOptions(rate_limit=False), sleep=unconditional)) as mock:
        yield mock


def preferring(mock: UsageMock, *fields: str, key: str = "demo-busy") -> Reply:
    return ask(mock.url, headers=[(KEY, key), *(("Prefer", field) for field in fields)])


# How it is read.


@pytest.mark.parametrize(
    ("fields", "read"),
    [
        ([], {}),
        (["code=403"], {"code": "403"}),
        (['code="403"'], {"code": "403"}),
        (["fault=, code="], {"fault": "", "code": ""}),
        (["CODE = 403"], {"code": "403"}),
        (["code=403, code=500"], {"code": "403"}),
        (["code=403", "code=500"], {"code": "403"}),
        (["code=403, scenario=heavy;x=y;z, delay=1"], {"code": "403", "scenario": "heavy", "delay": "1"}),
        (['scenario="a \\"b\\" \\\\"'], {"scenario": 'a "b" \\'}),
        (["respond-async, wait=10, handling=lenient"], {}),
        (['x="code=403, fault=y", delay=1'], {"delay": "1"}),
        (["code"], {"code": ""}),
        (["delay=0.1..0.5, fault=none"], {"delay": "0.1..0.5", "fault": "none"}),
        (["delay=0.1~2"], {"delay": "0.1~2"}),
        (["foo=, code=403", "=,;=,,"], {"code": "403"}),
    ],
)
def test_the_first_known_preference_counts_and_unknown_ones_are_ignored(
    fields: list[str], read: dict[str, str]
) -> None:
    assert parse_preferences(fields) == read


@given(st.lists(st.text(), max_size=3))
def test_any_text_is_read_in_some_way(fields: list[str]) -> None:
    assert parse_preferences(fields).keys() <= {"scenario", "code", "fault", "delay"}


@pytest.mark.parametrize("piece", ["a", " ", "a ", "a=", ',a="', "a;", ", ", "\\"])
def test_a_field_as_long_as_can_be_is_read_at_once(piece: str) -> None:
    assert parse_preferences(["code=403, " + piece * (MAX_FIELD_BYTES // len(piece)) + "@"]) == {"code": "403"}


def test_only_the_first_of_many_misspelled_preferences_are_named(mock: UsageMock) -> None:
    reply = preferring(mock, ",".join(["scenaro"] * 8000))
    assert reply.headers["Mock-Ignored"].count("did you mean") == MAX_CHECKED


PIECES = [*'=;,"\\ \t', "code", "delay", "scenario", "fault", "403", "none", "x", "é", "\xff"]


@settings(deadline=None)  # a file may be read
@given(st.lists(st.sampled_from(PIECES)))
def test_a_text_similar_to_a_preference_is_read_or_rejected(pieces: list[str]) -> None:
    read = parse_preferences(["".join(pieces)])
    with suppress(PreferenceError):
        wanted = preferred_override(read, LIBRARY, CODES)
        assert {name for name, value in asdict(wanted).items() if value is not None} == read.keys()


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_are_a_fault_of_the_server(mock: UsageMock, value: bytes) -> None:
    request = b"GET /usage HTTP/1.1\r\nHost: x\r\nX-API-Key: demo-busy\r\nPrefer: " + value + b"\r\n\r\n"
    assert send(mock.url, request).status in (200, 400, 403, 429)


# The effects of a preference.


@pytest.mark.parametrize("code", [401, 403, 429, 400, 404, 418, 499, 500, 502, 503, 599])
def test_a_preferred_code_is_returned_and_acknowledged(mock: UsageMock, code: int) -> None:
    reply = preferring(mock, f"code={code}")
    assert reply.status == code
    assert reply.headers["Preference-Applied"] == f"code={code}"
    assert reply.json["detail"]
    assert reply.headers["Mock-Reason"]


def test_a_preferred_code_is_returned_without_a_key_but_200_is_not(mock: UsageMock) -> None:
    assert ask(mock.url, headers=[("Prefer", "code=503")]).status == 503
    assert ask(mock.url, headers=[("Prefer", "code=200")]).status == 401


def test_several_preferences_are_acknowledged_together(mock: UsageMock) -> None:
    reply = preferring(mock, "delay=0.1..0.2", "scenario=heavy, wait=3")
    assert reply.headers["Preference-Applied"] == "delay=0.1..0.2, scenario=heavy"
    assert reply.json["total"] > 10**9


def test_a_fault_is_met_by_this_request_alone(mock: UsageMock) -> None:
    assert preferring(mock, "fault=body-is-null", key="demo-fresh").body == b"null"
    assert usage(mock.url, "demo-fresh").json["total"] == 0


@pytest.mark.parametrize("key", ["demo-busy", "demo-fresh"])
def test_a_preferred_fault_acts_at_once_and_for_any_key(mock: UsageMock, key: str) -> None:
    assert load_fault("every-fourth-response-is-503").steps[0].when.every == 4
    assert preferring(mock, "fault=every-fourth-response-is-503", key=key).status == 503
    assert load_fault("second-key-is-redirected").steps[0].when.key == "second key"
    assert preferring(mock, "fault=second-key-is-redirected", key=key).status in range(300, 400)


@pytest.mark.parametrize(
    ("path", "key", "field", "applied"),
    [
        ("/usage", "demo-busy", "fault=total-is-a-text", "fault=total-is-a-text"),
        ("/usage", "demo-busy", "fault=none", "fault=none"),
        ("/usage", "nobody", "scenario=down", "scenario=down"),
        ("/healthz", "nobody", "scenario=down", None),
        ("/usage", "demo-busy", "scenario=revoked", "scenario=revoked"),
        ("/usage", "demo-busy", "code=503, scenario=heavy", "code=503"),
        ("/usage", "demo-busy", "code=200, scenario=heavy", "code=200, scenario=heavy"),
        ("/usage", "nobody", "scenario=heavy, delay=1", "delay=1"),
        ("/usage", "nobody", "code=200", None),
        ("/usage", "nobody", "code=503", "code=503"),
        ("/healthz", "demo-busy", "code=503", None),
        ("/healthz", "demo-busy", "fault=every-fourth-response-is-503, delay=1", None),
        ("/nothing", "demo-busy", "code=503, scenario=heavy", None),
    ],
)
def test_only_honoured_preferences_are_acknowledged(
    mock: UsageMock, path: str, key: str, field: str, applied: str | None
) -> None:
    reply = ask(mock.url, path, headers=[(KEY, key), ("Prefer", field)])
    assert reply.headers["Preference-Applied"] == applied


def test_another_method_honours_no_code(mock: UsageMock) -> None:
    reply = send(mock.url, b"PUT /usage HTTP/1.1\r\nHost: x\r\nPrefer: code=503\r\nContent-Length: 0\r\n\r\n")
    assert (reply.status, reply.headers["Preference-Applied"]) == (405, None)


def test_a_429_that_is_wanted_states_the_limit_of_the_key(mock: UsageMock) -> None:
    for key in ("demo-busy", "demo-modest"):
        limit = usage(mock.url, key).json["rate_limit"]["rps"]
        assert float(preferring(mock, "code=429", key=key).headers["X-RateLimit-Limit"]) == limit
    assert preferring(mock, "code=429, scenario=heavy").headers["X-RateLimit-Limit"] == "500"
    assert preferring(mock, "code=429", key="nobody").headers["X-RateLimit-Limit"] == "10"


def test_unknown_preferences_are_not_acknowledged(mock: UsageMock) -> None:
    assert "Preference-Applied" not in preferring(mock, "respond-async, wait=10").headers


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("scenaro=heavy", "scenaro; did you mean scenario?"),
        ("code:503", "code; write code=503"),
        ("delay=0, FAULTS=x, Scenario : y", "FAULTS; did you mean fault?, Scenario; write scenario=heavy"),
        ("respond-async, wait=10, handling=lenient, return=minimal, safe, depth-noroot", None),
        ('x="a, codes=503", codex\xff=1', None),
    ],
)
def test_a_misspelled_preference_is_ignored_and_named(mock: UsageMock, field: str, told: str | None) -> None:
    reply = preferring(mock, field)
    assert (reply.status, reply.headers["Mock-Ignored"]) == (200, told)


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("scenario=hevy", ["did you mean 'heavy'?"]),
        ("fault=body-is-nul", ["did you mean 'body-is-null'?"]),
        ("fault=nothing-like-it", [" more (GET /__mock__/faults lists them)"]),
        ("code=200.5", ["200, 401, 403, 429 (documented) or 400 to 599"]),
        ("code=204", ["400 to 599"]),
        ("code=600", ["400 to 599"]),
        ("code", ["Prefer: code needs a value, such as code=503"]),
        ("fault=", ["Prefer: fault needs a value, such as fault=body-is-null"]),
        ("scenario", ["Prefer: scenario needs a value, such as scenario=heavy"]),
        ("delay=soon", ["SECONDS", "LOW..HIGH", "MEDIAN~P99"]),
        ('delay=""', ["Prefer: delay needs a value, such as delay=0.2"]),
        ("fault=malformed-header-name-is-500", ["--fault"]),
    ],
)
def test_an_unknown_value_is_rejected_with_the_valid_ones(mock: UsageMock, field: str, told: list[str]) -> None:
    reply = preferring(mock, field)
    assert (reply.status, reply.headers["Mock-Reason"]) == (400, "unknown-preference")
    assert [each for each in told if each not in reply.json["detail"]] == []
    assert len(reply.json["detail"]) < 1000


def test_a_fault_whose_role_the_deployment_lacks_is_rejected(contract: Contract) -> None:
    deployment = Deployment("mine", "d", {"my-secret": Key(traffic={"a.example": {"fetch": Calls(1)}})})
    with UsageMock(make_app(contract, deployment=deployment)) as mock:
        reply = preferring(mock, "fault=body-is-null", key="my-secret")
    assert (reply.status, reply.headers["Mock-Reason"]) == (400, "unknown-preference")
    assert "body-is-null.yaml:6 cannot be used here: the deployment mine has no unused key" in reply.json["detail"]
    assert "my-secret" not in reply.json["detail"]


# The precedence of overrides.

RANKS = ("request", "key", "everybody", "start")


def at(rank: str, wanted: Override) -> tuple[Overrides, Override]:
    """Return settings in which something is wanted at a rank, and what the request wants."""
    return {
        "request": (Overrides(), wanted),
        "key": (Overrides(keys={"k": wanted}), NO_OVERRIDE),
        "everybody": (Overrides(everyone=wanted), NO_OVERRIDE),
        "start": (Overrides(wanted), NO_OVERRIDE),
    }[rank]


@pytest.mark.parametrize("name", ["scenario", "code", "faults", "delay"])
@pytest.mark.parametrize("highest", range(4), ids=RANKS)
def test_precedence_is_request_then_key_then_everyone_then_start(highest: int, name: str) -> None:
    all_values: Mapping[str, Sequence[Any]] = {
        "scenario": list("abcd"),
        "code": [500, 501, 502, 503],
        "faults": [(FaultUse(each),) for each in "abcd"],
        "delay": list("1234"),
    }
    values = all_values[name]
    said = [Override(**{name: value}) if place >= highest else NO_OVERRIDE for place, value in enumerate(values)]
    request, key, everybody, start = said
    found = Overrides(start, everybody, {"k": key}).merged("k", request)
    assert getattr(found, name) == values[highest]


@pytest.mark.parametrize("rank", RANKS)
def test_the_override_of_a_scenario_has_the_lowest_precedence(contract: Contract, rank: str) -> None:
    said, request = at(rank, Override(delay="7", code=418, faults=(FaultUse("body-is-null"),)))
    simulator = make_app(contract, MockOptions(scenario="brown-out"))[MOCK].simulator
    start = said.start.merged_over(Override(scenario="brown-out"))
    simulator.overrides = Overrides(start, said.everyone, said.keys)
    found = simulator.resolve("k", request)
    assert (found.delay, found.code, found.fault_names) == ("7", 418, "body-is-null")


def test_a_scenario_applies_its_own_override_without_others(contract: Contract) -> None:
    simulator = make_app(contract, MockOptions(scenario="brown-out"))[MOCK].simulator
    found = simulator.resolve("k", NO_OVERRIDE)
    assert (found.delay, found.fault_names) == ("0.1~1", "every-fourth-response-is-503")


@pytest.mark.parametrize("name", ["scenario", "fault", "delay"])
def test_none_switches_off_lower_levels(name: str) -> None:
    lower = Override("heavy", None, (FaultUse("body-is-null"),), "1")
    own = preferred_override({name: NONE}, LIBRARY, CODES)
    found = Overrides(lower).merged("k", own)
    assert getattr(found, "fault_names" if name == "fault" else name) == NONE
