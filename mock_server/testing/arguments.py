"""Checks of the arguments that a test gives to a mock."""

from __future__ import annotations

from mock_server.fixtures.deployments import MAX_SAFE_INTEGER
from mock_server.simulation.clock import END_OF_TIME


def check_text(name: str, value: object) -> str:
    """Return a text; TypeError if the value is not one."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: {value!r} is not a text")
    return value


def check_turns(after: int, times: int | None) -> None:
    """Check the numbers of requests that pass before an override acts, and on which it acts."""
    check_integers(0, after=after)
    if times is not None:
        check_integers(1, times=times)


def check_integers(low: int, **numbers: int) -> None:
    """Check that numbers are whole (TypeError), and from `low` to the largest exact integer in JSON (ValueError)."""
    for name, number in numbers.items():
        is_integer = isinstance(number, int) and not isinstance(number, bool)
        if not is_integer or not low <= number <= MAX_SAFE_INTEGER:
            problem = f"{name}: {number!r} is not a whole number from {low} to {MAX_SAFE_INTEGER}"
            raise ValueError(problem) if is_integer else TypeError(problem)


def check_number(name: str, value: float) -> None:
    """Check that a value is a number; TypeError if not."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name}: {value!r} is not a number of seconds")


def check_seconds(name: str, value: float) -> None:
    """Check that a value is a number (TypeError), and seconds of the mock's clock (ValueError)."""
    check_number(name, value)
    if not 0 <= value <= END_OF_TIME:
        raise ValueError(f"{name}: {value} is not valid; expected 0 to {END_OF_TIME}")
