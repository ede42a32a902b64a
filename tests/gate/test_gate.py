"""The gate as its users run it: exit codes, messages, options."""

from __future__ import annotations

import json
import re
import socket
import socketserver
from collections.abc import Callable
from pathlib import Path

import pytest

from mock_server import UsageMock
from mock_server.fixtures.faults import load_fault
from tests.support.forked_gate import GATE
from tests.support.gate import OneThreadServer, Respond, Run, http_response, serving, serving_with
from tests.support.proof import run_against

RunGate = Callable[..., Run]
KEYS = {"CONTRACT_API_KEY": "demo-busy", "CONTRACT_API_KEY_2": "demo-modest", "CONTRACT_API_KEY_3": "demo-fresh"}
SECRET = "k3y-0f-a-very-secret-kind"
FEW = ("-k", "missing_key or valid_key", "--max-rate", "1000")


@pytest.mark.parametrize(
    "variant",
    [
        None,
        "connection-closes-unannounced",
        "connection-closes-after-each-response",
        "connection-is-reset-after-two-responses",
        # Servers, proxies and firewalls that refuse unusual requests.
        "any-query-is-400",
        "unknown-headers-are-400",
        "missing-user-agent-is-403",
        "request-limits-of-a-server",
        "large-request-header-is-431",
        "malformed-headers-are-400",
        "cors-origin-is-forbidden",
        "connection-upgrade-is-426",
    ],
)
def test_a_deployment_at_the_vendors_limit_costs_at_most_250_requests(variant: str | None, tmp_path: Path) -> None:
    fault = load_fault(variant) if variant else None
    run = run_against(fault, tmp_path, "-m", "not intrusive", limits="as shipped")
    not_tested = run.having("not tested") - {"keys/cached-response-is-not-shared"}  # it needs an accepted query
    of_429 = {"rate/429-is-complete", "rate/retry-after-is-not-longer-than-a-refill"}
    assert (run.code, not_tested) == (0, of_429), run.output
    requests, seconds = map(float, re.search(r"(\d+) requests in ([\d.]+) s", run.output).groups())  # type: ignore[union-attr]
    assert requests <= 250
    assert 15 <= seconds <= 40


def test_callers_without_a_key_slow_down_once_the_deployment_blocks_them(tmp_path: Path) -> None:
    seconds = []
    for variant in (None, "callers-that-guess-keys-are-403"):
        (folder := tmp_path / str(variant)).mkdir()
        fault = load_fault(variant) if variant else None
        run = run_against(fault, folder, "-m", "not intrusive", limits="as shipped")
        assert run.code == 0, run.output
        seconds.append(float(re.search(r"\d+ requests in ([\d.]+) s", run.output)[1]))  # type: ignore[index]
    assert seconds[0] + 1 < seconds[1] <= 40


def test_the_bucket_of_every_key_is_tested(tmp_path: Path) -> None:
    fault = tmp_path / "faults" / "one-key-refills-faster.yaml"
    fault.parent.mkdir()
    fault.write_text(
        "description: The bucket of the busy key, and no other one, refills five times as fast as stated.\n"
        "breaks: [bucket/refills-no-faster-than-rps]\n"
        "buckets: [{ keys: [demo-busy], rps: 50 }]\n"
    )
    result = run_against(load_fault(fault.stem, tmp_path), tmp_path, "-k", "refills_no_faster", limits="as shipped")
    assert result.having("broken") == {"bucket/refills-no-faster-than-rps"}, result.output


def test_a_broken_promise_is_reported_with_its_source_and_a_curl_command(
    run_gate: RunGate, serve: Callable[[Respond], str]
) -> None:
    url = serve(lambda _: http_response(b"{}"))
    run = run_gate("--base-url", url, *FEW, environment={"CONTRACT_API_KEY": SECRET})
    assert run.code == 1
    assert run.failed == {"auth/missing-key-is-401"}
    assert "promise: A response to a request without an API key MUST have status 401." in run.output
    assert "source: authentication guide: 401 means that the key is missing (documented)" in run.output
    assert f"curl: curl -isS --path-as-is -H 'Accept: application/json' '{url}/usage'" in run.output
    assert "BREAKS ITS CONTRACT" in run.output


def test_the_curl_command_of_a_problem_with_a_connection_repeats_its_earlier_requests(tmp_path: Path) -> None:
    fault = load_fault("connection-stays-authenticated")
    run = run_against(fault, tmp_path, "-k", "connection_does_not_authenticate")
    command = re.search(r"curl: (curl .*)", run.output)[1]  # type: ignore[index]
    with_key, _, without = command.partition(" --next ")
    assert '"X-API-Key: $CONTRACT_API_KEY"' in with_key
    assert "X-API-Key" not in without
    assert (with_key.count("/usage"), without.count("/usage")) == (1, 1)


def test_a_rule_above_the_level_is_reported_and_does_not_fail_the_run(
    run_gate: RunGate, serve: Callable[[Respond], str]
) -> None:
    url = serve(lambda _: http_response(b"{}"))
    run = run_gate("--base-url", url, "--level", "specified", *FEW, environment={"CONTRACT_API_KEY": SECRET})
    assert run.code == 0
    assert run.outcomes["auth/missing-key-is-401"] == "skipped"
    assert "reported: auth/missing-key-is-401" in run.output


def test_a_rule_without_exchanges_does_not_hold(run_gate: RunGate) -> None:
    with UsageMock(rate_limit=False) as mock:
        run = run_gate("--base-url", mock.url, "--max-requests", "1", "--api-key", "demo-busy")
    about_others = (
        "auth/missing",
        "auth/unknown",
        "errors/401",
        "errors/every",
        "errors/errors-do-not-disclose-metrics",
    )
    held = {rule for rule, outcome in run.outcomes.items() if outcome == "held" and rule.startswith(about_others)}
    assert held == set()
    assert "the result is partial" in run.output


def test_a_configuration_that_hides_the_rules_is_reported(run_gate: RunGate, tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\npython_files = check_*.py\n")
    run = run_gate("-c", "pytest.ini")
    assert run.code == 4
    assert "pytest has collected no rules. Check -k, -m, and python_files" in run.output


@pytest.mark.parametrize("mark", ["xfail", "xfail(run=False)"])
def test_a_mark_of_another_plugin_does_not_hide_a_broken_promise(
    mark: str, run_gate: RunGate, serve: Callable[[Respond], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "marking.py").write_text(
        "import pytest\n"
        "def pytest_collection_modifyitems(items):\n"
        f"    for item in items: item.add_marker(pytest.mark.{mark})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    url = serve(lambda _: http_response(b"{}"))
    run = run_gate("-p", "marking", "--base-url", url, *FEW, environment={"CONTRACT_API_KEY": SECRET})
    assert run.code == 1
    assert run.failed == {"auth/missing-key-is-401"}


def test_a_second_keys_absence_makes_the_result_partial_and_with_require_complete_red(run_gate: RunGate) -> None:
    with UsageMock(rate_limit=False) as mock:
        arguments = ("--base-url", mock.url, "-k", "only_the_header or missing_key", "--api-key", "demo-busy")
        partial, complete = run_gate(*arguments), run_gate(*arguments, "--require-complete")
    assert (partial.code, complete.code) == (0, 4)
    assert "the result is partial" in partial.output
    assert "not tested: keys/only-the-header-selects-the-key: it needs " in partial.output


UNTESTABLE: dict[str, tuple[Respond, str]] = {
    "401": (lambda _: http_response(b"{}", "401 Unauthorized"), "it refuses the main key with 401"),
    "403": (lambda _: http_response(b"{}", "403 Forbidden"), "it refuses the main key with 403"),
    "429": (
        lambda _: http_response(b"{}", "429 Too Many Requests"),
        "it answers 429, and the main key must wait 1 s",
    ),
    "silence": (lambda _: b"", "no response: the connection was closed without a byte"),
}


@pytest.mark.parametrize("how", UNTESTABLE)
def test_a_run_without_a_tested_rule_has_exit_code_4(
    how: str, run_gate: RunGate, serve: Callable[[Respond], str]
) -> None:
    respond, why = UNTESTABLE[how]
    url = serve(respond)
    run = run_gate("--base-url", url, "--max-time", "2", environment={"CONTRACT_API_KEY": SECRET})
    assert run.code == 4
    assert f"{url} could not be tested: {why}" in run.output
    assert "Traceback" not in run.output


BROKEN_FIRST_RESPONSES: dict[str, Respond] = {
    "500": lambda _: http_response(b"{}", "500 Oops"),
    "a malformed status line": lambda _: b"ICY 200 OK\r\nContent-Type: application/json\r\n\r\n{}",
    "a body without a head": lambda _: b'{"total": 1}',
    "a head cut short": lambda _: b"HTTP/1.1 200 OK\r\nContent-",
}


@pytest.mark.parametrize("how", BROKEN_FIRST_RESPONSES)
def test_any_other_first_response_is_a_broken_promise(
    how: str, run_gate: RunGate, serve: Callable[[Respond], str]
) -> None:
    run = run_gate("--base-url", serve(BROKEN_FIRST_RESPONSES[how]), environment={"CONTRACT_API_KEY": SECRET})
    assert run.code == 1
    assert "A response to a baseline request with a valid key MUST have status 200." in run.output
    assert len(run.outcomes) == 1


def test_a_refused_connection_is_reported_in_one_line(run_gate: RunGate) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        run = run_gate("--base-url", url, environment={"CONTRACT_API_KEY": SECRET})
    assert run.code == 4
    problem = f"no connection to {url.removeprefix('http://')}: Connection refused"
    reason = f"{url} could not be tested: {problem}; check that the server runs, and the port"
    assert reason in run.output.splitlines()
    assert f"! contract gate: {reason} !" in run.output


def test_a_run_that_ended_early_gives_the_reason_beside_its_verdict(
    run_gate: RunGate, serve: Callable[[Respond], str]
) -> None:
    run = run_gate("--base-url", serve(lambda _: b""), environment={"CONTRACT_API_KEY": SECRET})
    block = run.output.partition(" contract gate ")[2]
    assert "could not be tested: no response: the connection was closed without a byte" in block.splitlines()[1]


def test_a_run_without_a_selected_rule_has_exit_code_4(run_gate: RunGate) -> None:
    assert run_gate("-k", "no_such_rule").code == 4


def test_the_rules_are_listed_without_a_request(run_gate: RunGate) -> None:
    run = run_gate("--rules", "--base-url", "http://127.0.0.1:1")
    assert run.code == 0
    assert "auth/missing-key-is-401 (documented; authentication guide" in run.output


def test_keys_come_from_options_before_the_environment_before_the_file_that_it_names(
    run_gate: RunGate, tmp_path: Path
) -> None:
    with UsageMock(rate_limit=False) as mock:
        chosen = ("--base-url", mock.url, *FEW)
        assert run_gate(*chosen, "--api-key", "demo-busy", environment={"CONTRACT_API_KEY": "wrong-key"}).code == 0
        (tmp_path / "keys").write_text("demo-busy\n\ndemo-fresh\n")
        assert run_gate(*chosen, "--api-key-file", "keys", environment={"CONTRACT_API_KEY": "wrong-key"}).code == 0
        assert run_gate(*chosen, environment={"CONTRACT_API_KEY_FILE": "keys"}).code == 0


def test_a_base_path_a_gateway_field_and_the_runs_agent_are_sent(
    run_gate: RunGate, serve: Callable[[Respond], str]
) -> None:
    heads: list[bytes] = []

    def respond(head: bytes) -> bytes:
        heads.append(head)
        return http_response(b"{}")

    url = serve(respond) + "/gateway/v1/"
    run = run_gate(
        "--base-url",
        url,
        "--header",
        f"X-Gateway: {SECRET}",
        "-k",
        "valid_key",
        environment={"CONTRACT_API_KEY": "main-key"},
    )
    assert heads[0].startswith(b"GET /gateway/v1/usage HTTP/1.1\r\n")
    assert f"X-Gateway: {SECRET}\r\n".encode() in heads[0]
    assert re.search(rb"User-Agent: usage-contract/[\d.]+ run/[0-9a-f]{12}\r\n", heads[0])
    assert SECRET not in run.output


def test_a_configured_header_replaces_the_default_one(run_gate: RunGate, serve: Callable[[Respond], str]) -> None:
    heads: list[bytes] = []

    def respond(head: bytes) -> bytes:
        heads.append(head)
        return http_response(b"{}")

    header = ("--header", "user-agent: known-here/1", "--header", "Accept: application/vnd.usage+json")
    run_gate("--base-url", serve(respond), *header, "-k", "valid_key", environment={"CONTRACT_API_KEY": "main-key"})
    assert [line for line in heads[0].lower().splitlines() if line.startswith((b"user-agent", b"accept:"))] == [
        b"user-agent: known-here/1",
        b"accept: application/vnd.usage+json",
    ]


def test_a_kept_connection_carries_more_than_one_request(run_gate: RunGate) -> None:
    accepted: list[int] = []

    class Counting(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            accepted.append(0)
            while line := self.rfile.readline():
                if line == b"\r\n":
                    accepted[-1] += 1
                    self.wfile.write(http_response(b"{}").replace(b"Connection: close\r\n", b""))

    with serving_with(Counting) as url:
        chosen = ("--base-url", url, "--max-rate", "1000", "-k", "valid_key_is_200")
        assert run_gate(*chosen, environment={"CONTRACT_API_KEY": "main-key"}).code == 0
    assert len(accepted) > 10
    assert accepted.count(2) > 4


def test_the_rules_keep_their_order_after_a_failure(run_gate: RunGate, tmp_path: Path) -> None:
    cache = tmp_path / ".pytest_cache" / "v" / "cache"
    cache.mkdir(parents=True)
    last = f"{GATE.relative_to(GATE.parents[1])}/test_errors.py::test_responses_do_not_disclose_internals"
    (cache / "lastfailed").write_text(json.dumps({f"{prefix}{last}": True for prefix in ("", "../")}))
    chosen = ("-v", "-k", "missing_key or responses_do_not_disclose_internals")
    ran = re.findall(r"::(test_\w+) ", run_gate(*chosen, "-p", "cacheprovider", "--ff").output)
    assert ran[-1] == "test_responses_do_not_disclose_internals"


def test_the_same_deployment_gets_the_same_requests_twice(run_gate: RunGate) -> None:
    runs: list[list[bytes]] = []

    def respond(head: bytes) -> bytes:
        runs[-1].append(re.sub(rb"run/\w+|127.0.0.1:\d+", b"", head))
        return (
            http_response(b'{"total": 1}')
            if b"main-key\r\n" in head
            else http_response(b'{"detail": "no"}', "401 Unauthorized")
        )

    in_order = "not concurrent and not wildcard"  # these rules send requests at the same time
    with serving(respond, OneThreadServer) as url:
        for _ in range(2):
            runs.append([])
            run_gate("--base-url", url, "-k", in_order, environment={"CONTRACT_API_KEY": "main-key"})
    assert len(runs[0]) > 80
    assert runs[0] == runs[1]


def test_a_missing_first_response_ends_the_run_in_time(run_gate: RunGate) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        run = run_gate("--base-url", url, "--answer-timeout", "0.2", environment={"CONTRACT_API_KEY": SECRET})
    assert run.code == 4
    assert "no response: no byte for 0.2 s" in run.output
