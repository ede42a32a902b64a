"""The README's first command in a fresh clone, and its output."""

from __future__ import annotations

import shutil
import subprocess
from doctest import ELLIPSIS, OutputChecker
from pathlib import Path

import pytest

from tests.support.documents import blocks
from tests.support.readme import CHECKOUT, SHELL, run


def test_the_first_command_runs_the_main_job_in_a_fresh_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(CHECKOUT), str(clone)], check=True)
    tracked = subprocess.run(
        ["git", "ls-files", "-mo", "--exclude-standard"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    for name in tracked.stdout.split("\n"):  # changes that are not committed yet are included
        if (CHECKOUT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, clone / name)
    monkeypatch.setenv("PIP_COMPILE", "0")  # Python compiles the modules that the gate imports, and no others
    result = run(SHELL[0], clone)
    assert result.returncode == 0, result.stdout + result.stderr
    (shown,) = [block.text for block in blocks(CHECKOUT / "README.md") if block.language == "text"]
    assert OutputChecker().check_output(f"...{shown}...", result.stdout, ELLIPSIS), result.stdout
