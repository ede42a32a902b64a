"""pytest's JUnit file, written together with the reports of a run, and with the reason of a run that ended early."""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.junitxml import LogXML, pytest_unconfigure, xml_key

from contract_tests.redaction.redactor import Redactor
from contract_tests.run.replacing import replacing


class JUnitFile(LogXML):
    """pytest's JUnit file, which is written only by `write`: pytest itself fails where the file cannot be written."""

    def write(self, reason: str) -> None:
        """Write the file, with a reason as an error: readers take a file without errors for a success."""
        if reason:
            case = self.node_reporter("contract gate")
            case.attrs.update(classname="contract_tests", name="contract gate")
            if not case.nodes:
                case._add_simple("error", reason, reason)
        logfile = self.logfile
        try:
            with replacing(Path(logfile)) as part:
                self.logfile = str(part)
                super().pytest_sessionfinish()
        finally:
            self.logfile = logfile

    def pytest_sessionfinish(self) -> None:
        """Leave the file to `write`."""


def take_over(config: pytest.Config, redact: Redactor) -> JUnitFile | None:
    """Replace pytest's plugin for `--junitxml`, if the run has that option."""
    given = config.stash.get(xml_key, None)
    if given is None:
        return None
    remove(config)
    own = config.stash[xml_key] = JUnitFile(
        given.logfile,
        given.prefix and redact(given.prefix),
        redact(given.suite_name),
        given.logging,
        given.report_duration,
        given.family,
        given.log_passing_tests,
    )
    config.pluginmanager.register(own)
    return own


def remove(config: pytest.Config) -> None:
    """Remove the plugin for `--junitxml`, which would print the path of its file."""
    pytest_unconfigure(config)
