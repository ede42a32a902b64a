"""A run that cannot start: its error is reported to all outputs that a session has."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from contract_tests.redaction.redactor import Redactor
from contract_tests.redaction.spellings import SHORTEST_SECRET
from contract_tests.redaction.streams import RedactedStream
from contract_tests.reports.github import annotation
from contract_tests.reports.model import Report, redacted
from contract_tests.run.command_line import last_value, values_of
from contract_tests.run.first_request import COULD_NOT_BE_TESTED
from contract_tests.run.key_sources import BASE_URL, KEY_FILE, LIKE_KEY, MAIN_KEY, keys_in_place_of
from contract_tests.run.outputs import Outputs
from contract_tests.wire.target import Target
from usage_contract_pytest import unknown_options
from usage_contract_pytest.arguments import OPTIONS

SENDS_NOTHING = {
    *(option.name for option in OPTIONS if option.is_list),
    *("--collect-only", "--collectonly", "--co"),
    *("-h", "--help", "-V", "--version", "--markers", "--fixtures", "--fixtures-per-test", "--cache-show"),
}
ARGPARSE_ERROR = re.compile(r"(?s)usage: .*?\n[^\n]*?: error: (?P<problem>.*?)(?:\n  [\w ]+: [^\n]*)*")
outputs_key = pytest.StashKey[Outputs]()


def watch(config: pytest.Config, arguments: Sequence[str]) -> None:
    """Clear the outputs of an earlier run, and report from here on a run that cannot start.

    A run that sends nothing leaves an earlier run's outputs alone.
    """
    if outputs_key in config.stash:  # the command line names the plugin by -p, too
        return
    is_quiet = bool(SENDS_NOTHING & set(arguments))
    outputs = config.stash[outputs_key] = Outputs(written=True) if is_quiet else Outputs.of(arguments)
    # pytest runs this while the error that ended the run passes through it.
    config.add_cleanup(lambda: _report(sys.exception(), outputs, arguments))
    outputs.prepare()


def _report(error: BaseException | None, outputs: Outputs, arguments: Sequence[str]) -> None:
    """Report an error that ended the run before its session, to all outputs of a session; redact its message."""
    redact = Redactor(_secrets(arguments))
    if isinstance(error, pytest.UsageError):
        error.args = (redact(_reason(error)),)  # pytest prints it after this
    if error is None or outputs.written:
        return
    report = redacted(_failed_start(_reason(error), arguments), redact)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        stream = RedactedStream(sys.stdout, redact)
        stream.write_command(annotation("error", "contract gate", report.headline))
        stream.flush()
    with suppress(OSError):  # the error itself is printed in any case
        outputs.write_junit(report.headline)
    with suppress(OSError):
        outputs.write(report, redact)


def _reason(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    if options := unknown_options(text):
        return f"unrecognized arguments: {' '.join(options)}"
    return usage["problem"] if (usage := ARGPARSE_ERROR.fullmatch(text)) else text


def _failed_start(reason: str, arguments: Sequence[str]) -> Report:
    # Of the command line only the address: a mistyped option may be followed by a key.
    target = _target(arguments)
    return Report(
        verdict="could not be tested",
        headline=f"{target or 'the deployment'} could not be tested: {reason}",
        exit_code=COULD_NOT_BE_TESTED,
        level="documented",
        target=target,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        reproduce="pytest --pyargs contract_tests" + (f" --base-url {target}" if target else ""),
    )


def _target(arguments: Sequence[str]) -> str:
    url = last_value(arguments, "--base-url") or os.environ.get(BASE_URL, "")
    with suppress(pytest.UsageError):
        return Target.parse("--base-url", url).url
    return ""


def _secrets(arguments: Sequence[str]) -> tuple[str, ...]:
    names = [name for name in os.environ if name.startswith(MAIN_KEY) or LIKE_KEY.fullmatch(name)]
    keys = [os.environ[name] for name in names if name != KEY_FILE]
    files = [os.environ.get(KEY_FILE, ""), *values_of(arguments, "--api-key-file")]
    keys += [key for file in files for key in keys_in_place_of(file)]
    keys += values_of(arguments, "--api-key")
    keys += [value.partition(":")[2].strip() for value in values_of(arguments, "--header")]
    return tuple(secret for secret in keys if len(secret) >= SHORTEST_SECRET)
