"""The README, tox, CI and the folders of the tests have the same tiers."""

from __future__ import annotations

import configparser
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.support.readme import CHECKOUT, SHELL
from tests.support.tiers import DECISIVE, EVERYDAY, TIERS

WORKFLOW = CHECKOUT / ".github" / "workflows" / "ci.yml"
COMMANDS = [line.removeprefix("+ ") for line in (CHECKOUT / ".ci" / "run").read_text().splitlines()]


def tox() -> configparser.ConfigParser:
    """Return the configuration of tox."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(CHECKOUT / "tox.ini")
    return parser


def jobs() -> dict[str, Any]:
    """Return the jobs of the workflow."""
    found: dict[str, Any] = YAML(typ="safe").load(WORKFLOW.read_text())["jobs"]
    return found


def test_ci_runs_the_second_command_of_the_readme() -> None:
    assert SHELL[1].strip() in COMMANDS
    assert tox()["tox"]["env_list"] == "lint, types, tests"


def test_ci_runs_the_decisive_tiers_that_the_second_command_leaves_out() -> None:
    assert f'-m "{EVERYDAY}"' in tox()["testenv:tests"]["commands"]
    assert f".venv/bin/tox -e {','.join(DECISIVE)}" in COMMANDS
    assert f"testenv:{{{','.join(DECISIVE)}}}" in tox()
    assert tuple(TIERS) == (*DECISIVE, "generators", "image")


def test_every_tier_is_a_folder_of_tests() -> None:
    for section in (f"testenv:{{{','.join(DECISIVE)}}}", "testenv:generators", "testenv:image"):
        assert "-o testpaths=tests/{env_name} -m {env_name}" in tox()[section]["commands"]
    for tier in TIERS:
        assert list((CHECKOUT / "tests" / tier).glob("test_*.py"))


def test_the_workflow_runs_the_same_environments() -> None:
    assert jobs()["tests"]["steps"][-1]["run"] == "tox"
    assert jobs()["tiers"]["strategy"]["matrix"]["tier"] == list(DECISIVE)
    assert jobs()["tiers"]["steps"][-1]["run"] == "tox -e ${{ matrix.tier }}"
    assert jobs()["generators"]["steps"][-1]["run"] == "tox -e generators"


def test_the_generators_are_pinned_and_name_no_registry() -> None:
    folder = CHECKOUT / "tests" / "generators"
    packages = json.loads((folder / "package.json").read_text())["dependencies"]
    locked = json.loads((folder / "package-lock.json").read_text())["packages"]
    assert all(locked[f"node_modules/{name}"]["version"] == version for name, version in packages.items())
    assert not [name for name, package in locked.items() if "resolved" in package]
    assert all("==" in line for line in (folder / "requirements.txt").read_text().splitlines())


def test_the_workflow_is_valid() -> None:
    command = [str(Path(sys.executable).with_name("check-jsonschema")), "--builtin-schema", "vendor.github-workflows"]
    done = subprocess.run([*command, str(WORKFLOW)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
