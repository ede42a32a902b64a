"""`usage-mock check` and the start of a mock accept the same fixture folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from mock_server import FixtureError, UsageMock, load_fault
from mock_server.command.cli import main

ONE_KEY = "description: d\nkeys: {my-key: {}}\n"
TWO_KEYS = "description: d\nkeys: {my-key: {}, other-key: {}}\n"
FAULT = "description: d\nbreaks: []\ndo:\n  - as: '{}'\n"


def write(folder: Path, **files: str) -> Path:
    """Write files, each by its path with `__` instead of `/`."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder


def checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Return the exit code of `check`, and its output without the folder."""
    code = main(["check", str(folder)])
    output, errors = capsys.readouterr()
    return code, output.replace(f"{folder}/", ""), errors.replace(f"{folder}/", "")


def test_check_rejects_a_role_that_no_deployment_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, deployments__default=ONE_KEY, faults__mine=FAULT.format("{secnd key}"))
    assert checked(tmp_path, capsys) == (
        4,
        "1 of 1 deployments are valid\n0 of 1 faults are valid\n",
        "usage-mock: faults/mine.yaml:4 /do/0/as: 'secnd key' is not a role of a key; did you mean 'second key'?\n",
    )


def test_check_rejects_the_scenario_of_a_fault_that_no_deployment_fits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, deployments__default=ONE_KEY, scenarios__mine="description: d\nfault: key-is-case-insensitive\n")
    write(tmp_path, faults__two="description: d\nbreaks: []\ndo:\n  - when: { key: second key }\n    status: 500\n")
    write(tmp_path, scenarios__mine="description: d\nfault: two\n")
    code, output, errors = checked(tmp_path, capsys)
    assert (code, "0 of 1 scenarios are valid" in output) == (4, True)
    assert "faults/two.yaml:4 /do/0/when/key: the deployment default has no second key" in errors


def test_check_accepts_a_fault_that_fits_one_of_the_deployments_and_names_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, deployments__one=ONE_KEY, deployments__two=TWO_KEYS, faults__mine=FAULT.format("{second key}"))
    code, output, errors = checked(tmp_path, capsys)
    assert (code, errors) == (0, "")
    assert output.splitlines() == [
        "2 of 2 deployments are valid",
        "faults/mine.yaml:4 /do/0/as: the deployment one has no second key, which the fault mine needs",
        "1 of 1 faults are valid",
    ]


def test_check_binds_faults_to_the_shipped_deployment_if_the_folder_has_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, faults__mine=FAULT.format("{second key}"))
    assert checked(tmp_path, capsys) == (0, "1 of 1 faults are valid\n", "")


def test_check_reports_a_fault_beside_an_invalid_deployment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, deployments__default="description: d\n", faults__mine="description: d\n")
    code, output, errors = checked(tmp_path, capsys)
    assert (code, output) == (4, "0 of 1 deployments are valid\n0 of 1 faults are valid\n")
    assert "deployments/default.yaml:1: 'keys' is missing" in errors
    assert "faults/mine.yaml:1: 'breaks' is missing" in errors


def test_a_folder_without_a_fixture_file_is_rejected_at_the_start_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "example").mkdir()
    folder = write(tmp_path / "example", deployments__default=ONE_KEY) / "deployments"
    problem = f"{folder}: has no fixture file; did you mean {tmp_path / 'example'}?"
    assert main(["check", str(folder)]) == 4
    assert capsys.readouterr().err == f"usage-mock: {problem}\n"
    assert main(["--port", "0", "--fixtures", str(folder)]) == 4
    assert capsys.readouterr().err == f"usage-mock: {problem}\n"
    with pytest.raises(FixtureError) as caught:
        UsageMock(fixtures=folder)
    assert str(caught.value) == problem


def test_an_empty_folder_is_rejected_with_the_command_that_fills_it(tmp_path: Path) -> None:
    with pytest.raises(FixtureError, match="has no fixture file; `usage-mock init DIR` writes one"):
        UsageMock(fixtures=tmp_path)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("faults/f@3", "has '@' in its name, after which an option has the number of a request; rename it"),
        ("variants/f g", "has a space in its name, which separates several faults; rename it"),
        ("faults/none", "has the name 'none', which switches faults off; rename it"),
        ("scenarios/none", "has the name 'none', which switches a scenario off; rename it"),
    ],
)
def test_a_name_that_cannot_be_selected_is_rejected_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, reason: str
) -> None:
    text = "description: d\n" + ("" if name.startswith("scenarios") else "breaks: []\n")
    write(tmp_path, **{name.replace("/", "__"): text})
    code, _, errors = checked(tmp_path, capsys)
    assert (code, errors) == (4, f"usage-mock: {name}.yaml: {reason}\n")


def test_a_selected_file_with_such_a_name_is_rejected_with_the_reason(tmp_path: Path) -> None:
    write(tmp_path, **{"faults__f g": "description: d\nbreaks: []\n"})
    with pytest.raises(FixtureError, match="has a space in its name"):
        load_fault("f g", tmp_path)


def test_a_scenario_with_a_space_in_its_name_can_be_selected(tmp_path: Path) -> None:
    write(tmp_path, **{"scenarios__a b": "description: d\ncode: 503\n"})
    with UsageMock(fixtures=tmp_path, scenario="a b") as mock:
        mock.use("a b")
