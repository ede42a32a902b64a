"""A value has the same forms wherever it can be given."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, cast

import pytest

from mock_server import Calls, Deployment, FactsError, FixtureError, Key, MockOptions, UsageMock, load_deployment
from mock_server.command.option_sources import read_options
from mock_server.fixtures.delays import DelayError, parse_delay
from mock_server.fixtures.scenarios import load_scenario
from mock_server.simulation.clock import END_OF_TIME
from tests.support.control_api import Api
from tests.support.wire import usage

SPACED = "my key"
INVALID = "a key is not valid; expected 1 to 256 visible ASCII characters, and spaces only inside"


def scenario(folder: Path, delay: str) -> Path:
    (folder / "scenarios").mkdir()
    (folder / "scenarios" / "mine.yaml").write_text(f"description: d\ndelay: {delay}\n")
    return folder


@pytest.mark.parametrize(("delay", "shown"), [(0.2, "0.2"), (0, "0"), (1.5, "1.5"), ("0.10", "0.10"), (3600, "3600")])
def test_a_delay_is_a_number_or_a_text(tmp_path: Path, delay: float | str, shown: str) -> None:
    config = tmp_path / "mine.toml"
    config.write_text(f"delay = {delay!r}\n")
    assert load_scenario("mine", scenario(tmp_path, repr(delay))).delay == shown
    for options in (MockOptions(delay=delay), read_options({"config": str(config)}, {})):
        assert options.delay_text == shown
    with UsageMock() as mock:
        assert Api(mock.url).do("PATCH", "/behaviour", {"delay": delay})["delay"] == shown
        mock.delay(delay)
        assert Api(mock.url).get("/state")["everyone"]["delay"] == shown


@pytest.mark.parametrize("delay", [-1, 3601, 1e9])
def test_a_number_out_of_range_is_not_a_delay(unlimited: UsageMock, tmp_path: Path, delay: float) -> None:
    with pytest.raises(Exception, match=r"mine\.yaml:2 /delay: '.*' is not a valid delay"):
        load_scenario("mine", scenario(tmp_path, repr(delay)))
    with pytest.raises(DelayError):
        unlimited.delay(delay)
    assert Api(unlimited.url).request("PATCH", "/behaviour", {"delay": delay}).status == 422


@pytest.mark.parametrize(("grace", "seconds"), [("0.5", 0.5), ("5", 5), (0.25, 0.25), (0, 0)])
def test_a_grace_period_is_a_number_of_seconds_everywhere(tmp_path: Path, grace: Any, seconds: float) -> None:
    config = tmp_path / "mine.toml"
    config.write_text(f"grace = {grace}\n")
    assert read_options({"grace": str(grace)}, {}).grace == seconds
    assert read_options({}, {"USAGE_MOCK_GRACE": str(grace)}).grace == seconds
    assert read_options({"config": str(config)}, {}).grace == seconds
    assert MockOptions(grace=float(grace)).grace == seconds


@pytest.mark.parametrize("grace", [-1.0, -0.001, 3600.001, 99999.0, math.nan, math.inf, -math.inf, 1e300, -1, 3601])
@pytest.mark.parametrize("accept", [MockOptions, UsageMock])
def test_a_number_out_of_range_is_rejected_in_python(accept: Callable[..., object], grace: float) -> None:
    with pytest.raises(ValueError, match=r"^grace: '.*' is not a number of seconds from 0 to 3600$"):
        accept(grace=grace)


@pytest.mark.parametrize("number", [0.1 + 0.2, 1e-7, 1 / 3])
def test_a_number_has_any_decimals(tmp_path: Path, number: float) -> None:
    config = tmp_path / "usage-mock.toml"
    config.write_text(f"grace = {number}\ndelay = {number}\n")
    for options in (read_options({"config": str(config)}, {}), MockOptions(grace=number, delay=number)):
        assert options.grace == pytest.approx(number, abs=1e-6)
        assert options.delay_text is not None
        assert parse_delay(options.delay_text).low == pytest.approx(number, abs=1e-6)


@pytest.mark.parametrize("grace", ["-1", "3601", "1e3", "nan", "0,5", "", " 1", "٣"])
def test_a_grace_period_out_of_range_is_rejected(grace: str) -> None:
    with pytest.raises(ValueError, match=r"^--grace: ('.*' is not a number of seconds from 0 to 3600|is empty.*)$"):
        read_options({"grace": grace}, {})


@pytest.mark.parametrize(
    "make",
    [
        lambda mock, key: mock.make_key(key=key),
        lambda mock, key: Api(mock.url).do("POST", "/keys", {"key": key})["key"],
    ],
)
def test_a_key_can_be_chosen_and_may_contain_spaces(limited: UsageMock, make: Callable[[UsageMock, str], str]) -> None:
    for key in (SPACED, "a", "x" * 256):
        assert make(limited, key) == key
        assert usage(limited.url, key).status == 200


def test_the_options_accept_a_key_with_spaces(tmp_path: Path) -> None:
    config = tmp_path / "mine.toml"
    config.write_text(f"key = ['{SPACED}']\n")
    assert read_options({"key": (SPACED,)}, {}).key == (SPACED,)
    assert read_options({"config": str(config)}, {}).key == (SPACED,)
    with UsageMock(key=[SPACED]) as mock:
        assert usage(mock.url, SPACED).status == 200


@pytest.mark.parametrize("key", ["", " a", "a ", "a\n", "\n", "a\tb", "ä", "x" * 257])
def test_a_key_that_no_header_can_contain_is_rejected_everywhere(limited: UsageMock, key: str) -> None:
    with pytest.raises(ValueError, match=f"^key: {INVALID}$"):
        limited.make_key(key=key)
    with pytest.raises(ValueError, match="key: "):
        read_options({"key": (key,)}, {})
    assert Api(limited.url).request("POST", "/keys", {"key": key}).status == 422


def test_a_key_is_a_text(limited: UsageMock) -> None:
    with pytest.raises(TypeError, match="key: 7 is not a text"):
        limited.make_key(key=7)  # type: ignore[arg-type]


def test_a_created_key_of_the_deployment_restarts_with_its_facts(limited: UsageMock) -> None:
    limited.make_key(key="demo-busy", traffic={"shop.example": {"fetch": {"requests": 7}}})
    assert usage(limited.url, "demo-busy").json["total"] == 7


def by_python(mock: UsageMock, domain: str, calls: Mapping[str, int]) -> None:
    """Record traffic."""
    mock.record(domain, key=mock.make_key(), **cast(dict[str, Any], calls))


def by_api(mock: UsageMock, domain: str, calls: Mapping[str, int]) -> None:
    Api(mock.url).do("POST", "/traffic", {"key": mock.make_key(), "domain": domain, **calls})


def as_facts(mock: UsageMock, domain: str, calls: Mapping[str, int]) -> None:
    mock.make_key(traffic={domain: {"fetch": calls}})


def as_facts_by_api(mock: UsageMock, domain: str, calls: Mapping[str, int]) -> None:
    Api(mock.url).do("POST", "/keys", {"traffic": {domain: {"fetch": calls}}})


def as_a_deployment(_: UsageMock, domain: str, calls: Mapping[str, int]) -> None:
    Deployment("mine", "d", {"k": Key(traffic={domain: {"fetch": Calls(**calls)}})})


RECORDS = [by_python, by_api, as_facts, as_facts_by_api, as_a_deployment]
everywhere = pytest.mark.parametrize("record", RECORDS)
Record = Callable[[UsageMock, str, Mapping[str, int]], None]
ERRORS = (ValueError, AssertionError)  # an assertion about the status code of the control API
MOST = 2**53 - 1


@everywhere
@pytest.mark.parametrize("domain", ["a.example", "bücher.example", "203.0.113.7", "2001:db8::17", "[::7]"])
def test_a_domain_is_a_host_name_or_an_ip_address(limited: UsageMock, record: Record, domain: str) -> None:
    record(limited, domain, {"requests": 1})


@everywhere
@pytest.mark.parametrize("domain", ["a.example:80", "[::1]:80", "[::1", "::1]", "http://[::1]", "1:80", ""])
def test_a_domain_has_neither_scheme_nor_port(limited: UsageMock, record: Record, domain: str) -> None:
    with pytest.raises(ERRORS):
        record(limited, domain, {"requests": 1})


@everywhere
def test_traffic_has_any_numbers_that_are_exact_in_json(limited: UsageMock, record: Record) -> None:
    record(limited, "a.example", {"requests": MOST, "failures": MOST, "bytes": MOST})
    for calls in ({"requests": MOST + 1}, {"requests": 1, "bytes": MOST + 1}):
        with pytest.raises(ERRORS):
            record(limited, "a.example", calls)


def test_the_totals_of_a_key_are_exact_in_json(limited: UsageMock, tmp_path: Path) -> None:
    traffic = {f"{name}.example": {"fetch": {"requests": MOST // 2 + 1, "bytes": MOST // 2}} for name in "ab"}
    problem = f"has {MOST + 1} requests in all; must be at most {MOST}"
    with pytest.raises(FactsError, match=f"^/traffic: {problem}$"):
        limited.make_key(traffic=traffic)
    assert Api(limited.url).refused("POST", "/keys", {"traffic": traffic}) == (409, f"/traffic: {problem}")
    with pytest.raises(FactsError, match=problem):
        Deployment("mine", "d", {"k": {"traffic": traffic}})  # type: ignore[dict-item]  # as in a file
    (tmp_path / "deployments").mkdir()
    (tmp_path / "deployments" / "mine.yaml").write_text(f"description: d\nkeys: {{k: {{traffic: {traffic}}}}}\n")
    with pytest.raises(FixtureError, match=rf"mine\.yaml:2 /keys/k/traffic: {problem}"):
        load_deployment("mine", tmp_path)


@pytest.mark.parametrize("arguments", [{"after": MOST}, {"times": MOST}, {"after": MOST + 1}, {"times": MOST + 1}])
def test_numbers_of_requests_have_the_same_limits(limited: UsageMock, arguments: dict[str, int]) -> None:
    is_valid = MOST in arguments.values()
    with nullcontext() if is_valid else pytest.raises(ValueError, match=f"is not a whole number from . to {MOST}$"):
        limited.answer(503, **cast(dict[str, Any], arguments))
    response = Api(limited.url).request("PATCH", "/behaviour", {"code": 503, **arguments})
    assert response.status == (200 if is_valid else 422)


@pytest.mark.parametrize(
    ("expectation", "is_valid"),
    [
        *[({name: MOST + above}, not above) for name in ("exactly", "at_least", "at_most") for above in (0, 1)],
        *[({"min_gap": END_OF_TIME + above}, not above) for above in (0, 1)],
    ],
)
def test_expectations_have_the_same_limits(limited: UsageMock, expectation: dict[str, int], is_valid: bool) -> None:
    usage(limited.url, limited.api_key)
    with suppress(AssertionError), nullcontext() if is_valid else pytest.raises(ValueError, match=f" {MOST}|0 to"):
        limited.verify(**cast(dict[str, Any], expectation))
    response = Api(limited.url).request("POST", "/verify", expectation)
    assert (response.status in (200, 409)) == is_valid


def test_the_clock_is_advanced_by_the_same_seconds(limited: UsageMock) -> None:
    limited.freeze()
    limited.advance(END_OF_TIME // 2)
    assert Api(limited.url).do("PATCH", "/clock", {"now": 0, "advance": END_OF_TIME})["now"] == END_OF_TIME
    assert Api(limited.url).request("PATCH", "/clock", {"now": 0, "advance": END_OF_TIME + 1}).status == 422


FAULTS = ("total-is-a-text", "lower-case-fields")


@pytest.mark.parametrize("forms", [" ".join(FAULTS), [" ".join(FAULTS)], list(FAULTS)], ids=str)
def test_several_faults_have_the_same_forms_everywhere(tmp_path: Path, forms: str | list[str]) -> None:
    config = tmp_path / "mine.toml"
    config.write_text(f"fault = {forms!r}\n")
    as_arguments = (forms,) if isinstance(forms, str) else tuple(forms)
    for options in (read_options({"config": str(config)}, {}), read_options({"fault": as_arguments}, {})):
        assert options.fault == FAULTS
    with UsageMock(fault=forms) as mock:
        api = Api(mock.url)
        assert api.get("/state")["start"]["fault"] == " ".join(FAULTS)
        assert api.do("PATCH", "/behaviour", {"fault": forms})["fault"] == " ".join(FAULTS)
        mock.fail(forms, "demo-busy")
        assert api.get("/state")["keys"][0]["override"]["fault"] == " ".join(FAULTS)
