"""The pytest plugin that writes the reports of a run, however it ends."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from contract_tests.redaction.escaping import escaped
from contract_tests.redaction.redactor import Redactor
from contract_tests.redaction.streams import RedactedStream, flush_standard_streams
from contract_tests.reports.deviations import suggested_deviations
from contract_tests.reports.github import workflow_commands
from contract_tests.reports.model import Report, redacted
from contract_tests.run.first_request import COULD_NOT_BE_TESTED, CouldNotBeTestedError
from contract_tests.run.junit import JUnitFile, remove
from contract_tests.run.outputs import Outputs
from contract_tests.run.report import Ending, report_of
from contract_tests.run.subject import sends_nothing
from contract_tests.run.verdicts import Verdicts
from contract_tests.wire.messages import Exchange
from usage_contract_pytest.arguments import REPORT_FILES, expanded

DEFAULT_REPORTCHARS = "fE"  # pytest's default for -r


@dataclass
class ReportPlugin:
    """A pytest plugin that writes the reports of one run."""

    verdicts: Verdicts
    redact: Redactor
    outputs: Outputs
    output: RedactedStream
    junit: JUnitFile | None
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    reason: str = ""
    exchange: Exchange | None = None
    report: Report | None = None
    problems: list[str] = field(default_factory=list)

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Store why the run ended early."""
        if isinstance(excinfo.value, CouldNotBeTestedError):
            excinfo.traceback = excinfo.traceback[-1:]  # pytest would format it, in vain
        self.reason = str(excinfo.value)
        self.exchange = getattr(excinfo.value, "exchange", None)

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Store the error of the gate itself."""
        self.reason = f"The gate itself failed: {excinfo.exconly()}"

    @pytest.hookimpl(wrapper=True, tryfirst=True)  # around the summary, which pytest prints when the session is over
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        """Report on standard error that standard output could not be written."""
        yield
        self._check_output(session)
        if self.output.failure:
            with suppress(OSError):  # standard error may be the same full disk
                sys.stderr.write(self.redact(f"ERROR: {self._problem}\n"))
            atexit.register(flush_standard_streams)  # a failed flush would replace the exit code by 120

    @pytest.hookimpl(trylast=True, specname="pytest_sessionfinish")
    def pytest_write_reports(self, session: pytest.Session) -> None:
        """Set the exit code, and write the reports; a run whose outputs cannot be written is not green."""
        if sends_nothing(session.config.option):
            return
        session.exitstatus = self.verdicts.end(session)
        if self.outputs.written:
            return
        if isinstance(error := sys.exception(), pytest.UsageError):
            self.reason = f"{self.verdicts.settings.target.url} could not be tested: {error}"
        self._check_output(session)
        self.report = self._report_of(session)
        if not self._write_junit(session, self.report):
            self.report = self._report_of(session)
        try:
            self.outputs.write(self.report, self.redact)
        except OSError as error:
            self._note(f"{error.filename} could not be written: {error.strerror}", session)
            self._write_junit(session, self._report_of(session))

    def _report_of(self, session: pytest.Session) -> Report:
        arguments = expanded(map(str, session.config.invocation_params.args))
        code = int(session.exitstatus)
        reason = self.reason or (self._problem if code == COULD_NOT_BE_TESTED else "")
        ending = Ending(code, reason, self.exchange, [*arguments], self.started)
        return redacted(report_of(self.verdicts, ending, self.outputs.earlier), self.redact)

    def _check_output(self, session: pytest.Session) -> None:
        self.output.flush()
        if self.output.failure:
            self._note(f"standard output could not be written: {self.output.failure}", session)

    @property
    def _problem(self) -> str:
        return "; ".join(self.problems)

    def _write_junit(self, session: pytest.Session, report: Report) -> bool:
        """Write the JUnit file, with an error where its test cases alone would be a success, and the run is not."""
        if self.junit:
            is_success = session.exitstatus == pytest.ExitCode.OK
            is_red = session.exitstatus == pytest.ExitCode.TESTS_FAILED
            reason = escaped(self.redact(self._problem)) if is_red else "" if is_success else report.headline
            try:
                self.junit.write(reason)
            except OSError as error:
                self.outputs.remove_junit()
                self._note(f"--junitxml: {self.junit.logfile} could not be written: {error.strerror}", session)
                remove(session.config)
                self.junit = None
                return False
        return True

    def _note(self, problem: str, session: pytest.Session) -> None:
        """Note that an output could not be written, so that the run is not green."""
        if problem not in self.problems:
            self.problems.append(problem)
        session.exitstatus = session.exitstatus or COULD_NOT_BE_TESTED

    @pytest.hookimpl(wrapper=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Generator[None]:
        """Print annotations for GitHub, and the path of the report."""
        if self.report and os.environ.get("GITHUB_ACTIONS") == "true":
            for line in workflow_commands(self.report):
                terminalreporter.ensure_newline()
                self.output.write_command(line)  # a write by pytest escapes commands
        if terminalreporter.config.option.reportchars == DEFAULT_REPORTCHARS:
            terminalreporter.reportchars = ""  # pytest's own list would scroll the verdict away
        yield
        if self.report and self.report.fatal_rules:
            terminalreporter.write_line(f"run again: {self.report.fatal_rules[0].reproduce}")
        if self.report and self.outputs.written and (path := self._report_path(self.report)):
            terminalreporter.write_line(f"report: {path}")

    def _report_path(self, report: Report) -> str:
        """Return where the report is, and that it contains the next step; empty if there is neither."""
        suggestion = "with entries for --known-deviations" if suggested_deviations(report) else ""
        if self.outputs.folder:
            return str(self.outputs.folder / REPORT_FILES[-1]) + (f", {suggestion}" if suggestion else "")
        return suggestion and f"--report-dir DIR writes one, {suggestion}"
