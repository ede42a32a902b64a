"""The command `usage-mock init`: a deployment file to start from, and its schema."""

from __future__ import annotations

import sys
from pathlib import Path

from mock_server.command.errors import report
from mock_server.fixtures.files import shipped_fixtures
from usage_contract.files import read_bytes

TEMPLATE = Path(__file__).with_name("deployment.yaml")
SCHEMA = "deployment.schema.json"


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
            sys.stdout.write(f"{path}\n")
    except OSError as error:
        return report(f"init: {error.filename}: cannot be written: {error.strerror}")
    return 0
