"""The files of a run: cleared before it, and written when it has ended."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from contract_tests.redaction.redactor import Redactor
from contract_tests.redaction.spellings import RUN
from contract_tests.reports.comparison import EarlierReport, read_report
from contract_tests.reports.html import page
from contract_tests.reports.markdown import markdown
from contract_tests.reports.model import Report, as_json
from contract_tests.run.command_line import last_value
from contract_tests.run.junit import JUnitFile
from contract_tests.run.replacing import replacing
from usage_contract_pytest.arguments import REPORT_FILES

SPECIAL_FILES = ("/dev/std", "/dev/fd/", "/proc/")  # such as /dev/stdout, which is a regular file after a redirection


@dataclass
class Outputs:
    """The outputs of a run: the report folder, the JUnit file, GitHub's step summary and log.

    `compared` is the file of `--compare`, and `earlier` is its report: it may lie in the folder, which is cleared.
    `written` is set once the reports are written, and from the start in a run that writes none.
    """

    folder: Path | None = None
    junit: Path | None = None
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
        # Once more, because formatting may have completed a secret; a short secret may be in it by chance.
        final = Redactor(tuple(secret if len(secret) >= RUN else "" for secret in redact.secrets))
        for path, mode, text in list(self._texts(report)):  # an error in one format leaves none of the files behind
            try:
                with replacing(path) as part, part.open(mode, encoding="utf-8") as file:
                    file.write(final(text))
            except OSError as error:
                self._remove()  # an incomplete report must not remain
                raise OSError(error.errno, error.strerror, str(path)) from None
        self.written = True

    def _texts(self, report: Report) -> Iterator[tuple[Path, str, str]]:
        """Yield each file with its mode and its text; a report replaces that of a run at the same time."""
        if self.folder:
            texts = (as_json(report), markdown(report), page(report))
            yield from ((self.folder / name, "w", text) for name, text in zip(REPORT_FILES, texts, strict=True))
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            yield Path(summary), "a", markdown(report)

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
            file = JUnitFile(self.junit, None, "contract gate")
            file.pytest_sessionstart()
            file.write(message)


def _is_removable(path: Path) -> bool:
    """Whether a file is a regular one, and not a device, a pipe, or a name of standard output."""
    return path.is_file() and not str(path).startswith(SPECIAL_FILES)
