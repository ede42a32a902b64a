"""A value has the same forms wherever it can be given."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mock_server import MockOptions, UsageMock
from mock_server.command.option_sources import read_options
from mock_server.fixtures.delays import DelayError, parse_delay
from mock_server.fixtures.scenarios import load_scenario
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
