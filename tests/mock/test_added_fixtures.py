"""A fixture folder adds to the shipped files, and `usage-mock init` writes one to start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from mock_server import UsageMock
from mock_server.command.cli import main
from mock_server.command.init import SCHEMA
from mock_server.fixtures.files import shipped_fixtures
from tests.support.control_api import Api
from tests.support.wire import KEY, send_request, usage


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A fixture folder with a deployment, scenarios and faults, some with the name of a shipped file."""
    files = {
        "deployments/default.yaml": "description: d\nkeys: {my-key: {}, other: {}}\n",
        "scenarios/heavy.yaml": "description: My own.\ncode: 418\n",
        "scenarios/mine.yaml": "description: With a shipped fault.\nfault: lower-case-fields\n",
        "faults/body-is-null.yaml": "description: My own.\nbreaks: []\ndo: [{status: 299}]\n",
        "faults/only-mine.yaml": "description: d\nbreaks: []\ndo: [{status: 298}]\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def status(mock: UsageMock, preference: str) -> int:
    return send_request(mock.url, headers=[(KEY, "my-key"), ("Prefer", preference)]).status


def test_shipped_scenarios_and_faults_stay_available_with_a_custom_folder(own: Path) -> None:
    with UsageMock(fixtures=own) as mock:
        assert mock.keys == ("my-key", "other")
        assert status(mock, "scenario=throttled") == 429
        assert status(mock, "fault=only-mine") == 298
        assert status(mock, "fault=other-methods-are-400") == 200
        response = send_request(mock.url, headers=[(KEY, "my-key"), ("Prefer", "scenario=mine")])
        assert "content-type" in list(response.headers)


def test_a_file_replaces_the_shipped_file_with_the_same_name(own: Path) -> None:
    with UsageMock(fixtures=own) as mock:
        assert status(mock, "fault=body-is-null") == 299
        assert status(mock, "scenario=heavy") == 418
        listed = {each["name"]: each["description"] for each in Api(mock.url).get("/scenarios")}
        assert listed["heavy"] == "My own."
        assert "throttled" in listed
        faults = [each["name"] for each in Api(mock.url).get("/faults")]
        assert (faults.count("body-is-null"), faults.count("only-mine")) == (1, 1)


def test_a_folder_without_deployments_serves_the_shipped_deployment(own: Path) -> None:
    (own / "deployments" / "default.yaml").unlink()
    (own / "deployments").rmdir()
    with UsageMock(fixtures=own) as mock:
        assert mock.api_key == "demo-busy"
        assert send_request(mock.url, headers=[(KEY, "demo-busy"), ("Prefer", "fault=only-mine")]).status == 298


def test_check_counts_own_files_and_names_replaced_shipped_files(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(own)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "1 of 1 deployments are valid",
        f"{own}/scenarios/heavy.yaml replaces the shipped file scenarios/heavy.yaml",
        "2 of 2 scenarios are valid",
        f"{own}/faults/body-is-null.yaml replaces the shipped file faults/body-is-null.yaml",
        "2 of 2 faults are valid",
    ]


@pytest.mark.parametrize("arguments", [["--fixtures", "none-such"], ["check", "none-such"]])
def test_a_folder_that_does_not_exist_is_not_replaced_by_the_shipped_one(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--port", "0"]) == 4
    assert "none-such: is not a folder; `usage-mock init DIR` creates one" in capsys.readouterr().err


def test_init_writes_a_valid_deployment_and_its_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "new" / "my"
    assert main(["init", str(target)]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{target}/deployments/default.yaml", f"{target}/{SCHEMA}"]
    assert (target / SCHEMA).read_bytes() == (shipped_fixtures() / SCHEMA).read_bytes()
    assert main(["check", str(target)]) == 0
    assert capsys.readouterr().out == "1 of 1 deployments are valid\n"
    with UsageMock(fixtures=target) as mock:
        assert usage(mock.url, "my-key").json["total"] == 175


def test_the_comments_of_the_deployment_are_valid_facts(tmp_path: Path) -> None:
    main(["init", str(tmp_path)])
    path = tmp_path / "deployments" / "default.yaml"
    lines = path.read_text().splitlines()
    facts = ("# rate_limit", "# tokens", "# growth", "#   shop", "#     fetch")
    path.write_text("\n".join(line.replace("# ", "", 1) if line.strip().startswith(facts) else line for line in lines))
    with UsageMock(fixtures=tmp_path) as mock:
        assert usage(mock.url, "my-key").json["rate_limit"] == {"rps": 2.5, "burst": 5, "remaining": 2.0}


@pytest.mark.parametrize("name", ["deployments/default.yaml", SCHEMA])
def test_init_does_not_overwrite_files(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    (tmp_path / "deployments").mkdir()
    (tmp_path / name).write_text("mine")
    assert main(["init", str(tmp_path)]) == 4
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"usage-mock: init: {tmp_path / name}: exists already; nothing was written\n")
    assert [path.read_text() for path in tmp_path.rglob("*") if path.is_file()] == ["mine"]


def test_init_needs_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == 4
    (tmp_path / "file").write_text("")
    assert main(["init", str(tmp_path / "file" / "my")]) == 4
    assert capsys.readouterr().err.splitlines() == [
        "usage-mock: init: Missing argument 'DIR'.",
        f"usage-mock: init: {tmp_path}/file/my/deployments: cannot be written: Not a directory",
    ]
