"""No output of a run discloses a key, even if the deployment echoes keys in its responses."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.support.canary import KEY, OTHER, echo, leaks
from tests.support.gate import Respond, Run, http_response


def test_no_output_of_a_failing_run_discloses_a_key(
    run_gate: Callable[..., Run], serve: Callable[[Respond], str]
) -> None:
    run = run_gate(
        *(
            "--base-url",
            serve(echo),
            "--max-rate",
            "1000",
            "-vv",
            "-ra",
            "--showlocals",
            "--full-trace",
            "--setup-show",
        ),
        *("-o", "log_cli=true", "--log-level=DEBUG", "-o", "junit_logging=all", "-p", "cacheprovider"),
        environment={"CONTRACT_API_KEY": KEY, "CONTRACT_API_KEY_2": OTHER},
    )
    assert run.code == 1
    assert "<redacted:1>" in run.output
    assert len(run.failed) > 5
    assert (run.folder / ".pytest_cache").exists() or "cacheprovider" in run.output
    assert leaks(run.folder) == []


VERBOSE = {
    "the plan of fixtures": ("--setup-plan",),
    "the set-up of fixtures": ("--setup-only",),
    "plugins": ("--trace-config", "--fixtures-per-test"),
    "a log file": ("--log-file=log.txt", "--log-file-level=DEBUG", "--log-cli-level=DEBUG"),
    "nothing captured": ("-s",),
    "captured output, twice": ("--capture=tee-sys", "-rA"),
    "each style": ("--tb=long", "-l", "-vvv", "--durations=0"),
    "another style": ("--tb=native", "-l"),
    "a debugger without input": ("--pdb", "-x"),
}


@pytest.mark.parametrize("case", VERBOSE)
def test_pytests_own_output_options_disclose_no_key(
    case: str, run_gate: Callable[..., Run], serve: Callable[[Respond], str]
) -> None:
    options = ("--base-url", serve(echo_to_some), "--max-rate", "1000", "-k", "test_keys or test_auth or test_schema")
    secrets = ("--api-key", KEY, f"--api-key={OTHER}", "--report-dir", "out")
    run = run_gate(*options, *secrets, *VERBOSE[case])
    assert re.search(r"=+ .* in [0-9.]+s", run.output)  # the run was complete
    assert leaks(run.folder) == []


def echo_to_some(head: bytes) -> bytes:
    """Return usage metrics with a key for a request with a key, so that the run continues; echo other requests."""
    if KEY.encode() in head or OTHER.encode() in head:
        return http_response(f'{{"total": 1, "success": 1, "fail": 0, "api_key": "{KEY}"}}'.encode())
    return echo(head).replace(b"200 OK", b"401 Unauthorized", 1)


def test_no_output_of_a_run_that_cannot_be_tested_discloses_a_key(
    run_gate: Callable[..., Run], serve: Callable[[Respond], str]
) -> None:
    run = run_gate("--base-url", serve(lambda _: b""), "--full-trace", environment={"CONTRACT_API_KEY": KEY})
    assert run.code == 4
    assert leaks(run.folder) == []
