"""The `usage-mock` command: it serves in a subprocess, and runs in the process of the tests otherwise."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from mock_server import UsageMock, load_deployment
from mock_server.command.cli import main
from mock_server.fixtures.faults import fault_names
from mock_server.masking import mask_key
from tests.support.command import serving
from tests.support.control_api import Api
from tests.support.wire import KEY, TIMEOUT, address, send, send_request, usage

VALID = "description: d\nkeys: {k: {}}\n"


def test_the_first_line_contains_the_url() -> None:
    with serving() as (_, url):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        assert usage(url, "demo-busy").status == 200


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")
def test_an_ipv6_address_is_printed_in_brackets() -> None:
    with serving("--host", "::1") as (_, url):
        assert re.fullmatch(r"http://\[::1\]:\d+", url)
        assert send_request(url, "/healthz").status == 200


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_with_exit_code_0(number: signal.Signals) -> None:
    with serving() as (process, url):
        send_request(url)
        process.send_signal(number)
        assert process.wait(TIMEOUT) == 0


def test_no_api_key_is_printed() -> None:
    with serving() as (process, url):
        assert usage(url, "demo-busy").status == 200
        assert usage(url, "some-secret").status == 403
        assert send(url, b"GET /usage HTTP/1.1\r\nHost: x\r\nX-API-Key: some\0secret\r\n\r\n").status == 400
        process.terminate()
        out, err = process.communicate(timeout=TIMEOUT)
    assert out == ""
    assert [re.sub(r"^.*? |[0-9.]+ ms ", "", line) for line in err.splitlines()] == [
        f"console: {url}/__mock__/; 3 keys: demo-busy, demo-modest, demo-fresh",
        "200 GET /usage key=dem…0fd2c2",
        "403 GET /usage unknown-key key=som…a6f2f3",
        "400 UNKNOWN malformed-request",
    ]


def test_the_first_line_of_the_log_names_the_console_and_the_keys(deployments: Path) -> None:
    (deployments / "other.yaml").write_text("description: d\nkeys: {secret-1: {label: Billing}, secret-2: {}}\n")
    with serving("--fixtures", str(deployments.parent), "--deployment", "other", "--key", "secret-3") as (process, url):
        assert process.stderr
        line = process.stderr.readline().partition(" ")[2]
    masked = [mask_key("secret-2"), mask_key("secret-3")]
    assert line == f"console: {url}/__mock__/; 3 keys: Billing, {masked[0]}, {masked[1]}\n"


def test_many_keys_are_counted(deployments: Path) -> None:
    keys = ", ".join(f"key-{number}: {{label: number {number}}}" for number in range(12))
    (deployments / "other.yaml").write_text(f"description: d\nkeys: {{{keys}}}\n")
    chosen = ["--fixtures", str(deployments.parent), "--deployment", "other", "--log", "json"]
    with serving(*chosen) as (process, _):
        assert process.stderr
        message = json.loads(process.stderr.readline())["message"]
    assert message.endswith("; 12 keys: " + ", ".join(f"number {number}" for number in range(10)) + " and 2 more")


def test_log_none_prints_no_line() -> None:
    with serving("--log", "none") as (process, url):
        usage(url, "demo-busy")
        process.terminate()
        assert process.communicate(timeout=TIMEOUT)[1] == ""


def test_options_set_the_deployment_the_status_and_the_limit(deployments: Path) -> None:
    limit = "rate_limit: {rps: 1, burst: 1}"
    (deployments / "other.yaml").write_text(f"description: d\n{limit}\nkeys: {{k: {{}}}}\n")
    chosen = ["--fixtures", str(deployments.parent), "--deployment", "other"]
    with serving(*chosen, "--no-rate-limit", "--unknown-key-status", "401") as (_, url):
        assert [usage(url, "k").status for _ in range(5)] == [200] * 5
        assert usage(url, "demo-busy").status == 401


def test_a_port_in_use_is_reported_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["--port", port]) == 4
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(rf"usage-mock: cannot listen on 127\.0\.0\.1 port {port}: Address already in use\n", err)


@pytest.mark.parametrize("host", ["host.invalid", "x" * 70, "a b", "256.256.256.256", "a\0b"])
def test_an_invalid_host_is_reported_in_one_line(capfd: pytest.CaptureFixture[str], host: str) -> None:
    assert main(["--host", host, "--port", "0"]) == 4
    _, err = capfd.readouterr()
    assert err.startswith(f"usage-mock: cannot listen on {host} port 0: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prot", "80"], "No such option '--prot'. (Did you mean one of: '--host', '--port'?)"),
        (["--ratelimit=off"], "No such option '--ratelimit'. (Did you mean one of: '--no-rate-limit'"),
        (["--port", "http"], "--port: 'http' is not a whole number"),
        (["--port"], "Option '--port' requires an argument."),
        (["--delay", "soon"], "--delay: 'soon' is not a valid delay"),
        (["--scenario", "hevy"], "--scenario: 'hevy' is not a scenario; did you mean 'heavy'?"),
        (["--fault", "body-is-nul"], "--fault: 'body-is-nul' is not a fault; did you mean 'body-is-null'?"),
        (["--fault", "body-is-null@0"], "--fault: 'body-is-null@0' is not valid; expected NAME or NAME@N"),
        (["--fault", "@2"], "--fault: '@2' is not valid; expected NAME or NAME@N"),
        (["--log", "jsno"], "'jsno' is not valid; expected text, json or none"),
        (["--unknown-key-status", "404"], "'404' is not valid; expected 401 or 403"),
        (["chekc"], "'chekc': unknown command; did you mean 'check'?"),
        (["--rate-limit", "off"], "'off': unknown command; a switch has no value: --NAME or --no-NAME"),
        (["check", "a", "b"], "check: Got unexpected extra argument (b)"),
        (["check", "--fixtrues", "a"], "No such option '--fixtrues'. Did you mean '--fixtures'?"),
        (["init"], "init: Missing argument 'DIR'."),
        (["init", ""], "DIR: is empty"),
        (["health", "now"], "health: Got unexpected extra argument (now)"),
        (["health", "--port", "http"], "--port: 'http' is not a whole number"),
        (["health", "--wait", "soon"], "--wait: 'soon' is not a number of seconds from 0 to 3600"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_an_unknown_option_or_name_is_reported_in_one_line_with_a_suggestion(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 4
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("usage-mock: ")
    assert message in err


def test_an_unknown_variable_prevents_the_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USAGE_MOCK_SENARIO", "heavy")
    assert main([]) == 4
    assert "did you mean 'USAGE_MOCK_SCENARIO'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "statuses"),
    [
        (["--scenario", "revoked"], [403, 403, 403]),
        (["--fault", "every-fourth-response-is-503"], [200, 200, 200, 503]),
        (["--fault", "every-fourth-response-is-503@2"], [200, 503, 200]),
    ],
    ids=lambda each: " ".join(map(str, each)),
)
def test_scenario_fault_and_delay_can_be_set_at_the_start(arguments: list[str], statuses: list[int]) -> None:
    with serving(*arguments) as (_, url):
        assert [usage(url, "demo-busy").status for _ in statuses] == statuses


def test_an_option_sets_the_delay() -> None:
    with serving("--delay", "0.001..0.002", "--seed", "7") as (_, url):
        assert usage(url, "demo-busy").status == 200
        assert Api(url).get("/state")["start"]["delay"] == "0.001..0.002"


def test_a_fault_can_apply_to_the_nth_request_only() -> None:
    with serving("--fault", "body-is-empty@2") as (_, url):
        assert [bool(usage(url, "demo-fresh").body) for _ in range(3)] == [True, False, True]


def test_an_unknown_deployment_is_reported_with_the_valid_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--deployment", "defualt"]) == 4
    assert "--deployment: 'defualt' is not a deployment; did you mean 'default'?" in capsys.readouterr().err


def test_an_invalid_fixture_prevents_the_start_with_one_line_per_problem(
    deployments: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = deployments / "default.yaml"
    path.write_text("descripton: d\nkeys: {k: {trafic: {}}}\n")
    assert main(["--fixtures", str(deployments.parent)]) == 4
    assert capsys.readouterr().err.splitlines() == [
        f"usage-mock: {path}:1: 'description' is missing",
        f"usage-mock: {path}:1 /descripton: is not a known name; did you mean 'description'?",
        f"usage-mock: {path}:2 /keys/{mask_key('k')}/trafic: is not a known name; did you mean 'traffic'?",
    ]


def test_check_prints_the_number_of_valid_deployments(deployments: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (deployments / "one.yaml").write_text(VALID)
    (deployments / "two.yaml").write_text(VALID)
    assert main(["check", str(deployments.parent)]) == 0
    assert capsys.readouterr().out == "2 of 2 deployments are valid\n"


def test_check_reports_every_problem_of_every_deployment(deployments: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (deployments / "one.yaml").write_text("keys: {}\n")
    (deployments / "three.yaml").write_text("")
    (deployments / "two.yaml").write_text(VALID)
    assert main(["check", str(deployments.parent)]) == 4
    out, err = capsys.readouterr()
    assert out == "1 of 3 deployments are valid\n"
    assert len(err.splitlines()) == 3


def test_check_reports_problems_of_scenarios_and_of_their_faults(
    deployments: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (deployments / "default.yaml").write_text(VALID)
    scenarios = deployments.with_name("scenarios")
    scenarios.mkdir()
    (scenarios / "faulty.yaml").write_text("description: d\nfault: none-such\n")
    (scenarios / "late.yaml").write_text("description: d\ndelay: soon\n")
    (scenarios / "sound.yaml").write_text("description: d\nrevoked: true\n")
    assert main(["check", str(deployments.parent)]) == 4
    out, err = capsys.readouterr()
    assert "1 of 3 scenarios are valid\n" in out
    assert "faulty.yaml:2 /fault: 'none-such' is not a fault" in err
    assert "late.yaml:2 /delay: 'soon' is not a valid delay" in err


def test_check_without_any_folder_names_the_missing_argument(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 4
    message = "usage-mock: check: a folder is missing; expected check DIR or check --fixtures DIR\n"
    assert capsys.readouterr() == ("", message)


def test_check_without_a_folder_checks_the_fixtures_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--fixtures", str(tmp_path), "check"], ["check", "--fixtures", str(tmp_path)]):
        assert main(arguments) == 4
        assert "has no fixture file; `usage-mock init DIR` writes one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "usage_line", "options"),
    [
        ("check", "[OPTIONS] [DIR]", ["config", "fixtures"]),
        ("faults", "[OPTIONS] [TEXT]", ["config", "fixtures"]),
        ("init", "[OPTIONS] DIR", []),
        ("capture", "[OPTIONS]", ["base-url"]),
        ("health", "[OPTIONS]", ["wait", "config", "host", "port", "tls-cert", "tls-key"]),
    ],
)
def test_the_help_of_a_command_has_its_own_options(
    capsys: pytest.CaptureFixture[str], name: str, usage_line: str, options: list[str]
) -> None:
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: usage-mock {name} {usage_line}\n")
    assert re.findall(r"^  --([a-z-]+)", shown, re.MULTILINE) == [*options, "help"]
    assert main(["--help"]) == 0
    assert re.search(rf"^  {name} +[A-Z][^.]+\.$", capsys.readouterr().out, re.MULTILINE)


def test_faults_lists_those_with_a_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["faults"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(fault_names())
    assert main(["faults", "EVERY fourth request"]) == 0
    found = capsys.readouterr().out.splitlines()
    names = ["every-fourth-response-is-503", "every-fourth-response-is-503-with-retry-after"]
    assert [line.partition(": ")[0] for line in found] == names
    (tmp_path / "faults").mkdir()
    (tmp_path / "faults" / "mine.yaml").write_text("description: A fault of my own.\nbreaks: []\n")
    assert main(["faults", "my own", "--fixtures", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "mine: A fault of my own.\n"
    assert main(["faults", "no such thing"]) == 4
    assert capsys.readouterr().err == "usage-mock: faults: no name and no description contains 'no such thing'\n"


def test_an_option_after_the_name_of_a_command_takes_precedence(capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as (_, url):
        port = str(address(url)[1])
        assert main(["--port", "1", "--log", "none", "health", "--grace", "1", "--port", port]) == 0
        assert main(["--port", port, "health", "--port", "1"]) == 4
    assert "port 1 does not respond" in capsys.readouterr().err


def test_help_imports_no_slow_modules() -> None:
    code = (
        "import sys, mock_server.command.cli\n"
        "try: mock_server.command.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print({'aiohttp', 'asyncio', 'jsonschema', 'ruamel'} & {name.partition('.')[0] for name in sys.modules})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_health_checks_the_mock_with_the_same_host_and_port(capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as (_, url):
        host, port = address(url)
        # The control API rejects the last one, which is another name of the same address: 403.
        for given in (host, "0.0.0.0", "127.1"):
            assert main(["--host", given, "--port", str(port), "health"]) == 0
        assert capsys.readouterr().err == ""
    assert main(["--port", str(port), "health"]) == 4
    assert f"usage-mock: health: 127.0.0.1 port {port} does not respond: Connection refused" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (404, "returns status 404"),
        *((status, f"is not a usage-mock: status {status} without its Server field") for status in (200, 401, 403)),
    ],
)
def test_health_reports_another_server(capsys: pytest.CaptureFixture[str], status: int, problem: str) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(status)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert main(["health", "--port", str(server.server_port)]) == 4
        thread.join()
    assert f"health: 127.0.0.1 port {server.server_port} {problem}" in capsys.readouterr().err


def test_health_accepts_a_mock_that_requires_a_token() -> None:
    with UsageMock(control_token="t-1") as mock:
        assert main(["health", "--port", str(address(mock.url)[1])]) == 0


def test_health_waits_for_a_mock_that_starts_later(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    mock = UsageMock(port=port)
    starting = threading.Timer(0.3, mock.start)
    starting.start()
    try:
        assert main(["--port", str(port), "health", "--wait", "60"]) == 0
    finally:
        starting.join()
        mock.close()
    started = time.monotonic()
    assert main(["health", "--port", str(port), "--wait", "0.2"]) == 4
    assert time.monotonic() - started >= 0.2
    assert "does not respond: Connection refused" in capsys.readouterr().err


def test_version_matches_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"usage-mock {version('usage-contract')}\n"


def test_the_command_serves_the_files_of_the_package() -> None:
    with serving() as (_, url):
        key = next(iter(load_deployment().keys))
        assert usage(url, key).json["api_key"] == key
        assert address(url)[1] > 0


@pytest.mark.parametrize("fault", [None, "does-not-fit"])
def test_a_signal_stops_a_mock_whose_log_is_not_read(tmp_path: Path, fault: str | None) -> None:
    (tmp_path / "faults").mkdir()
    text = "description: d\nbreaks: []\ndo: [{patch: [{op: remove, path: /no-such-member}]}]\n"
    (tmp_path / "faults" / "does-not-fit.yaml").write_text(text)
    with serving("--no-rate-limit", "--fixtures", str(tmp_path)) as (process, url):
        if fault:
            Api(url).do("PATCH", "/behaviour", {"fault": fault})
        with contextlib.closing(http.client.HTTPConnection(*address(url), timeout=TIMEOUT)) as connection:
            for _ in range(2000):  # twice as many lines as a pipe holds
                connection.request("GET", "/usage", headers={KEY: "demo-busy"})
                connection.getresponse().read()
        process.terminate()
        assert process.wait(TIMEOUT) == 0
