"""The command `usage-contract`: its output, its exit codes and its messages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import pytest
from ruamel.yaml import YAML

from tests.support.readme import CHECKOUT
from usage_contract import LEVELS, __version__, load
from usage_contract.__main__ import command as group
from usage_contract.__main__ import main
from usage_contract.contract import shipped_documents

COMMAND = [sys.executable, "-m", "usage_contract"]


def parsed(text: str) -> Any:
    """Return the value of a YAML document; JSON is YAML, too."""
    return YAML(typ="safe", pure=True).load(text)


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    """A copy of the shipped documents."""
    return Path(shutil.copytree(shipped_documents(), tmp_path / "openapi"))


@pytest.mark.parametrize("arguments", [["show"], ["--format", "json"], ["show", "--format", "json"]])
@pytest.mark.parametrize("level", LEVELS)
def test_show_prints_the_effective_document(
    level: str, arguments: list[str], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main([*arguments, "--level", level]) == 0
    assert parsed(capfdbinary.readouterr().out.decode()) == load(level).document  # type: ignore[arg-type]


def test_show_prints_utf_8_in_any_locale() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    printed = subprocess.run([*COMMAND, "show"], capture_output=True, check=True, env=environment).stdout
    assert parsed(printed.decode()) == load("documented").document


def test_show_accepts_another_folder_or_another_document(
    documents: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = documents / "openapi.yaml"
    path.write_text(path.read_text().replace("version: 2.2.0", "version: 2.3.0 é"))
    for source in (documents, path):
        assert main(["show", "--format", "json", "--documents", str(source)]) == 0
        assert json.loads(capfdbinary.readouterr().out)["info"]["version"] == "2.3.0 é"


def test_validate_lists_the_operations_and_schemas_of_every_level(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["validate"]) == 0
    assert capfdbinary.readouterr().out.decode().splitlines() == [
        "specified: valid; operations: get_usage; schemas: UsageResponse",
        "documented: valid; operations: get_usage, get_overview, get_health; schemas: UsageResponse, ErrorBody",
        "advisory: valid; operations: get_usage, get_overview, get_health; schemas: UsageResponse, ErrorBody",
    ]


CHANGES = {
    "a member that no longer exists": (
        "openapi.yaml",
        ("        fail:\n          type: integer\n          description: Failed requests.\n", ""),
        ["documented.overlay.yaml:35 /actions/3/target: target $.components.schemas.UsageResponse.properties.fail: "],
    ),
    "two members that no longer exist": (
        "openapi.yaml",
        ("        success:\n", "        succeeded:\n"),
        ["documented.overlay.yaml:31 /actions/2/target: target $.components.schemas.UsageResponse.properties.success"],
    ),
    "an example that is not valid": (
        "documented.overlay.yaml",
        ("total: 3459", "total: -1"),
        ["documented.overlay.yaml:182 /paths/~1usage/get/responses/200/content/application~1json/example/total: "],
    ),
    "a missing description": (
        "openapi.yaml",
        ("          description: Invalid API key.\n", ""),
        ["openapi.yaml:51 /paths/~1usage/get/responses/403: must be an object, not null"],
    ),
    "a version of overlays": (
        "advisory.overlay.yaml",
        ("1.1.0", "2.0.0"),
        ["advisory.overlay.yaml:1 /overlay: '2.0.0'"],
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_validate_reports_each_problem_once_and_exits_with_4(
    name: str, documents: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    file, (old, new), expected = CHANGES[name]
    path = documents / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    assert main(["validate", str(documents)]) == 4
    lines = capfdbinary.readouterr().err.decode().splitlines()
    for line, start in zip(lines, expected, strict=True):
        assert line.startswith(f"usage-contract: {documents}/{start}")


def test_show_reports_documents_that_cannot_be_used(documents: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    (documents / "openapi.yaml").write_text("openapi: 3.1.0\ninfo: {title: t, version: v}\n")
    assert main(["--documents", str(documents)]) == 4
    out, error = capfdbinary.readouterr()
    advice = "add the operations of the API"
    assert (out, error.decode()) == (b"", f"usage-contract: {documents}/openapi.yaml:1: lacks paths; {advice}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--level", "documentd"], "--level: 'documentd' is not a level; did you mean 'documented'?"),
        (["show", "--format", "xml"], "--format: 'xml' is not a format; valid: yaml, json"),
        (["--levl", "advisory"], "No such option '--levl'."),
        (["show", "--level"], "Option '--level' requires an argument."),
        (["sow"], "No such command 'sow'. Did you mean 'show'?"),
        (["show", "more"], "Got unexpected extra argument (more)"),
        (["validate", "nowhere"], "nowhere/openapi.yaml: cannot be read: No such file or directory"),
    ],
)
def test_an_invalid_option_is_reported_in_one_line_with_exit_code_4(
    arguments: list[str], message: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(arguments) == 4
    out, error = capfdbinary.readouterr()
    (line,) = error.decode().splitlines()
    assert (out, line.startswith(f"usage-contract: {message}")) == (b"", True), line


@pytest.mark.parametrize("arguments", [["show"], ["validate"], ["--help"]])
def test_a_closed_pipe_is_silent(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*COMMAND, *arguments], stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [["show"], []])
def test_a_closed_standard_output_is_silent(arguments: list[str]) -> None:
    command = ["bash", "-c", '"$@" >&-', "bash", *COMMAND, *arguments]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_output_that_cannot_be_written_is_reported() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*COMMAND, "show"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 4
    assert done.stderr == "usage-contract: standard output: cannot be written: No space left on device\n"


def test_every_command_and_option_is_documented() -> None:
    page = (CHECKOUT / "docs" / "contract.md").read_text()
    for command in group.commands.values():
        assert f"usage-contract {command.name}" in page
        for option in (option for option in command.params if isinstance(option, click.Option)):
            assert option.opts[0] in page


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"usage-contract {__version__}\n"
    assert __version__ == version("usage-contract")


def test_the_command_alone_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    alone = capsys.readouterr()
    assert main(["--help"]) == 0
    assert alone == capsys.readouterr()
    assert alone.out.startswith("Usage: usage-contract [OPTIONS] COMMAND")


def test_help_lists_the_commands_and_imports_no_yaml_parser() -> None:
    code = (
        "import sys\nfrom usage_contract.__main__ import main\nassert main(['--help']) == 0\n"
        "assert not {'ruamel', 'jsonpath', 'jsonschema'} & sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "show" in done.stdout and "validate" in done.stdout
