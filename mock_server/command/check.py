"""The command `usage-mock check`: validate every file of a fixture folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from mock_server.command.errors import report
from mock_server.command.user_errors import reporting
from mock_server.fixtures.deployments import deployment_names, load_deployment
from mock_server.fixtures.faults import FOLDERS, load_fault
from mock_server.fixtures.files import KINDS, SUFFIXES, check_folder, fixture_files, shipped_fixtures, yaml_files
from mock_server.fixtures.library import Library
from mock_server.fixtures.problems import text_of
from mock_server.fixtures.scenarios import load_scenario
from mock_server.fixtures.validation import FixtureError
from mock_server.streams import write_output
from usage_contract.suggestions import closest_match


@reporting
def check(fixtures: Path | None) -> int:
    """Validate every file of a fixture folder, name those that shadow shipped ones, and return the exit code."""
    check_folder(fixtures)
    root = fixtures or shipped_fixtures()
    names = deployment_names(fixtures)  # an empty folder of deployments has an error of its own
    libraries: list[Library] = []  # one for each valid deployment
    for name in names:
        with suppress(FixtureError):  # reported below
            libraries.append(Library(load_deployment(name, fixtures), fixtures))
    checks: Mapping[tuple[str, ...], Callable[[str], object]] = {
        ("deployments",): lambda name: load_deployment(name, fixtures),
        ("scenarios",): lambda name: _bind(load_scenario(name, fixtures).name, Library.scenario, libraries),
        FOLDERS: lambda name: _bind(load_fault(name, fixtures).name, Library.fault, libraries),
    }
    code, reported = 0, set[str]()  # a problem of a fault is also one of the scenarios that have it
    for folders, check_one in checks.items():
        own = {path.stem: path for each in folders for path in yaml_files(root / each).values()}
        shipped, invalid = fixture_files(None, *folders), 0
        for name, path in sorted(own.items()):
            try:
                check_one(name)
            except FixtureError as error:
                invalid, text = invalid + 1, text_of(error)
                code = code if text in reported else report(text)
                reported.add(text)
            if folders != ("deployments",) and shipped.get(name, path.absolute()) != path.absolute():
                write_output(f"{path} replaces the shipped file {shipped[name].parent.name}/{shipped[name].name}\n")
        if own:
            write_output(f"{len(own) - invalid} of {len(own)} {folders[0]} are valid\n")
    for line in _unread(root):
        write_output(f"{line}\n")
    return code


def _unread(fixtures: Path) -> Iterator[str]:
    """Yield a line for each file or folder that looks like a fixture and that the mock does not read."""
    for path in sorted(fixtures.iterdir()):
        if path.is_dir() and path.name not in KINDS and (match := closest_match(path.name, KINDS)):
            yield f"{path} is not read; did you mean {match}?"
        if path.name.endswith(SUFFIXES) and not path.name.startswith("."):
            yield f"{path} is not read; move it to one of the folders {', '.join(KINDS)}"
    for path in sorted(path for kind in KINDS for path in (fixtures / kind).glob("*.json")):
        yield f"{path} is not read; rename it to {path.stem}.yaml"


def _bind(name: str, bind: Callable[[Library, str], object], libraries: Sequence[Library]) -> None:
    """Bind a scenario or fault to the keys of each deployment, and name the deployments that it does not fit.

    Raises:
        FixtureError: It fits none of the deployments.
    """
    errors: list[FixtureError] = []
    for library in libraries:
        try:
            bind(library, name)
        except FixtureError as error:
            errors.append(error)
    if errors and len(errors) == len(libraries):
        raise errors[0]
    for misfit in errors:
        write_output(f"{text_of(misfit)}\n")
