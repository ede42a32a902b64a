"""The words of a command line are read as options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.gate import Run
from usage_contract_pytest.arguments import Word, expanded, words

SECRET = "k3y-0f-a-very-secret-kind"


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        (["--rule=a/b", "c"], Word("--rule", "a/b", 0, 1)),
        (["--header=A: b=c"], Word("--header", "A: b=c", 0, 1)),
        (["--rule", "a/b", "c"], Word("--rule", "a/b", 0, 2)),
        (["--rule", ""], Word("--rule", "", 0, 2)),
        (["--rule"], Word("--rule", None, 0, 1)),
        (["--intrusive", "contract_tests"], Word("--intrusive", None, 0, 1)),
    ],
)
def test_a_word_has_its_value_and_their_range(arguments: list[str], first: Word) -> None:
    assert next(words(arguments)) == first


def test_a_value_is_a_word_of_its_own_as_well() -> None:
    assert [word.option for word in words(["--api-key", "--header", "x"])] == ["--api-key", "--header", "x"]


def test_the_lines_of_a_file_are_words(tmp_path: Path) -> None:
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    inner.write_text("--rule\na/b c\n")
    outer.write_text(f"-q\n@{inner}\n")
    assert list(expanded(["-x", f"@{outer}", "@none"])) == ["-x", "-q", "--rule", "a/b c", "@none"]


def test_options_in_a_file_are_heeded_and_redacted(run_gate: Callable[..., Run], tmp_path: Path) -> None:
    options = ("--base-url", "http://127.0.0.1:1", "--report-dir", "out", "--api-key", SECRET, "--rule", SECRET)
    (tmp_path / "options.txt").write_text("\n".join(options))
    run = run_gate("@options.txt")
    assert run.code == 4
    assert "--rule: <redacted:1> is not a rule" in run.output
    assert "--rule: &lt;redacted:1&gt; is not a rule" in (tmp_path / "out" / "contract.html").read_text()
