"""The check of the wording reports bad sentences and accepts good ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.prose import main, problems_of_text

BAD = {
    "Nobody falls back to tokens.": "'nobody'",
    "The port 0 is no port.": "'is no port'",
    "What disturbs others needs a flag.": "'What disturbs others needs'",
    "It is fine. Whose key it is, remains open.": "'Whose key it is,'",
    f"A sentence {'goes on ' * 13}.": "28 words",
}


@pytest.mark.parametrize("text", BAD)
def test_a_bad_sentence_is_reported(text: str) -> None:
    (problem,) = problems_of_text(text)
    assert problem.startswith(BAD[text])


@pytest.mark.parametrize(
    "text", ["The port is not valid.", "What does a run cost?", "The key is no longer valid.", "`is no port` is code."]
)
def test_a_good_sentence_is_accepted(text: str) -> None:
    assert list(problems_of_text(text.replace("`is no port`", "CODE"))) == []


def test_comments_docstrings_and_messages_of_code_are_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        '"""What stands here."""\n\nerror = "that is no port"  # nobody\nkey = "nobody-issued-this-key-0f6b1c"\n'
    )
    assert main([str(tmp_path)]) == 1
    assert [line.partition(": ")[0] for line in capsys.readouterr().out.splitlines()] == [
        f"{module}:{line}" for line in (1, 3, 3)
    ]


def test_problems_name_file_and_line_and_skip_code_and_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Title\n\n```sh\nnobody\n```\n\n| nobody |\n\nA line that breaks in the\nmiddle. Nobody is here.\n"
    )
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{page}:9: the line breaks within a clause, after 'the'",
        f"{page}:9: 'nobody': name the actor, or write 'is not a …' or 'has no …'",
    ]
