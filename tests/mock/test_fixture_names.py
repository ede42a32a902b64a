"""Fixture files end in `.yaml` or `.yml`; two files with the same name are rejected."""

from __future__ import annotations

from pathlib import Path

import pytest

from mock_server import load_deployment
from mock_server.command.cli import main
from mock_server.fixtures.faults import load_fault
from mock_server.fixtures.scenarios import load_scenario

FILES = {
    "deployments": "description: d\nkeys: {k: {}}\n",
    "scenarios": "description: d\nkey: {}\n",
    "faults": "description: d\nbreaks: []\n",
}


@pytest.fixture
def fixtures(tmp_path: Path) -> Path:
    """A folder whose files all end in `.yml`."""
    for kind, text in FILES.items():
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "one.yml").write_text(text)
    return tmp_path


def test_files_that_end_in_yml_are_read(fixtures: Path) -> None:
    assert list(load_deployment("one", fixtures).keys) == ["k"]
    assert load_scenario("one", fixtures).key == {}
    assert load_fault("one", fixtures).breaks == ()


def test_check_counts_files_that_end_in_yml(fixtures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(fixtures)]) == 0
    assert capsys.readouterr().out.splitlines() == [f"1 of 1 {kind} are valid" for kind in FILES]


@pytest.mark.parametrize("kind", FILES)
def test_two_files_with_the_same_name_are_rejected(
    fixtures: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    (fixtures / kind / "one.yaml").write_text(FILES[kind])
    assert main(["check", str(fixtures)]) == 4
    assert f"{kind}/one.yaml: has the same name as one.yml" in capsys.readouterr().err
