"""The command `usage-mock init`: a deployment file to start from, and its schema."""

from __future__ import annotations

from pathlib import Path

from mock_server.command.errors import report
from mock_server.command.user_errors import reporting
from mock_server.fixtures.files import shipped_fixtures
from mock_server.streams import write_output
from usage_contract.files import read_bytes

TEMPLATE = Path(__file__).with_name("deployment.yaml")
SCHEMA = "deployment.schema.json"


@reporting
def init(target: Path) -> int:
    """Write a deployment file and its schema to a folder, and return the exit code: 4 if a file exists already."""
    files = {target / "deployments" / "default.yaml": TEMPLATE, target / SCHEMA: shipped_fixtures() / SCHEMA}
    if existing := [path for path in files if path.exists()]:
        return report("\n".join(f"init: {path}: exists already; nothing was written" for path in existing))
    try:
        for path, source in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(read_bytes(source))
    except OSError as error:
        return report(f"init: {error.filename}: cannot be written: {error.strerror}")
    write_output("".join(f"{path}\n" for path in files))
    return 0
