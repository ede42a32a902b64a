"""Redocly and Spectral find no error in any document, and another engine creates the same documents."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mock_server.control.document import document_as_yaml
from tests.generators.conftest import node_tool, python_tool, succeed, write_level
from usage_contract import LEVELS, load, read_document
from usage_contract.contract import shipped_documents

Lint = Callable[[Path], "subprocess.CompletedProcess[str]"]


def spectral(document: Path) -> subprocess.CompletedProcess[str]:
    """Run Spectral with its rules for OpenAPI."""
    (document.parent / "ruleset.yaml").write_text('extends: ["spectral:oas"]\n')
    options = ("--ruleset", "ruleset.yaml", "--fail-severity", "error")
    return node_tool("spectral", "lint", document, *options, folder=document.parent)


def redocly(document: Path) -> subprocess.CompletedProcess[str]:
    """Run Redocly with its recommended rules."""
    return node_tool("redocly", "lint", document, "--extends", "recommended", folder=document.parent)


LINTERS: dict[str, Lint] = {"spectral": spectral, "redocly": redocly}


@pytest.mark.parametrize("name", LINTERS)
@pytest.mark.parametrize("level", [*LEVELS, "control"])
def test_a_linter_finds_no_error(level: str, name: str, tmp_path: Path) -> None:
    document = next((write_level(each, tmp_path) for each in LEVELS if each == level), tmp_path / "control.yaml")
    if level == "control":
        document.write_text(document_as_yaml())
    succeed(LINTERS[name](document))


@pytest.mark.parametrize("name", LINTERS)
def test_a_linter_finds_a_missing_description(name: str, tmp_path: Path) -> None:
    document = write_level("documented", tmp_path)
    described = json.loads(document.read_text())
    del described["paths"]["/usage"]["get"]["responses"]["401"]["description"]
    document.write_text(json.dumps(described))
    assert LINTERS[name](document).returncode == 1


def test_another_overlay_engine_creates_the_same_documents(tmp_path: Path) -> None:
    result = shipped_documents() / "openapi.yaml"
    for level in LEVELS[1:]:
        output = tmp_path / f"{level}.yaml"
        overlay = shipped_documents() / f"{level}.overlay.yaml"
        succeed(python_tool("oas-patch", "overlay", result, overlay, "-o", output, folder=tmp_path))
        assert read_document(output).data == load(level).document
        result = output
