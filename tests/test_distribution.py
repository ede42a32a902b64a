"""The constraints file, the classifiers and the environments of tox agree with the dependencies."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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
    wanted = Requirement(required)
    (pin,) = by_name[canonicalize_name(wanted.name)].specifier
    assert pin.operator == "=="
    assert pin.version in wanted.specifier


def test_the_constraints_name_the_documented_command() -> None:
    (command,) = re.findall(r"^#    (uv pip compile .*)$", CONSTRAINTS, re.MULTILINE)
    assert command in (CHECKOUT / "CONTRIBUTING.md").read_text()


def test_tox_and_ci_run_each_version_of_the_classifiers() -> None:
    factors = [f"py{version.replace('.', '')}" for version in VERSIONS]
    assert f"testenv:tests-{{{','.join(factors)}}}" in tox()
    assert set(VERSIONS) <= set(jobs()["tests"]["strategy"]["matrix"]["python"])
    assert PROJECT["requires-python"] == f">={VERSIONS[0]}"
