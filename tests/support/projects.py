"""pytest in other projects that share this environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SECRET = "k3y-0f-a-very-secret-kind"


def run_pytest(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a folder, without the pytest options and the gate's variables of this process."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "CONTRACT_"))}
    command = [
        str(Path(sys.executable).with_name("pytest")),
        "-p",
        "no:cacheprovider",
        "-p",
        "no:schemathesis",
        *arguments,
    ]
    return subprocess.run(command, cwd=folder, env=inherited | environment, capture_output=True, text=True, check=False)
