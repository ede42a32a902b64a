"""The entry point loads the gate if a run names it, and does not affect other pytest runs."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest

from contract_tests.run.options import add_options
from tests.support.projects import SECRET, run_pytest
from tests.support.readme import CHECKOUT
from usage_contract_pytest.arguments import OPTION_NAMES


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a package `contract_tests` and an option `--api-key` of its own."""
    own = tmp_path / "contract_tests"
    own.mkdir()
    (own / "__init__.py").touch()
    (own / "conftest.py").write_text("def pytest_addoption(parser): parser.addoption('--api-key')\n")
    (own / "test_own.py").write_text("def test_own(request): assert request.config.option.api_key == 'own'\n")
    return tmp_path


@pytest.mark.parametrize("arguments", [["contract_tests"], ["contract_tests/test_own.py"], ["./contract_tests"]])
def test_a_folder_with_the_name_of_the_gate_is_not_the_gate(arguments: list[str], project: Path) -> None:
    run = run_pytest(*arguments, "--api-key=own", folder=project)
    assert "1 passed" in run.stdout, run.stdout + run.stderr


def test_a_value_of_an_option_with_the_name_of_the_gate_is_not_the_gate(project: Path) -> None:
    run = run_pytest("-k", "contract_tests", "contract_tests", "--api-key=own", folder=project)
    assert "1 passed" in run.stdout, run.stdout + run.stderr


def test_pyargs_selects_the_gate_despite_a_folder_with_its_name(project: Path) -> None:
    run = run_pytest("--pyargs", "contract_tests", "--rules", folder=project)
    assert "auth/missing-key-is-401" in run.stdout, run.stdout + run.stderr


def test_a_gate_that_another_package_hides_is_reported(project: Path) -> None:
    run = run_pytest(str(CHECKOUT / "contract_tests"), folder=project, PYTHONPATH=str(project))
    assert run.returncode == 4
    assert "another package contract_tests hides the gate" in run.stderr


HIDDEN = {
    "option": (["--base-url", "http://127.0.0.1:1"], {}),
    "address": ([], {"PYTEST_BASE_URL": "http://127.0.0.1:1"}),
    "key": ([], {"CONTRACT_API_KEY_FILE": "keys"}),
}


@pytest.mark.parametrize("how", HIDDEN)
@pytest.mark.parametrize("name", ["contract_tests", "contract_tests.test_auth"])
def test_a_package_of_the_project_does_not_pass_for_the_gate(name: str, how: str, project: Path) -> None:
    options, environment = HIDDEN[how]
    run = run_pytest("--pyargs", name, *options, folder=project, PYTHONPATH=str(project), **environment)
    assert run.returncode == 4
    assert "another package contract_tests hides the gate" in run.stderr


def test_a_package_of_the_project_with_the_name_of_the_gate_is_run_by_its_name(project: Path) -> None:
    run = run_pytest("--pyargs", "contract_tests", "--api-key=own", folder=project, PYTHONPATH=str(project))
    assert "1 passed" in run.stdout, run.stdout + run.stderr


UNNAMED: dict[str, tuple[str, ...]] = {
    "bare name": ("contract_tests", "--api-key", SECRET),
    "file": ("contract_tests/test_auth.py", "--api-key", SECRET),
    "file by --pyargs": ("--pyargs", "contract_tests/test_auth.py", "--api-key", SECRET),
    "header": ("contract_tests", "--header", f"X-Gate: {SECRET}"),
    "mistyped option": ("contract_tests", "--contract-keys", SECRET),
    "no name": ("--base-url", "http://127.0.0.1:1", "--rule", "auth/missing-key-is-401"),
}


@pytest.mark.parametrize("how", UNNAMED)
def test_options_of_a_gate_that_is_not_named_are_explained_without_the_key(how: str, tmp_path: Path) -> None:
    run = run_pytest(*UNNAMED[how], folder=tmp_path)
    assert run.returncode == 4
    assert "ERROR: unrecognized arguments: --" in run.stderr
    assert "name it by --pyargs contract_tests" in run.stderr
    assert SECRET not in run.stdout + run.stderr


def test_the_message_about_an_unknown_option_of_another_project_is_unchanged(tmp_path: Path) -> None:
    run = run_pytest("--no-such-option", "a-value", folder=tmp_path)
    assert run.returncode == 4
    assert "unrecognized arguments: --no-such-option" in run.stderr
    assert "rootdir: " in run.stderr
    assert "contract_tests" not in run.stderr


def test_the_entry_point_knows_every_option_of_the_gate() -> None:
    group = Mock()
    add_options(Mock(getgroup=Mock(return_value=group)))
    assert {call.args[0] for call in group.addoption.call_args_list} == OPTION_NAMES


def test_no_rule_is_collected_if_the_gate_is_not_named() -> None:
    run = run_pytest(".", "--collect-only", "-q", "--ignore=tests", folder=CHECKOUT)
    assert "no tests collected" in run.stdout
    assert "error" not in (run.stdout + run.stderr).lower()


def test_a_gate_without_its_plugin_is_rejected() -> None:
    run = run_pytest("contract_tests", folder=CHECKOUT, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert run.returncode == 4
    assert "the gate's plugin is not loaded" in run.stdout + run.stderr


def test_other_runs_import_two_small_plugins_only(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text(
        "import sys\n"
        "def test_own():\n"
        "    assert not {'contract_tests', 'usage_contract', 'h11', 'aiohttp', 'ruamel'} & sys.modules.keys()\n"
    )
    run = run_pytest("test_own.py", folder=tmp_path)
    assert "1 passed" in run.stdout, run.stdout + run.stderr


DISCLOSING = {"--debug": ["--debug"], "--pastebin": ["--pastebin=all"]}


@pytest.mark.parametrize("option", DISCLOSING)
def test_options_that_disclose_keys_despite_redaction_are_rejected(option: str, tmp_path: Path) -> None:
    run = run_pytest("--pyargs", "contract_tests", *DISCLOSING[option], "--api-key", SECRET, folder=tmp_path)
    assert run.returncode == 4
    assert f"ERROR: {option}" in run.stderr
    assert SECRET not in run.stdout + run.stderr
    assert list(tmp_path.iterdir()) == []
