"""The code blocks of a document are found, run in order, and compared with what the document shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.documents import Block, blocks, run_page


def page(folder: Path, text: str) -> Path:
    """Write a document."""
    path = folder / "page.md"
    path.write_text(text)
    return path


def test_a_block_has_a_language_a_text_and_a_line(tmp_path: Path) -> None:
    path = page(tmp_path, "# Page\n\n```sh\ntrue\n```\n\n- item\n\n  ```python\n  pass\n  ```\n")
    assert blocks(path) == [Block("sh", "true\n", 3), Block("python", "pass\n", 9)]


def test_blocks_share_a_shell_and_a_folder(tmp_path: Path) -> None:
    text = "```console\n$ name=a.toml\n$ echo \\\n    $name\na.toml\n```\n\n```toml\n# a.toml\nport = 1\n```\n\n"
    run_page(page(tmp_path, text + "```console\n$ cat $name\n# ...\nport = 1\n$ false; echo $?\n1\n```\n"), tmp_path)


@pytest.mark.parametrize(
    "block",
    [
        "console\n$ echo shown\nother",
        "console\n$ echo more\n",
        "console\n$ exit 3\n",
        "console\n$ echo no server\nLISTENING http://127.0.0.1:8080",
        "sh\nfalse",
        "python\nassert False",
        "yaml\nwithout: a file",
        "json\n{}",
        "console\nno command",
        "\nno language",
    ],
)
def test_a_block_with_another_result_fails_with_its_position(tmp_path: Path, block: str) -> None:
    with pytest.raises(AssertionError, match=r"^page\.md:3: "):
        run_page(page(tmp_path, f"# Page\n\n```{block}\n```\n"), tmp_path)
