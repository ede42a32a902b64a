"""Options: their sources, their precedence and their documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from mock_server import UsageMock
from mock_server.command.cli import main
from mock_server.command.option_sources import read_options
from mock_server.options import OPTIONS, MockOptions, Option, OptionError, UsageMockOptions

DOCUMENT = (Path(__file__).parents[2] / "docs" / "mock.md").read_text()
ROWS = dict(re.findall(r"^\| `(--[^`]*)` (\|.*)\|$", DOCUMENT, re.MULTILINE))


@pytest.fixture(autouse=True)
def _empty_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def problems(arguments: dict[str, object], environment: dict[str, str]) -> list[str]:
    with pytest.raises(OptionError) as caught:
        read_options(arguments, environment)
    return caught.value.problems


def usage(option: Option) -> str:
    """Return the option with a value that is not its default."""
    return f"--{'no-' if option.default is True else ''}{option.name} {option.metavar}".rstrip()


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_the_table_in_the_documentation_has_each_option_with_its_variable_and_default(option: Option) -> None:
    _, variable, default, meaning = (cell.strip() for cell in ROWS[usage(option)].split("|"))
    assert variable == f"`{option.variable}`"
    if option.is_switch:
        assert default == f"`{'on' if option.default else 'off'}`"
    elif option.default is not None:
        assert default == f"`{option.default}`"
    assert meaning.endswith(".")


def test_the_documentation_has_only_existing_options() -> None:
    assert list(ROWS) == [usage(option) for option in OPTIONS]


def test_every_option_has_a_default() -> None:
    assert read_options({}, {"PATH": "/bin"}) == MockOptions()


def test_precedence_is_option_then_environment_then_file_then_default() -> None:
    assert read_options({}, {}).port == 8080
    Path("usage-mock.toml").write_text("port = 1\n")
    assert read_options({}, {}).port == 1
    assert read_options({}, {"USAGE_MOCK_PORT": "2"}).port == 2
    assert read_options({"port": "3"}, {"USAGE_MOCK_PORT": "2"}).port == 3


@pytest.mark.parametrize("option", [each for each in OPTIONS if each.name != "config"], ids=lambda option: option.name)
def test_each_option_can_come_from_the_environment_and_the_file(option: Option) -> None:
    text = {bool: "off", int: "401", Path: "x"}.get(type(option.default), "json")
    value = option.read(text)
    assert getattr(read_options({}, {option.variable: text}), option.attribute) == value
    Path("usage-mock.toml").write_text(f'{option.name} = "{text}"\n')
    assert getattr(read_options({}, {}), option.attribute) == value


def test_usage_mock_has_the_options_of_the_command_except_those_for_the_command_alone() -> None:
    hints = get_type_hints(MockOptions)
    for_command = ("config", "workers", "reload", "log", "places")
    expected = {name: hint for name, hint in hints.items() if name not in (*for_command, "deployment")}
    assert get_type_hints(UsageMockOptions) == expected


def test_an_empty_variable_counts_as_missing() -> None:
    assert read_options({}, {"USAGE_MOCK_PORT": ""}) == MockOptions()


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_an_empty_argument_is_rejected(option: Option) -> None:
    with pytest.raises(OptionError, match=f"^--{option.name}: is empty"):
        read_options({option.attribute: ""}, {})


@pytest.mark.parametrize("name", [each.attribute for each in OPTIONS[1:] if isinstance(each.default, str | None)])
def test_an_empty_text_is_not_a_value(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}: (is empty; omit it for the default|'' is not a valid)"):
        MockOptions(**{name: ""})  # type: ignore[arg-type]


@pytest.mark.parametrize("option", OPTIONS[1:], ids=lambda option: option.name)
def test_an_empty_text_in_the_file_is_rejected(option: Option) -> None:
    Path("usage-mock.toml").write_text(f'{option.name} = ""\n')
    assert problems({}, {}) == [f"usage-mock.toml:1 {option.name}: is empty; omit it for the default"]


@pytest.mark.parametrize("named", ["argument", "environment"])
def test_a_named_file_replaces_that_of_the_working_folder(named: str) -> None:
    Path("usage-mock.toml").write_text("port = 1\n")
    Path("other.toml").write_text("seed = 2\n")
    config = (
        read_options({"config": "other.toml"}, {})
        if named == "argument"
        else read_options({}, {"USAGE_MOCK_CONFIG": "other.toml"})
    )
    assert (config.port, config.seed) == (8080, 2)


def test_a_path_in_a_file_is_relative_to_its_folder() -> None:
    Path("folder").mkdir()
    Path("folder", "mock.toml").write_text('fixtures = "mine"\n')
    assert read_options({"config": "folder/mock.toml"}, {}).fixtures == Path("folder", "mine")


def test_a_file_may_have_values_of_toml_types() -> None:
    Path("usage-mock.toml").write_text("rate-limit = false\ndelay = 0.25\nport = 9\n")
    config = read_options({}, {})
    assert (config.rate_limit, config.delay, config.port) == (False, "0.25", 9)


def test_every_problem_is_reported_with_its_position() -> None:
    Path("usage-mock.toml").write_text('# mine\nport = true\n\nsenario = "heavy"\nlog = "jsn"\n[hots]\n')
    found = problems({"seed": "-1"}, {"USAGE_MOCK_PROT": "1", "USAGE_MOCK_RATE_LIMIT": "maybe"})
    assert [re.split(r"[;.] ", each)[0] for each in found] == [
        "'USAGE_MOCK_PROT' is not a variable of the mock",
        "USAGE_MOCK_RATE_LIMIT: 'maybe' is not valid",
        "--seed: '-1' is not a whole number from 0 to 999999999999999999",
        "usage-mock.toml:4: 'senario' is not an option",
        "usage-mock.toml:6: 'hots' is not an option",
        "usage-mock.toml:2 port: must be a text or a number",
        "usage-mock.toml:5 log: 'jsn' is not valid",
    ]
    assert [re.findall(r"did you mean '(.*?)'", each) for each in found] == [
        ["USAGE_MOCK_PORT"], [], [], ["scenario"], ["host"], [], [],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('fault = ["body-is-empty", 3]', "fault: '3' is not a fault"),
        ('scenario = "hevy"', "scenario: 'hevy' is not a scenario"),
        ('server = "fastapi"', "server: 'fastapi' is not a server"),
        ('deployment = "mine"', "deployment: 'mine' is not a deployment"),
        ('delay = "soon"', "delay: 'soon' is not a valid delay"),
        ('state = "ftp://a"', "state: "),
        ("workers = 2", "workers: more than one process needs a shared state"),
        ('tls-cert = "a.pem"', "tls-cert: --tls-key is missing; set both or neither"),
        ('tls-key = "a.pem"', "tls-key: --tls-cert is missing; set both or neither"),
    ],
)
def test_a_value_that_is_rejected_at_the_start_has_its_place(
    line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, _, value = line.partition(" = ")
    Path("usage-mock.toml").write_text(f"port = 0\n{line}\n")
    assert main([]) == 4
    assert capsys.readouterr().err.startswith(f"usage-mock: usage-mock.toml:2 {message}")
    Path("usage-mock.toml").unlink()
    text = value.strip('[]"').replace('", ', " ")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(place := f"USAGE_MOCK_{name.upper().replace('-', '_')}", text)
        assert main([]) == 4
    assert capsys.readouterr().err.startswith(f"usage-mock: {message.replace(name, place, 1)}")
    assert main([f"--{name}", text]) == 4
    assert capsys.readouterr().err.startswith(f"usage-mock: --{message}")


def test_a_certificate_without_its_key_is_named_as_in_python() -> None:
    with pytest.raises(OptionError, match=r"^tls_cert: tls_key is missing; set both or neither$"):
        UsageMock(tls_cert="x")
    with pytest.raises(OptionError, match=r"^tls_key: tls_cert is missing; set both or neither$"):
        UsageMock(tls_key="x")


@pytest.mark.parametrize("content", [b"port = \n", b"port = 1\nport = 2\n", b"\xff"])
def test_a_file_that_is_not_toml_is_reported(content: bytes) -> None:
    Path("mine.toml").write_bytes(content)
    [problem] = problems({"config": "mine.toml"}, {})
    assert problem.startswith("mine.toml: is not valid TOML: ")


def test_a_file_that_cannot_be_read_is_reported() -> None:
    assert problems({"config": "mine.toml"}, {}) == ["mine.toml: cannot be read: No such file or directory"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [({"fault": 3}, "a text or a list of texts or None"), ({"unknown_key_status": "401"}, "401 or 403")],
)
def test_a_wrong_type_is_reported_in_words(values: dict[str, Any], expected: str) -> None:
    with pytest.raises(TypeError, match=f"is not valid; expected {expected}$"):
        MockOptions(**values)


def test_a_wrong_value_is_not_a_wrong_type() -> None:
    with pytest.raises(ValueError, match=r"^unknown_key_status: '404' is not valid; expected 401 or 403$"):
        MockOptions(unknown_key_status=404)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["[1]", "{a = 1}", "1979-05-27"])
def test_a_list_a_table_and_a_date_are_not_values(value: str) -> None:
    Path("usage-mock.toml").write_text(f"port = {value}\n")
    assert problems({}, {}) == ["usage-mock.toml:1 port: must be a text or a number"]


@pytest.mark.parametrize("port", ["-1", "65536", "http", " 1", "1.0", "٣", "1" * 5000])
def test_an_invalid_port_is_rejected(port: str) -> None:
    [problem] = problems({"port": port}, {})
    assert problem == f"--port: {port!r} is not a whole number from 0 to 65535"


def test_a_file_cannot_name_another_file() -> None:
    Path("usage-mock.toml").write_text('config = "x"\n')
    [problem] = problems({}, {})
    assert problem.startswith("usage-mock.toml:1: 'config' is not an option")
