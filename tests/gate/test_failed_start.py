"""A run that cannot start is reported in every output, and no output of an earlier run remains."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from tests.support.gate import Respond, Run, http_response
from tests.support.readme import CHECKOUT

RunGate = Callable[..., Run]
SECRET = "k3y-0f-a-very-secret-kind"
BASE_URL = ("--base-url", "http://127.0.0.1:1")
NAMES = ("contract.json", "contract.md", "contract.html")
SCHEMA = json.loads(files("contract_tests.reports").joinpath("report.schema.json").read_text())

FAILED_STARTS: dict[str, tuple[tuple[str, ...], dict[str, str], str]] = {
    "empty secret": (BASE_URL, {"CONTRACT_API_KEY": ""}, "no key: set CONTRACT_API_KEY"),
    "short secret": (BASE_URL, {"CONTRACT_API_KEY": "k1"}, "key 1 has fewer than 4 characters"),
    "bad option": ((*BASE_URL, "--max-rate", "fast"), {"CONTRACT_API_KEY": SECRET}, "fast is not a positive number"),
    "key instead of a path": (
        BASE_URL,
        {"CONTRACT_API_KEY_FILE": SECRET},
        "CONTRACT_API_KEY_FILE: the file (not shown",
    ),
    "key as another option": (
        (*BASE_URL, "--api-key-file", "keys.txt", "--rule", SECRET),
        {},
        "--rule: <redacted:1> is not a rule",
    ),
    "key of a misspelt variable": (
        (*BASE_URL, "--rule", SECRET),
        {"CONTRACT_APIKEY": SECRET},
        "--rule: <redacted:1> is",
    ),
    "unknown option": ((*BASE_URL, f"--token={SECRET}"), {}, "unrecognized arguments: --token"),
    "mistyped option": ((*BASE_URL, "--api-keys", SECRET), {}, "unknown option --api-keys"),
    "bad address": (
        ("--base-url", f"http://u:{SECRET}@h"),
        {"CONTRACT_API_KEY": "main-key"},
        "--base-url: a user name or password",
    ),
    "missing deviation file": (
        (*BASE_URL, "--known-deviations", "none.toml"),
        {"CONTRACT_API_KEY": SECRET},
        "none.toml",
    ),
    "missing CA": ((*BASE_URL, "--ca-file", "none.pem"), {"CONTRACT_API_KEY": SECRET}, "--ca-file: none.pem"),
    "unknown profile": (("--hypothesis-profile", "quick"), {}, "--hypothesis-profile: quick is not a profile"),
    "processes": (("-n", "2"), {}, "-n, --tx: the rules share one process"),
    "missing file": (("nowhere/test_auth.py",), {}, "file or directory not found: nowhere/test_auth.py"),
    "traced": (("--debug",), {}, "--debug, PYTEST_DEBUG: pytest's own trace"),
}


def write_reports_of_an_earlier_run(folder: Path) -> None:
    (folder / "out").mkdir()
    for path in (*(folder / "out" / name for name in NAMES), folder / "junit.xml"):
        path.write_text("an earlier green run")


@pytest.mark.parametrize("how", FAILED_STARTS)
def test_a_run_that_cannot_start_is_reported_in_every_output(how: str, run_gate: RunGate, tmp_path: Path) -> None:
    arguments, environment, reason = FAILED_STARTS[how]
    write_reports_of_an_earlier_run(tmp_path)
    (tmp_path / "keys.txt").write_text(f"{SECRET}\n")
    github = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": "summary.md"}
    run = run_gate(*arguments, "--report-dir", "out", environment=environment | github)
    assert run.code == 4
    assert "pytest has collected no rules" not in run.output  # which is not the reason
    report = json.loads((tmp_path / "out" / "contract.json").read_text())
    Draft202012Validator(SCHEMA, format_checker=FormatChecker()).validate(report)
    assert (report["verdict"], report["exit_code"]) == ("could not be tested", 4)
    assert " could not be tested: " in report["headline"]
    assert reason in report["headline"]
    summary = (tmp_path / "summary.md").read_text()
    assert summary.count("# ? Could not be tested") == 1
    for text in ((tmp_path / "out" / "contract.md").read_text(), (tmp_path / "out" / "contract.html").read_text()):
        assert "Could not be tested" in text
    (line,) = re.findall("^::.*", run.output, re.MULTILINE)
    assert line.startswith("::error title=contract gate::")
    assert "could not be tested" in line
    (error,) = ElementTree.parse(tmp_path / "junit.xml").iter("error")
    assert reason in error.attrib["message"]
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file() and path.name != "keys.txt"]
    assert not any("an earlier green run" in text or SECRET in text for text in written)


def test_a_run_without_a_first_200_response_is_an_error_in_junit(
    run_gate: RunGate, serve: Callable[[Respond], str], tmp_path: Path
) -> None:
    write_reports_of_an_earlier_run(tmp_path)
    url = serve(lambda _: http_response(b"{}", "404 Not Found"))
    assert run_gate("--base-url", url, environment={"CONTRACT_API_KEY": SECRET}).code == 4
    (error,) = ElementTree.parse(tmp_path / "junit.xml").iter("error")
    assert "the first response is 404" in error.attrib["message"]


def test_a_run_that_cannot_start_prints_no_annotation_outside_github(run_gate: RunGate) -> None:
    run = run_gate("--hypothesis-profile", "quick")
    assert run.code == 4
    assert "::error" not in run.output


def test_documents_that_cannot_be_used_are_reported_with_their_position(tmp_path: Path) -> None:
    for name in ("contract_tests", "fixtures", "mock_server", "openapi", "usage_contract", "usage_contract_pytest"):
        shutil.copytree(CHECKOUT / name, tmp_path / name)
    path = tmp_path / "openapi" / "openapi.yaml"
    path.write_text(path.read_text().replace("description: Invalid API key.", "x-description: none"))
    for options in ([], [*BASE_URL, "--api-key", SECRET]):
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "contract_tests", *options]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        problem = "/paths/~1usage/get/responses/403: lacks description; every response has a description"
        assert (done.returncode, f"ERROR: {path}:51 {problem}" in done.stderr) == (4, True), done.stdout + done.stderr
