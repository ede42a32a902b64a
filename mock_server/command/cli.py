"""The command `usage-mock`: serve a deployment, or run one of its commands.

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

from mock_server.command.errors import report
from mock_server.command.option_sources import read_options
from mock_server.options import OPTIONS, SWITCH_VALUES, MockOptions, Option, OptionError, seconds
from mock_server.streams import output_error, prepare_streams
from usage_contract.suggestions import suggest


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, or 4 where an error has ended it."""
    prepare_streams()
    try:
        code = command.main(arguments, prog_name="usage-mock", standalone_mode=False)
    except click.UsageError as error:
        of_command = f"{error.ctx.info_name}: " if error.ctx and error.ctx.parent else ""
        return report(of_command + error.format_message())
    except OptionError as error:
        return report(str(error))
    except OSError as error:  # of the text that click prints; a command reports its own errors
        return report(str(output_error(error)))
    return int(code or 0)


class _Group(click.Group):
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self.commands:
            is_value = name.lower() in SWITCH_VALUES  # of `--cors off`, as the environment and the file have it
            hint = "a switch has no value: --NAME or --no-NAME" if is_value else suggest(name, self.commands)
            raise click.UsageError(f"{name!r}: unknown command; {hint}")
        return super().resolve_command(ctx, args)


def _parameter(option: Option, *, hidden: bool = False) -> click.Option:
    default = ("on" if option.default else "off") if option.is_switch else option.default
    text = option.help if default is None else f"{option.help} (default: {default})"
    if option.is_switch:
        return click.Option([f"--{option.name}/--no-{option.name}"], default=None, help=text, hidden=hidden)
    names, metavar, repeats = [f"--{option.name}"], option.metavar, option.repeats
    return click.Option(names, metavar=metavar, type=click.UNPROCESSED, help=text, multiple=repeats, hidden=hidden)


def _parameters(*shown: str) -> list[click.Parameter]:
    """Return all options, also those that the help of a command hides: each is valid before and after its name."""
    return [_parameter(option, hidden=option.attribute not in shown) for option in OPTIONS]


def _base_url(*, hidden: bool = False) -> click.Option:
    text = "deployment that receives one request, with the API key in CONTRACT_API_KEY"
    return click.Option(["--base-url"], metavar="URL", help=text, hidden=hidden)


def _folder(text: str) -> Path:
    if not text:  # an unset variable of a script must not mean the working directory
        raise click.UsageError("DIR: is empty")
    return Path(text)


@click.group(
    cls=_Group,
    invoke_without_command=True,
    subcommand_metavar="[COMMAND [ARGS]...]",
    params=[*map(_parameter, OPTIONS), _base_url(hidden=True)],
    epilog="Environment variables such as USAGE_MOCK_PORT, and the file usage-mock.toml, set the same options.",
    context_settings={"help_option_names": ["--help"], "max_content_width": 100},
)
@click.version_option(package_name="usage-contract", message="%(prog)s %(version)s")
@click.pass_context
def command(context: click.Context, /, base_url: str | None, **_: Any) -> int:
    """Serve a mock of GET /usage, or run a command."""
    if base_url is not None and context.invoked_subcommand != "capture":
        raise OptionError(["--base-url: belongs to the command capture; expected capture --base-url URL"])
    if context.invoked_subcommand:
        return 0
    options = _read(context)
    with _lean_imports():
        from mock_server.command import serve
    return serve.serve(options)


@command.command(params=_parameters("config", "fixtures"))
@click.argument("folder", required=False, type=_folder, metavar="[DIR]")
@click.pass_context
def check(context: click.Context, /, folder: Path | None, **_: Any) -> int:
    """Validate a fixture folder: DIR, or that of --fixtures."""
    options = _read(context)
    folder = folder or options.fixture_folder
    if folder is None:
        raise OptionError(["check: a folder is missing; expected check DIR or check --fixtures DIR"])
    with _lean_imports():
        from mock_server.command import check
    return check.check(folder)


@command.command(params=_parameters("config", "fixtures"))
@click.argument("text", default="")
@click.pass_context
def faults(context: click.Context, /, text: str, **_: Any) -> int:
    """List the faults and variants, or those that contain TEXT."""
    options = _read(context)
    with _lean_imports():
        from mock_server.command.faults import list_faults
    return list_faults(options.fixture_folder, text)


@command.command(params=_parameters())
@click.argument("folder", type=_folder, metavar="DIR")
@click.pass_context
def init(context: click.Context, /, folder: Path, **_: Any) -> int:
    """Write a deployment file and its schema to the folder DIR."""
    _read(context)
    from mock_server.command import init

    return init.init(folder)


@command.command(params=[_base_url(), *_parameters()])
@click.pass_context
def capture(context: click.Context, /, base_url: str | None, **_: Any) -> int:
    """Print a deployment file of a real deployment. Its usage metrics are those of one response."""
    _read(context)
    url = base_url or context.find_root().params["base_url"]
    if url is None:
        raise OptionError(["capture: --base-url is missing; expected capture --base-url URL"])
    from mock_server.command import capture

    return capture.capture(url, os.environ)


_WAIT = click.Option(["--wait"], metavar="SECONDS", default="0", help="time that a mock may take to start")


@command.command(params=[_WAIT, *_parameters("config", "host", "port", "tls_cert", "tls_key")])
@click.pass_context
def health(context: click.Context, /, wait: str, **_: Any) -> int:
    """Check that a mock with these options is running."""
    options = _read(context, "wait")
    try:
        limit = seconds(3600)(wait)
    except ValueError as error:
        raise OptionError([f"--wait: {error}"]) from None
    from mock_server.command import health

    return health.check_health(options, wait=limit)


def _read(context: click.Context, *own: str) -> MockOptions:
    """Return the options before and after the name of a command, without its own; one after it takes precedence."""
    given: dict[str, Any] = {}
    for level in dict.fromkeys((context.find_root(), context)):
        for name, value in level.params.items():
            if value not in (None, ()) and name not in own:
                given[name] = (*given.get(name, ()), *value) if isinstance(value, tuple) else value
    return read_options(given, os.environ)


@contextmanager
def _lean_imports() -> Iterator[None]:
    """Keep imports from loading data that the mock does not use, which takes about 0.1 s of CPU time.

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
