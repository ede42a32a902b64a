"""The command `usage-mock faults`: the faults and variants that can be switched on."""

from __future__ import annotations

from pathlib import Path

from mock_server.command.errors import report
from mock_server.command.user_errors import reporting
from mock_server.fixtures.faults import FOLDERS
from mock_server.fixtures.files import check_folder, fixture_files
from mock_server.fixtures.summaries import summary
from mock_server.masking import printable
from mock_server.streams import write_output


@reporting
def list_faults(fixtures: Path | None, text: str) -> int:
    """Print the faults and variants whose name or description contains a text, and return the exit code: 4 for none."""
    check_folder(fixtures)
    files = sorted(fixture_files(fixtures, *FOLDERS).items())
    lines = [printable(f"{name}: {summary(path)['description']}") for name, path in files]
    found = [line for line in lines if text.lower() in line.lower()]
    write_output("".join(f"{line}\n" for line in found))
    return 0 if found else report(f"faults: no name and no description contains {text!r}")
