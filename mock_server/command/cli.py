"""The command `usage-mock`: serve a deployment, or run one of the COMMANDS.

This module only parses: `--help` and a bad option do not wait for the imports of the server.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from mock_server.command.option_sources import read_options
from mock_server.options import OPTIONS, SWITCH_VALUES, Option, OptionError
from mock_server.streams import prepare_streams, report
from mock_server.suggestions import suggest

# The commands, each with the name of its argument and whether the argument is required.
COMMANDS = {"check": "[DIR]", "init": "DIR", "capture": "", "health": ""}
USAGE = " | ".join(f"{name} {argument}".strip() for name, argument in COMMANDS.items())

BASE_URL = click.Option(
    ["--base-url"],
    metavar="URL",
    help="deployment that capture sends one request to, with the API key in CONTRACT_API_KEY",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, or 4 where an error has ended it."""
    prepare_streams()
    command = click.Command(
        "usage-mock",
        callback=_run,
        params=[*map(_parameter, OPTIONS), BASE_URL, click.Argument(["command"], nargs=-1, metavar=f"[{USAGE}]")],
        help="Serve a mock of GET /usage. Commands: check (validates a fixture folder), "
        "init (writes a deployment file), capture (prints one from --base-url), "
        "health (finds a running mock with these options).",
        epilog="Environment variables such as USAGE_MOCK_PORT, and the file usage-mock.toml, set the same options.",
        context_settings={"help_option_names": ["--help"], "max_content_width": 100},
    )
    click.version_option(package_name="usage-contract", message="%(prog)s %(version)s")(command)
    try:
        code = command.main(arguments, prog_name="usage-mock", standalone_mode=False)
    except click.UsageError as error:
        return report(error.format_message())
    except OptionError as error:
        return report(str(error))
    return int(code or 0)


@contextmanager
def _lean_imports() -> Iterator[None]:
    """Keep imports from loading data that the mock does not use.

    aiohttp reads the certificates of the system for its client (2 MiB).
    jsonschema imports `arrow`, through `isoduration`, for the format `duration` (3 MiB).
    """
    names = ("SSL_CERT_FILE", "SSL_CERT_DIR")
    given = {name: os.environ[name] for name in names if name in os.environ}
    os.environ.update(dict.fromkeys(names, os.devnull))
    sys.modules.setdefault("isoduration", None)  # type: ignore[arg-type]  # None lets its import fail
    try:
        yield
    finally:
        if sys.modules["isoduration"] is None:
            del sys.modules["isoduration"]
        for name in names:
            del os.environ[name]
        os.environ.update(given)


def _parameter(option: Option) -> click.Option:
    default = ("on" if option.default else "off") if option.is_switch else option.default
    text = option.help if default is None else f"{option.help} (default: {default})"
    if option.is_switch:
        return click.Option([f"--{option.name}/--no-{option.name}"], default=None, help=text)
    names, metavar = [f"--{option.name}"], option.metavar
    return click.Option(names, metavar=metavar, type=click.UNPROCESSED, help=text, multiple=option.repeats)


def _run(command: tuple[str, ...], base_url: str | None, **values: Any) -> int:
    given = {name: value for name, value in values.items() if value not in (None, ())}
    name, argument = _parse(command)
    if name == "capture" and base_url is None:
        raise OptionError(["capture: --base-url is missing; expected capture --base-url URL"])
    if name != "capture" and base_url is not None:
        raise OptionError(["--base-url: belongs to the command capture; expected capture --base-url URL"])
    options = read_options(given, os.environ)
    if name == "health":
        from mock_server.command.health import check_health

        return check_health(options)
    if base_url is not None:
        from mock_server.command.capture import capture

        return capture(base_url, os.environ)
    with _lean_imports():
        from mock_server.command.check import check
        from mock_server.command.serve import serve
    if name == "init":
        from mock_server.command.init import init

        return init(Path(argument))
    if name == "check":
        fixtures = Path(argument) if argument else options.fixture_folder
        if fixtures is None:
            raise OptionError(["check: a folder is missing; expected check DIR or --fixtures DIR check"])
        return check(fixtures)
    return serve(options)


def _parse(command: tuple[str, ...]) -> tuple[str, str]:
    """Return the name of a command and its argument; both are empty for the server.

    Raises:
        OptionError: The command is unknown, or has another number of arguments.
    """
    name, argument = (*command, "", "")[:2]
    if name and name not in COMMANDS:
        is_value = name.lower() in SWITCH_VALUES  # of `--cors off`, as the environment and the file have it
        hint = "a switch has no value: --NAME or --no-NAME" if is_value else suggest(name, COMMANDS)
        raise OptionError([f"{name!r}: unknown command; {hint}"])
    if unexpected := command[2 if COMMANDS.get(name) else 1 :]:
        raise OptionError([f"{unexpected[0]!r}: unexpected argument; expected {USAGE}"])
    if not argument and COMMANDS.get(name) == "DIR":
        raise OptionError([f"{name}: an argument is missing; expected {name} {COMMANDS[name]}"])
    return name, argument
