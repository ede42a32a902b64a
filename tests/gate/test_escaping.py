"""Text of a deployment controls no terminal, no report and no log of a CI system."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import hypothesis
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contract_tests.redaction.escaping import escaped
from contract_tests.redaction.redactor import Redactor
from contract_tests.redaction.streams import RedactedStream
from tests.support.gate import Respond, Run

no_deadline = hypothesis.settings(deadline=None)  # no result depends on the speed of the machine
COMMANDS = (
    "::error::forged", "##[error]forged", "##vso[task.complete result=Succeeded]forged", "##teamcity[buildStop forged]",
    "  ::stop-commands::forged", "\t::set-output name=a::forged", "##[section]forged",
    "::warning file=a%0A::error::forged",
)  # fmt: skip
CONTROLS = "\x00\x07\x08\x1b[2J\x1b]0;title\x07\x7f\x85\x9b31m\xad\u200b\u200e\u202e\u2028\u2066\ufeff\r\x0b\x0c\t"
OBEYED = re.compile(r"(?m)^\s*::|##\w*\[")  # by GitHub at a line's start, by GitHub, Azure and TeamCity anywhere
ANNOTATION = re.compile(r"^::(error|warning|notice) title=[\w/ %-]*::[^\n]*$", re.MULTILINE)
pieces = st.sampled_from([*COMMANDS, "::", ":", "##", "#", "[", "vso", " ", "\n", "x", "error", "\t", "\r", "\x1b[31m"])
texts = st.lists(pieces | st.text(max_size=3)).map("".join)


def is_harmless(text: str) -> bool:
    return all(letter == "\n" or letter.isprintable() for letter in text) and not OBEYED.search(text)


@no_deadline
@given(texts)
@example(CONTROLS)
@example("\n".join(COMMANDS))
def test_escaped_text_has_line_ends_and_printable_characters_only(text: str) -> None:
    assert is_harmless(escaped(text))
    assert escaped(escaped(text)) == escaped(text)


@no_deadline
@given(st.lists(texts, max_size=6))
@example(["#", "#", "v", "so", "[task]"])
@example([" ", ":", ":error::"])
@example(["a\n", "  ", "", ":", ":error::"])
def test_command_that_arrives_in_pieces_is_escaped(written: list[str]) -> None:
    plain = io.StringIO()
    stream = RedactedStream(plain, Redactor(()))
    for text in written:
        stream.write(text)
    assert is_harmless(plain.getvalue())


@no_deadline
@given(texts)
def test_styled_text_keeps_colours_and_nothing_else(text: str) -> None:
    left = re.sub(r"\x1b\[[0-9;]*m|\r", "", escaped(text, styled=True))
    assert all(letter == "\n" or letter.isprintable() for letter in left)
    assert not OBEYED.search(left)


@pytest.mark.parametrize("text", ["a::b", "## heading", "std::vector", "a ##b", "#[1]", "grün ✓ …", "x: [1]"])
def test_ordinary_text_is_not_changed(text: str) -> None:
    assert escaped(text) == text


def test_commands_of_the_gate_are_not_escaped() -> None:
    plain = io.StringIO()
    stream = RedactedStream(plain, Redactor(("a-secret-value",)))
    stream.write("line\n")
    stream.write_command("::error title=x::a-secret-value")
    stream.write("::error::")
    assert plain.getvalue() == "line\n::error title=x::<redacted:1>\n:\\x3aerror::"


def hostile(where: str) -> Respond:
    """Return a deployment that puts commands and controls into one part of its responses."""
    text = CONTROLS.replace("\r", "").replace("\x00", "") + " ".join(COMMANDS)
    line = text.encode("latin-1", "ignore").replace(b"\n", b"").replace(b"\x0b", b"").replace(b"\x0c", b"")
    body = ("\n".join(COMMANDS) + "\n" + CONTROLS).encode()
    fields = {"reason": b"", "header": b"Content-Type: text/" + line + b"\r\nLocation: /" + line + b"\r\n", "body": b""}

    def respond(head: bytes) -> bytes:
        is_valid = b"main-key" in head or b"##vso" in head
        status = b"200 " if is_valid else b"302 " if where == "header" else b"418 "
        payload = json.dumps({"total": 1}).encode() if is_valid else body if where == "body" else b"{}"
        kind = fields[where] or b"Content-Type: application/json\r\n"
        head = b"HTTP/1.1 " + status + (line if where == "reason" else b"Odd") + b"\r\n" + kind
        return head + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(payload) + payload

    return respond


@pytest.mark.parametrize("key", ["main-key", "##vso[task.x]::error::%0A::error::y"])
@pytest.mark.parametrize("where", ["reason", "header", "body"])
def test_hostile_deployment_controls_no_output(
    where: str, key: str, run_gate: Callable[..., Run], serve: Callable[[Respond], str]
) -> None:
    run = run_gate(
        *("--base-url", serve(hostile(where)), "--max-rate", "1000", "--report-dir", "out", "-rA"),
        *("-k", "missing_key or malformed_key or error_body or valid_key or near_key"),
        environment={"CONTRACT_API_KEY": key, "GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": "summary.md"},
    )
    assert run.code == 1
    assert "forged" in run.output
    assert ANNOTATION.search(run.output)
    assert is_harmless(ANNOTATION.sub("", run.output)), OBEYED.search(ANNOTATION.sub("", run.output))
    for path in ((run.folder / "out" / name) for name in ("contract.json", "contract.md", "contract.html")):
        assert is_harmless(path.read_text()), path
    assert is_harmless((run.folder / "summary.md").read_text())
    tree = ElementTree.parse(run.folder / "junit.xml")
    texts = [text for node in tree.iter() for text in (node.text or "", *node.attrib.values())]
    assert all(is_harmless(text) for text in texts)
