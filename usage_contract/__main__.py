"""The command `usage-contract`: print the effective OpenAPI document of a level, or validate all levels."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from usage_contract.levels import LEVELS, Level
from usage_contract.suggestions import suggest

FORMATS = ("yaml", "json")
PLACE = "folder with openapi.yaml and both overlays, or an OpenAPI file for the shipped overlays"

# The exit code of a command that an error has ended.
FAILED = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, or 4 for a bad option and for documents that cannot be used."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0].startswith("-") and given[0] not in {"--help", "--version"}:
        given.insert(0, "show")
    try:
        code = command.main(given or ["--help"], prog_name="usage-contract", standalone_mode=False)
    except click.UsageError as error:
        return _report(error.format_message())
    except SystemExit:  # click exits like this when the reader of a pipe has closed it
        return 0
    except OSError as error:
        _discard_output()
        return _report(f"standard output: cannot be written: {error.strerror}")
    return int(code or 0)


def _one_of(kind: str, names: Sequence[str]) -> Callable[[click.Context, click.Parameter, str], str]:
    def check(_: click.Context, parameter: click.Parameter, value: str) -> str:
        if value not in names:
            raise click.UsageError(f"{parameter.opts[0]}: {value!r} is not a {kind}; {suggest(value, names)}")
        return value

    return check


@click.group(context_settings={"help_option_names": ["--help"], "max_content_width": 100})
@click.version_option(package_name="usage-contract", message="%(prog)s %(version)s")
def command() -> None:
    """Print or validate the contract. Options without a command are those of `show`."""


@command.command()
@click.option(
    "--level",
    default="documented",
    metavar="LEVEL",
    callback=_one_of("level", LEVELS),
    help="specified, documented or advisory (default: documented)",
)
@click.option(
    "--format",
    "output",
    default="yaml",
    metavar="FORMAT",
    callback=_one_of("format", FORMATS),
    help="yaml or json (default: yaml)",
)
@click.option("--documents", type=click.Path(path_type=Path), metavar="PATH", help=PLACE)
def show(level: Level, output: str, documents: Path | None) -> int:
    """Print the effective OpenAPI document of a level on standard output."""
    from usage_contract.contract import load
    from usage_contract.sources import as_yaml

    try:
        document = load(level, documents).document
    except _errors() as error:
        return _report(str(error))
    _write(json.dumps(document, indent=2, ensure_ascii=False) + "\n" if output == "json" else as_yaml(document))
    return 0


@command.command(help=f"Validate the documents of every level and their examples. PATH is a {PLACE}.")
@click.argument("documents", required=False, type=click.Path(path_type=Path), metavar="[PATH]")
def validate(documents: Path | None) -> int:
    from usage_contract.contract import load
    from usage_contract.validation import check

    reported: list[str] = []
    for level in LEVELS:
        try:
            contract = load(level, documents)
            check(contract)
        except _errors() as error:
            reported += [line for line in str(error).splitlines() if line not in reported]
            continue
        operations, schemas = contract.operations, contract.document.get("components", {}).get("schemas", {})
        _write(f"{level}: valid; operations: {', '.join(operations)}; schemas: {', '.join(schemas)}\n")
    return _report("\n".join(reported)) if reported else 0


def _errors() -> tuple[type[Exception], ...]:
    from usage_contract import ContractError, SourceError

    return ContractError, SourceError


def _write(text: str) -> None:
    """Write UTF-8 to standard output in any locale; a closed standard output gets nothing."""
    if sys.stdout is not None:
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()


def _discard_output() -> None:
    """Keep the interpreter from writing to standard output when it exits."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _report(text: str) -> int:
    for line in text.splitlines():
        click.echo(f"usage-contract: {line}", err=True)
    return FAILED


if __name__ == "__main__":
    sys.exit(main())
