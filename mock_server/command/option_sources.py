"""The sources of options: the command line, the environment, and a TOML file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mock_server.options import OPTIONS, PREFIX, MockOptions, Option, OptionError
from usage_contract.errors import reason
from usage_contract.suggestions import suggest

# Read if the working directory contains it and no other file is given.
FILE = "usage-mock.toml"

_BY_NAME = {option.name: option for option in OPTIONS if option.name != "config"}

# An option, the place where its value is given, and the value.
_Value = tuple[Option, str, object]


def read_options(arguments: Mapping[str, object], environment: Mapping[str, str]) -> MockOptions:
    """Return the options of the command.

    Precedence: command line > environment > file > default.

    Args:
        arguments: The options of the command line, by attribute.
        environment: The environment variables.

    Raises:
        OptionError: Some options cannot be used; the error has all problems.
    """
    problems: list[str] = []
    by_variable = {option.variable: option for option in OPTIONS}
    in_environment = []
    for name, value in sorted(environment.items()):
        if name in by_variable and value:  # a CI system passes an empty variable for a missing one
            in_environment.append((by_variable[name], name, value))
        elif name.startswith(PREFIX) and name not in by_variable:
            problems.append(f"{name!r} is not a variable of the mock; {suggest(name, by_variable)}")
    on_command_line = [
        (option, f"--{option.name}", arguments[option.attribute]) for option in OPTIONS if option.attribute in arguments
    ]
    given = [*in_environment, *on_command_line]
    values = _read(given, problems)
    in_file = [*_file(values.get("config"), problems)]
    values = _read(in_file, problems) | values
    if problems:
        raise OptionError(problems)
    places = {option.attribute: f"--{option.name}" for option in OPTIONS}
    places |= {option.attribute: place for option, place, _ in (*in_file, *given)}
    return MockOptions(**values, places=places)


def _read(values: Iterable[_Value], problems: list[str]) -> dict[str, Any]:
    """Return the values by attribute; a later one takes precedence."""
    found: dict[str, Any] = {}
    for option, place, value in values:
        try:
            found[option.attribute] = option.read(value)
        except ValueError as error:
            problems.append(f"{place}: {error}")
    return found


def _file(given: Path | None, problems: list[str]) -> Iterator[_Value]:
    path = given or Path(FILE)
    if not given and not path.is_file():
        return
    import tomllib

    try:
        text = path.read_text("utf-8-sig")
        data = tomllib.loads(text)
    except OSError as error:
        problems.append(f"{path}: cannot be read: {reason(error)}")
        return
    except RecursionError:
        problems.append(f"{path}: is nested too deeply")
        return
    except ValueError as error:  # the text is not UTF-8 or not TOML
        problems.append(f"{path}: is not valid TOML: {error}")
        return
    for name, value in data.items():
        place = f"{path}:{_line(text, name)}"
        if name not in _BY_NAME:
            problems.append(f"{place}: {name!r} is not an option; {suggest(name, _BY_NAME)}")
        elif _BY_NAME[name].reader is Path and isinstance(value, str) and value:
            yield _BY_NAME[name], f"{place} {name}", path.parent / value
        else:
            yield _BY_NAME[name], f"{place} {name}", value


def _line(text: str, name: str) -> int:
    found = re.search(rf"^[ \t]*\[*[ \t]*[\"']?{re.escape(name)}\b", text, re.MULTILINE)
    return text.count("\n", 0, found.start()) + 1 if found else 1
