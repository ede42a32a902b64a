"""Writes the reports when a run ends, however it ends."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract_tests.gate import COULD_NOT_BE_TESTED
from contract_tests.redaction import RedactedStream, Redactor
from contract_tests.reports.document import Report, redacted
from contract_tests.reports.github import workflow_commands
from contract_tests.reports.markdown import markdown
from contract_tests.reports.page import page
from contract_tests.reports.run import Ending, report_of
from contract_tests.spellings import RUN
from contract_tests.verdicts import Verdicts

USUAL = "fE"  # what pytest lists at the end where -r does not say otherwise
NAMES = ("contract.json", "contract.md", "contract.html")


@dataclass
class Reports:
    """The plugin of one run: `report_dir` is where its files go, None where they were not asked for."""

    verdicts: Verdicts
    redact: Redactor
    report_dir: str | None
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    clock: float = field(default_factory=time.monotonic)
    reason: str = ""
    evidence: str = ""
    report: Report | None = None

    def __post_init__(self) -> None:
        """Clear the folder of an earlier run's files; UsageError where it cannot be written to."""
        self.folder = Path(self.report_dir).absolute() if self.report_dir else None
        if self.folder:
            _prepare(self.folder, self.redact)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remember why the run ended before its rules did."""
        self.reason = str(excinfo.value) or "The run was interrupted."
        self.evidence = str(getattr(excinfo.value, "evidence", ""))

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Remember what went wrong in the gate itself."""
        self.reason = f"The gate itself failed: {excinfo.exconly()}"

    @pytest.hookimpl(trylast=True)  # after the exit code is settled
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the files, and GitHub's summary where there is one; a file that cannot be written is no green run."""
        option = session.config.option
        if option.collectonly or option.contract_rules or option.contract_plan:
            return
        try:
            for path, text in self._files(session):
                with path.open("a", encoding="utf-8") as file:
                    file.write(text)
        except OSError as error:
            self.report, self.reason = None, f"The report could not be written: {error}"
            if self.folder:
                _remove(self.folder)  # half a report is none
            session.exitstatus = session.exitstatus or COULD_NOT_BE_TESTED

    def _files(self, session: pytest.Session) -> Iterator[tuple[Path, str]]:
        arguments = session.config.invocation_params.args
        seconds = time.monotonic() - self.clock
        ending = Ending(
            int(session.exitstatus), self.reason, self.evidence, [*map(str, arguments)], self.started, seconds
        )
        self.report = redacted(report_of(self.verdicts, ending), self.redact)
        if self.folder:
            texts = (as_json(self.report), markdown(self.report), page(self.report))
            yield from ((self.folder / name, self._final(text)) for name, text in zip(NAMES, texts, strict=True))
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            yield Path(summary), self._final(markdown(self.report))

    def _final(self, text: str) -> str:
        """Redact what only came about in the file; a secret shorter than a run would hit numbers and markup."""
        return Redactor(tuple(secret if len(secret) >= RUN else "" for secret in self.redact.secrets))(text)

    @pytest.hookimpl(wrapper=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Generator[None]:
        """Annotate the run where GitHub runs it, and end with the place of the report."""
        if self.report and os.environ.get("GITHUB_ACTIONS") == "true":
            for line in workflow_commands(self.report):
                self._write_command(terminalreporter, line)
        if terminalreporter.config.option.reportchars == USUAL:
            terminalreporter.reportchars = ""  # pytest's own list would push the verdict off the screen
        yield
        if self.report and self.folder:
            terminalreporter.write_line(f"report: {self.folder / NAMES[-1]}")

    def _write_command(self, terminalreporter: pytest.TerminalReporter, line: str) -> None:
        stream = terminalreporter.config.get_terminal_writer()._file
        assert isinstance(stream, RedactedStream)  # which would escape the line like one of a deployment
        terminalreporter.ensure_newline()
        stream.write_command(line)


def as_json(report: Report) -> str:
    """Return the report as JSON; `report.schema.json` beside this file describes it."""
    return json.dumps(asdict(report), ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def _remove(folder: Path) -> None:
    for name in NAMES:
        with suppress(OSError):  # what kept it from being written may keep it from going
            (folder / name).unlink()


def _prepare(folder: Path, redact: Redactor) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            (folder / name).unlink(missing_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise pytest.UsageError(redact(f"--report-dir: {folder} cannot be written to: {error}")) from None
