"""The constraints file, the classifiers, tox, the image and the composition agree with the package."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from mock_server.command.option_sources import read_options
from tests.support.readme import CHECKOUT
from tests.test_tiers import jobs, tox

PROJECT: dict[str, Any] = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
CONSTRAINTS = (CHECKOUT / "constraints.txt").read_text()
REQUIRED = [*PROJECT["dependencies"], *(each for extra in PROJECT["optional-dependencies"].values() for each in extra)]
VERSIONS = [name.rpartition(" ")[2] for name in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", name)]


@pytest.mark.parametrize("required", REQUIRED)
def test_each_dependency_is_constrained_to_a_version_that_it_allows(required: str) -> None:
    pinned = [Requirement(line) for line in CONSTRAINTS.splitlines() if not line.startswith("#")]
    by_name = {canonicalize_name(each.name): each for each in pinned}
    requirement = Requirement(required)
    (pin,) = by_name[canonicalize_name(requirement.name)].specifier
    assert pin.operator == "=="
    assert pin.version in requirement.specifier


def test_the_constraints_name_the_documented_command() -> None:
    (command,) = re.findall(r"^#    (uv pip compile .*)$", CONSTRAINTS, re.MULTILINE)
    assert command in (CHECKOUT / "CONTRIBUTING.md").read_text()


def test_tox_and_ci_run_each_version_of_the_classifiers() -> None:
    factors = [f"py{version.replace('.', '')}" for version in VERSIONS]
    assert f"testenv:tests-{{{','.join(factors)}}}" in tox()
    assert set(VERSIONS) <= set(jobs()["tests"]["strategy"]["matrix"]["python"])
    assert PROJECT["requires-python"] == f">={VERSIONS[0]}"


def test_the_composition_is_valid() -> None:
    command = [str(Path(sys.executable).with_name("check-jsonschema")), "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, CHECKOUT / "compose.yaml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_composition_sets_options_of_the_mock() -> None:
    services: dict[str, Any] = YAML(typ="safe").load((CHECKOUT / "compose.yaml").read_text())["services"]
    mocks = {name: service for name, service in services.items() if service["image"] == "usage-mock"}
    assert set(mocks) == {"mock", "several"}
    assert {name for name, service in services.items() if "profiles" not in service} == {"mock"}
    options = {name: read_options({}, service["environment"]) for name, service in mocks.items()}
    assert options["mock"].state is None
    assert options["several"].state == "redis://state"
    assert mocks["several"]["scale"] == 3


def test_the_image_copies_each_package_and_the_data_of_the_wheel() -> None:
    wheel = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    copied = re.findall(r"^COPY (\w+) \1$", (CHECKOUT / "Containerfile").read_text(), re.MULTILINE)
    assert copied == [*wheel["packages"], *wheel["force-include"]]
