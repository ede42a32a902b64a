"""The README's first command in a fresh clone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.support.readme import CHECKOUT, SHELL, run


def test_the_first_command_runs_the_main_job_in_a_fresh_clone(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(CHECKOUT), str(clone)], check=True)
    tracked = subprocess.run(
        ["git", "ls-files", "-mo", "--exclude-standard"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    for name in tracked.stdout.split("\n"):  # what is not committed yet is tried, too
        if (CHECKOUT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, clone / name)
    result = run(SHELL[0], clone)
    assert result.returncode == 0, result.stdout + result.stderr
    assert " conforms at level documented" in result.stdout
