"""Options are checked before a run starts; each mistake is reported in one line without a secret."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from contract_tests.run.key_sources import keys_from
from contract_tests.wire.target import Target
from mock_server import UsageMock, load_fault, make_app
from mock_server.options import MockOptions
from tests.support.gate import Run
from usage_contract import load
from usage_contract_pytest import WITH_VALUE

RunGate = Callable[..., Run]
SECRET = "k3y-0f-a-very-secret-kind"
BASE_URL = ("--base-url", "http://127.0.0.1:1")
HERE = Path(__file__)

BAD_OPTIONS = {
    "no key: set CONTRACT_API_KEY": BASE_URL,
    "--base-url is empty": ("--base-url", ""),
    "a key without --base-url": ("--api-key", SECRET),
    "the same key is given twice": (*BASE_URL, "--api-key", SECRET, "--api-key", SECRET),
    "key 1 is empty, or contains": (*BASE_URL, "--api-key", f"{SECRET}\n"),
    "key 2 has fewer than 4 characters": (*BASE_URL, "--api-key", SECRET, "--api-key", "k1"),
    "--api-key-file: the file (not shown here, because the value may be a key) cannot be read: No such file": (
        *BASE_URL,
        "--api-key-file",
        SECRET,
    ),
    "--api-key-file: /dev cannot be read: Is a directory": (*BASE_URL, "--api-key-file", "/dev"),
    "--api-key-file: the file (not shown here": (*BASE_URL, "--api-key-file", f"/{SECRET}/{SECRET * 20}"),
    "--api-key: the word after its value is not a file": (*BASE_URL, "--api-key", "main-key", SECRET),
    "--api-key: the word after": (*BASE_URL, "--api-key=main-key", str(HERE), SECRET),
    "--header: the word after its value is not a file": (*BASE_URL, "--header", "X-Gate: yes", SECRET),
    "--api-key, --api-key-file: give one of them": (*BASE_URL, "--api-key", SECRET, "--api-key-file", SECRET),
    "unrecognized arguments: --contract-api-key": (*BASE_URL, "--contract-api-key", SECRET),
    "unrecognized arguments: --keys": (*BASE_URL, "--keys", SECRET),
    "--rule: <redacted:1> is not a rule": (*BASE_URL, "--api-key", SECRET, "--rule", SECRET),
    "--ca-file: <redacted:1> cannot be used": (*BASE_URL, "--api-key", SECRET, "--ca-file", SECRET),
    "<redacted:1> is not a positive number": (*BASE_URL, "--api-key", SECRET, "--max-rate", SECRET),
    "--level: invalid choice: '<redacted:1>'": (*BASE_URL, "--header", f"X-Gate: {SECRET}", "--level", SECRET),
    "known-deviations: <redacted:1>": (*BASE_URL, "--api-key", SECRET, "--known-deviations", SECRET),
    "did you mean --api-key": (*BASE_URL, "--api-keys", SECRET),
    "unknown option -api-key; did you mean --api-key": (*BASE_URL, "-api-key", SECRET),
    "unknown option --headers; did you mean --header": (*BASE_URL, f"--headers=Authorization: Basic {SECRET}"),
    "--ca-file: /nowhere cannot be used: No such file": (*BASE_URL, "--api-key", SECRET, "--ca-file", "/nowhere"),
    "it contains no certificate in PEM": (*BASE_URL, "--api-key", SECRET, "--ca-file", str(HERE)),
    "--header: give it as 'Name: value'": (*BASE_URL, "--api-key", SECRET, "--header", SECRET),
    "--proxy: a user name or password": (*BASE_URL, "--api-key", SECRET, "--proxy", f"http://u:{SECRET}@h:1"),
    "--proxy: only http is supported": ("--proxy", "https://h:1"),
    "-n, --tx: the rules share one process": ("-n", "2"),
    "Leave them out, or add -n0": ("--dist", "load", "--tx", "2*popen"),
    "--trace: pytest's debugger discards the findings": ("--trace",),
    "-f, --looponfail: a run would not end": ("-f",),
    "--hypothesis-verbosity: Hypothesis would print": ("--hypothesis-verbosity", "debug"),
    "-p no:hypothesispytest: the gate needs that plugin": ("-p", "no:hypothesispytest"),
    "--noconftest: the gate's conftest.py has what its rules share": ("--noconftest",),
    "1e10 is not between 0.1 and 3600 seconds": ("--answer-timeout", "1e10"),
    "--header: Content-Length is set by the gate": (*BASE_URL, "--api-key", SECRET, "--header", "Content-Length: 5"),
    "--header gives X-API-Key; give API keys by": (*BASE_URL, "--api-key", SECRET, "--header", "x-api-key: other"),
    "0 is not a positive number": ("--max-rate", "0"),
    "0 is not a positive whole number": ("--max-requests", "0"),
    "-1 is not a positive whole number": ("--max-requests", "-1"),
    "--hypothesis-profile: default is not a profile; choose contract or thorough": ("--hypothesis-profile", "default"),
    "--hypothesis-profile: quick is not a profile; choose": ("--hypothesis-profile", "quick"),
}


@pytest.mark.parametrize("message", BAD_OPTIONS)
def test_an_invalid_option_is_reported_in_one_line_without_the_key(message: str, run_gate: RunGate) -> None:
    run = run_gate(*BAD_OPTIONS[message])
    assert run.code == 4
    assert message in run.output
    assert SECRET not in run.output
    assert "Traceback" not in run.output


@pytest.mark.parametrize("option", sorted(WITH_VALUE))
@pytest.mark.parametrize("join", [False, True])
def test_an_empty_value_is_reported(option: str, join: bool, run_gate: RunGate) -> None:
    run = run_gate(*([f"{option}="] if join else [option, ""]), *BASE_URL)
    assert run.code == 4
    assert f"{option}: the value is empty. Is a variable not set?" in run.output


BAD_URLS = {
    "staging.example": "give an absolute URL",
    "ftp://h": "give an absolute URL",
    "http://": "give an absolute URL",
    "http://h:port": "the host or the port is not valid",
    "http://h:65536": "the host or the port is not valid",
    "http://[::1": "the host or the port is not valid",
    "http://h:0": "0 is not a port",
    "http://h /": "spaces, line ends",
    "http://h/\n": "spaces, line ends",
    "http://bücher.example": "non-ASCII characters",
    f"http://{SECRET}@h": "a user name or password",
    f"http://u:{SECRET}@h": "a user name or password",
    f"http://:{SECRET}@h": "a user name or password",
    f"http://u:{SECRET}/@h": "the host or the port is not valid",
    "http://@h": "a user name or password",
    f"http://h?key={SECRET}": "a query",
    "http://h?": "a query",
    f"http://h#{SECRET}": "a fragment",
}


@pytest.mark.parametrize("url", BAD_URLS)
def test_an_invalid_base_url_is_rejected_without_being_quoted(url: str) -> None:
    with pytest.raises(pytest.UsageError, match=f"^--base-url: .*{BAD_URLS[url]}") as refused:
        Target.parse("--base-url", url)
    assert SECRET not in str(refused.value)


@given(st.text(), st.sampled_from(["", "http://", "https://u:p@", "http://h:", "http://["]))
def test_any_text_is_a_target_or_a_usage_error(text: str, start: str) -> None:
    try:
        target = Target.parse("--base-url", start + text)
    except pytest.UsageError:
        return
    assert Target.parse("--base-url", target.url) == target


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PYTEST_BASE_URL", "staging.example"),
        ("PYTEST_BASE_URL", ""),
        ("CONTRACT_CA_FILE", "/nowhere"),
        ("CONTRACT_CA_FILE", str(HERE)),
        ("CONTRACT_PROXY", "http://h:0"),
        ("CONTRACT_PROXY", "https://h:1"),
    ],
)
def test_an_invalid_variable_is_reported_by_its_name(name: str, value: str, run_gate: RunGate) -> None:
    environment = {"CONTRACT_API_KEY": SECRET, "PYTEST_BASE_URL": BASE_URL[1], name: value}
    run = run_gate(environment=environment)
    assert run.code == 4
    assert f"ERROR: {name}" in run.output


def test_a_certificate_in_pem_is_accepted(run_gate: RunGate, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    assert run_gate(*BASE_URL, "--rules", "--ca-file", "ca.pem").code == 0


MAIN, SECOND, THIRD = "CONTRACT_API_KEY", "CONTRACT_API_KEY_2", "CONTRACT_API_KEY_3"


def test_keys_keep_the_numbers_of_their_variables() -> None:
    found = keys_from([], {MAIN: "main-key", SECOND: "", THIRD: "third-key"}, None)
    assert [(key.value, key.label, key.shell) for key in found] == [
        (b"main-key", "the main key", "$CONTRACT_API_KEY"),
        (b"third-key", "key 3", "$CONTRACT_API_KEY_3"),
    ]


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({SECOND: "second-key"}, "CONTRACT_API_KEY_2 is set, and CONTRACT_API_KEY, the main key, is not"),
        ({MAIN: "", THIRD: "third-key"}, "CONTRACT_API_KEY_3 is set, and CONTRACT_API_KEY, the main key, is not"),
        ({MAIN: "main-key", f"{MAIN}_1": "other-key"}, "CONTRACT_API_KEY_1: the main key is CONTRACT_API_KEY"),
        ({MAIN: "main-key", f"{MAIN}_02": "other-key"}, "CONTRACT_API_KEY_02: the main key is CONTRACT_API_KEY"),
    ],
)
def test_misnumbered_variables_are_reported(environment: dict[str, str], message: str) -> None:
    with pytest.raises(pytest.UsageError, match=message):
        keys_from([], environment, None)


@pytest.mark.parametrize(
    "name", ["CONTRACT_API_KEYS", "CONTRACT_APIKEY", "CONTRACT_API_KEY2", "CONTRACT_API_KEYFILE", "CONTRACT_KEY_2"]
)
def test_a_variable_that_would_be_overlooked_is_reported(name: str, run_gate: RunGate) -> None:
    run = run_gate(*BASE_URL, environment={MAIN: "main-key", name: SECRET})
    assert run.code == 4
    assert f"{name} is not a variable of the gate; keys are in CONTRACT_API_KEY, CONTRACT_API_KEY_2" in run.output
    assert SECRET not in run.output


def test_a_variable_of_another_program_is_ignored(run_gate: RunGate) -> None:
    run = run_gate(*BASE_URL, environment={MAIN: "main-key", "CONTRACT_KEYSTORE_PATH": "/keys"})
    assert "no connection to 127.0.0.1:1" in run.output


@pytest.mark.parametrize("name", ["BASE_URL", "CONTRACT_BASE_URL", "CONTRACT_URL", "PYTEST_BASEURL"])
def test_a_url_that_would_be_overlooked_is_reported(name: str, run_gate: RunGate) -> None:
    run = run_gate("-k", "missing_key", environment={name: BASE_URL[1]})
    assert run.code == 4
    assert f"{name} is not a variable of the gate; give --base-url, or PYTEST_BASE_URL" in run.output


def test_a_run_without_assertions_is_refused() -> None:
    command = [sys.executable, "-OO", "-m", "pytest", "contract_tests"]
    run = subprocess.run(command, cwd=HERE.parents[2], capture_output=True, text=True, check=False)
    assert run.returncode == 4
    assert "-O, PYTHONOPTIMIZE: pytest and the gate need assertions" in run.stderr


def test_a_comment_after_a_key_is_reported(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("main-key # staging\n")
    with pytest.raises(pytest.UsageError, match="key 1 is empty, or contains spaces"):
        keys_from([], {}, str(tmp_path / "keys"))


def test_a_line_of_the_key_file_may_be_a_comment(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("# staging\nmain-key\n\n  # and another\nsecond-key\n")
    assert [key.value for key in keys_from([], {}, str(tmp_path / "keys"))] == [b"main-key", b"second-key"]


def test_headers_for_a_gateway_are_sent_with_every_rule(run_gate: RunGate, tmp_path: Path) -> None:
    (tmp_path / "faults").mkdir()
    (tmp_path / "faults" / "gateway.yaml").write_text(
        "description: A gateway wants credentials of its own.\nbreaks: []\n"
        "do: [{ when: { request: '\\A(?!(?s:.)*^Authorization: Basic of-the-gateway)' }, status: 401 }]\n"
    )
    with UsageMock(
        make_app(load("documented"), MockOptions(rate_limit=False), fault=load_fault("gateway", tmp_path))
    ) as mock:
        options = ("--base-url", mock.url, "--api-key", "demo-busy", "-k", "valid_key_is_sufficient")
        assert run_gate(*options, "--header", "Authorization: Basic of-the-gateway").code == 0
        assert run_gate(*options).code == 4


def test_an_option_timeout_of_another_plugin_is_accepted(
    run_gate: RunGate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = (
        "def pytest_addoption(parser):\n    for name in ('--timeout', '--reruns'):\n        parser.addoption(name)\n"
    )
    (tmp_path / "another_plugin.py").write_text(plugin)
    monkeypatch.syspath_prepend(tmp_path)
    few = ("-p", "another_plugin", "-k", "missing_key", "--max-rate=1000")
    assert run_gate(*few, "--timeout", "9").code == 0
    refused = run_gate(*few, "--reruns", "2")
    assert refused.code == 4
    assert "--reruns: a promise that is sometimes broken is broken" in refused.output


def test_a_value_directly_after_its_option_is_not_a_key_option(run_gate: RunGate) -> None:
    assert run_gate("-kmissing_key", "--max-rate=1000").code == 0


def test_a_short_header_value_is_not_a_secret_and_stays_in_the_output(run_gate: RunGate) -> None:
    with UsageMock(rate_limit=False) as mock:
        options = ("--base-url", mock.url, "--api-key", "demo-busy", "-k", "missing_key")
        run = run_gate(*options, "--header", "X-Hop: 1", "--header", "X-Long: a-secret-of-a-gateway")
    assert run.code == 0
    assert "redacted" not in run.output


@pytest.mark.parametrize("option", ["--rules", "--plan", "--collect-only"])
def test_a_run_that_sends_nothing_does_not_replace_an_earlier_report(
    option: str, run_gate: RunGate, tmp_path: Path
) -> None:
    earlier = [tmp_path / "out" / "contract.json", tmp_path / "junit.xml"]
    earlier[0].parent.mkdir()
    for path in earlier:
        path.write_text("an earlier report")
    run = run_gate(option, "--report-dir", "out", "-k", "missing_key")
    assert run.code == 0
    assert [path.read_text() for path in earlier] == ["an earlier report", "an earlier report"]
    assert "generated xml file" not in run.output


def test_the_profiles_of_the_gate_are_accepted(run_gate: RunGate) -> None:
    few = ("-k", "missing_key", "--max-rate=1000")
    assert run_gate(*few, "--hypothesis-profile", "thorough", "-n0").code == 0
