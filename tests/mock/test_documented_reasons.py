"""The pages list each value of Mock-Reason, and no other one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from mock_server.control.api import ERRORS
from mock_server.web import connection, reasons

ROOT = Path(__file__).parents[2]
CONTROL = ROOT / "mock_server" / "control"


def rows(page: str, heading: str) -> list[str]:
    """Return the first cells of the tables below a heading, down to the next heading."""
    text = (ROOT / "docs" / page).read_text().partition(f"\n{heading}\n")[2]
    section = re.split(r"^#+ ", text, maxsplit=1, flags=re.MULTILINE)[0]
    cells = re.findall(r"^\| (`[a-z-]+`(?:, `[a-z-]+`)*) \|", section, re.MULTILINE)
    return re.findall(r"[a-z-]+", " ".join(cells))


def literals(path: Path) -> set[str]:
    """Return the words of a module that can be reasons."""
    texts = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
    return {text for text in texts if isinstance(text, str) and re.fullmatch(r"[a-z]+(-[a-z]+)+", text)}


def control_reasons() -> set[str]:
    """Return the reasons of the control API: those of ERRORS, and the second arguments of ControlError."""
    found = {response[1] for response in ERRORS.values()}
    for path in CONTROL.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "ControlError":
                found |= {str(each.value) for each in node.args[1:2] if isinstance(each, ast.Constant)}
    return found | {"invalid-query", "invalid-body"}  # an f-string


def test_the_page_of_the_mock_lists_its_reasons() -> None:
    listed = rows("mock.md", "### Why a key is refused") + rows("mock.md", "### Other reasons")
    assert len(set(listed)) == len(listed)
    assert sorted(set(reasons.SENTENCES) - set(listed)) == []
    assert sorted(set(listed) - set(reasons.SENTENCES) - literals(Path(connection.__file__))) == []


def test_the_page_of_the_control_api_lists_its_reasons() -> None:
    listed = rows("control-api.md", "## Reasons")
    assert sorted(listed) == sorted(control_reasons())
