"""The files of a run: cleared first, and written even if the run cannot start."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract_tests.redaction.redactor import Redactor
from contract_tests.redaction.spellings import RUN, SHORTEST_SECRET
from contract_tests.redaction.streams import RedactedStream
from contract_tests.reports.comparison import EarlierReport, read_report
from contract_tests.reports.github import annotation
from contract_tests.reports.html import page
from contract_tests.reports.markdown import markdown
from contract_tests.reports.model import Report, as_json, redacted
from contract_tests.run.command_line import last_value, values_of
from contract_tests.run.first_request import COULD_NOT_BE_TESTED
from contract_tests.run.key_sources import BASE_URL, KEY_FILE, LIKE_KEY, MAIN_KEY, keys_in_place_of
from contract_tests.wire.target import Target
from usage_contract_pytest import unknown_options

SPECIAL_FILES = ("/dev/std", "/dev/fd/", "/proc/")  # such as /dev/stdout, which is a regular file after a redirection
REPORT_FILES = ("contract.json", "contract.md", "contract.html")
SENDS_NOTHING = {
    *("--rules", "--rules-json", "--plan", "--collect-only", "--collectonly", "--co"),
    *("-h", "--help", "-V", "--version", "--markers", "--fixtures", "--fixtures-per-test"),
}
ARGPARSE_ERROR = re.compile(r"(?s)usage: .*?\n[^\n]*?: error: (?P<problem>.*?)(?:\n  [\w ]+: [^\n]*)*")


@dataclass
class Outputs:
    """The outputs of a run: the report folder, the JUnit file, GitHub's step summary and log.

    `compared` is the file of `--compare`, and `earlier` is its report: it may lie in the folder, which is cleared.
    `written` is set as soon as the run has reported its own end.
    """

    arguments: Sequence[str]
    folder: Path | None
    junit: Path | None
    compared: Path | None = None
    earlier: EarlierReport | None = None
    written: bool = False

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Outputs:
        """Read the options from the command line, which may be wrong in other respects."""
        report_dir = last_value(arguments, "--report-dir")
        junit = last_value(arguments, "--junitxml", "--junit-xml")
        compared = last_value(arguments, "--compare")
        return cls(
            arguments,
            Path(report_dir).absolute() if report_dir else None,
            Path(os.path.expandvars(junit)).expanduser().absolute() if junit else None,
            Path(compared).absolute() if compared else None,
        )

    def prepare(self) -> None:
        """Read the report to compare with, and remove the files of an earlier run; UsageError where that fails."""
        problem = ""
        try:
            self.earlier = read_report(self.compared.read_text("utf-8-sig")) if self.compared else None
        except (OSError, ValueError) as error:  # reported once the folder is cleared
            problem = getattr(error, "strerror", None) or str(error)
        try:
            self._clear_junit()
        finally:  # an error of the folder takes precedence
            self._clear_folder()
        if problem:
            message = f"--compare: {self.compared} is not a report of the gate (contract.json): {problem}"
            raise pytest.UsageError(message)

    def _clear_folder(self) -> None:
        if not self.folder:
            return
        folder, self.folder = self.folder, None  # nothing is written to a folder that cannot be cleared
        paths = [folder / name for name in REPORT_FILES]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if special := [path for path in paths if path.exists() and not path.is_file()]:
                raise pytest.UsageError(f"--report-dir: {special[0]} is not a regular file; remove it")
            for path in paths:
                path.unlink(missing_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise pytest.UsageError(f"--report-dir: {folder} cannot be written to: {error}") from None
        self.folder = folder

    def _clear_junit(self) -> None:
        if not self.junit:
            return
        try:
            self.junit.parent.mkdir(parents=True, exist_ok=True)
            if not self.junit.exists() or _is_removable(self.junit):
                self.junit.open("w").close()
                self.remove_junit()
        except OSError as error:
            path, self.junit = self.junit, None
            raise pytest.UsageError(f"--junitxml: {path} cannot be written: {error.strerror}") from None

    def write(self, report: Report, redact: Redactor) -> None:
        """Write the report's files, and GitHub's summary where there is one.

        Raises:
            OSError: A file, which is its `filename`, cannot be written. The folder then has no report.
        """
        self.written = True
        # Once more, because formatting may have completed a secret; a short secret may be in it by chance.
        final = Redactor(tuple(secret if len(secret) >= RUN else "" for secret in redact.secrets))
        for path, text in list(self._texts(report)):  # an error in one format leaves none of the files behind
            try:
                with path.open("a", encoding="utf-8") as file:
                    file.write(final(text))
            except OSError as error:
                self._remove()  # an incomplete report must not remain
                raise OSError(error.errno, error.strerror, str(path)) from None

    def _texts(self, report: Report) -> Iterator[tuple[Path, str]]:
        if self.folder:
            texts = (as_json(report), markdown(report), page(report))
            yield from ((self.folder / name, text) for name, text in zip(REPORT_FILES, texts, strict=True))
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            yield Path(summary), markdown(report)

    def _remove(self) -> None:
        for path in [self.folder / name for name in REPORT_FILES] if self.folder else []:
            with suppress(OSError):  # it could not be written, so its removal may fail as well
                path.unlink()

    def remove_junit(self) -> None:
        """Remove the JUnit file, as far as possible: readers take an empty one for a success."""
        if self.junit and _is_removable(self.junit):
            with suppress(OSError):  # a file in a folder without write permission
                self.junit.resolve().unlink()

    def write_junit(self, message: str) -> None:
        """Write a JUnit file of a run without a session: its only test case is an error."""
        if self.junit:
            counts: dict[str, str] = {"tests": "1", "errors": "1", "failures": "0", "skipped": "0", "time": "0"}
            suites = ElementTree.Element("testsuites")
            suite = ElementTree.SubElement(suites, "testsuite", {"name": "contract gate", **counts})
            case = ElementTree.SubElement(suite, "testcase", classname="contract_tests", name="contract gate", time="0")
            ElementTree.SubElement(case, "error", message=message).text = message
            self.junit.parent.mkdir(parents=True, exist_ok=True)
            ElementTree.ElementTree(suites).write(self.junit, "utf-8", xml_declaration=True)

    def report_failed_start(self, error: BaseException | None) -> None:
        """Report an error that ended the run before its session, to all outputs of a session; redact its message."""
        redact = Redactor(self._secrets())
        if isinstance(error, pytest.UsageError):
            error.args = (redact(_reason(error)),)  # pytest prints it after this
        if error is None or self.written:
            return
        report = redacted(self._failed_start(_reason(error)), redact)
        if os.environ.get("GITHUB_ACTIONS") == "true":
            stream = RedactedStream(sys.stdout, redact)
            stream.write_command(annotation("error", "contract gate", report.headline))
            stream.flush()
        with suppress(OSError):  # the error itself is printed in any case
            self.write_junit(report.headline)
        with suppress(OSError):
            self.write(report, redact)

    def _failed_start(self, reason: str) -> Report:
        # Of the command line only the address: a mistyped option may be followed by a key.
        target = self._target()
        return Report(
            verdict="could not be tested",
            headline=f"{target or 'the deployment'} could not be tested: {reason}",
            exit_code=COULD_NOT_BE_TESTED,
            level="documented",
            target=target,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            reproduce="pytest --pyargs contract_tests" + (f" --base-url {target}" if target else ""),
        )

    def _target(self) -> str:
        url = last_value(self.arguments, "--base-url") or os.environ.get(BASE_URL, "")
        with suppress(pytest.UsageError):
            return Target.parse("--base-url", url).url
        return ""

    def _secrets(self) -> tuple[str, ...]:
        names = [name for name in os.environ if name.startswith(MAIN_KEY) or LIKE_KEY.fullmatch(name)]
        keys = [os.environ[name] for name in names if name != KEY_FILE]
        files = [os.environ.get(KEY_FILE, ""), *values_of(self.arguments, "--api-key-file")]
        keys += [key for file in files for key in keys_in_place_of(file)]
        keys += values_of(self.arguments, "--api-key")
        keys += [value.partition(":")[2].strip() for value in values_of(self.arguments, "--header")]
        return tuple(secret for secret in keys if len(secret) >= SHORTEST_SECRET)


def _is_removable(path: Path) -> bool:
    """Whether a file is a regular one, and not a device, a pipe, or a name of standard output."""
    return path.is_file() and not str(path).startswith(SPECIAL_FILES)


outputs_key = pytest.StashKey[Outputs]()


def watch(config: pytest.Config, arguments: Sequence[str]) -> Outputs:
    """Clear the outputs of an earlier run, and report from here on a run that cannot start.

    A run that sends nothing leaves an earlier run's outputs alone.
    """
    if outputs_key not in config.stash:
        is_quiet = bool(SENDS_NOTHING & set(arguments))
        outputs = Outputs([], None, None, written=True) if is_quiet else Outputs.of(arguments)
        config.stash[outputs_key] = outputs
        # pytest runs this while the error that ended the run passes through it.
        config.add_cleanup(lambda: outputs.report_failed_start(sys.exception()))
        outputs.prepare()
    return config.stash[outputs_key]


def _reason(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    if options := unknown_options(text):
        return f"unrecognized arguments: {' '.join(options)}"
    return usage["problem"] if (usage := ARGPARSE_ERROR.fullmatch(text)) else text
