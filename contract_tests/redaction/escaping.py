"""Escapes at the edge: text of a deployment must not control a terminal, a report or a CI system."""

from __future__ import annotations

import re

STYLE = r"\x1b\[[0-9;]*m"  # pytest's own colours (ECMA-48, SGR)
UNUSUAL = re.compile(r"[^\n -~]")
UNUSUAL_OR_STYLE = re.compile(rf"{STYLE}|\r|[^\n -~]")
# GitHub reads "::" at a line's start; GitHub, Azure Pipelines and TeamCity read "##[", "##vso[" and the like anywhere.
COMMAND = re.compile(rf"(?m)(?P<before>##\w*(?=\[)|^(?:[^\S\n]|{STYLE})*:(?=:))(?P<last>.)")
UNDECIDED = re.compile(rf"(?:[^\S\n]|{STYLE})*:?")
LONGEST_NAME = 64  # characters between "##" and "[": the names that CI systems know have fewer than twelve


def one_line(text: str) -> str:
    """Escape line ends as well as everything that `escaped` escapes."""
    return escaped(text).replace("\n", "\\n")


def escaped(text: str, before: str = "", *, styled: bool = False) -> str:
    """Escape control and format characters, and the last character of each prefix of a CI system's command.

    Args:
        text: Lines; their line ends are the only control characters that remain.
        before: The escaped beginning of the first line, if `text` continues a line.
        styled: Whether pytest's colours and its carriage returns remain.
    """
    text = (UNUSUAL_OR_STYLE if styled else UNUSUAL).sub(_escape, text)
    text = COMMAND.sub(lambda match: f"{match['before']}\\x{ord(match['last']):02x}", before + text)
    return text[len(before) :]


def unfinished(line: str) -> str:
    """Return the part of an unfinished line that may begin a command, which the next text completes."""
    if UNDECIDED.fullmatch(line):
        return line[-1:] if line.endswith(":") else ""
    return "x" + line[-LONGEST_NAME:]


def _escape(match: re.Match[str]) -> str:
    part = match[0]
    if len(part) > 1 or part.isprintable() or (part == "\r" and match.re is UNUSUAL_OR_STYLE):
        return part
    return part.encode("unicode_escape").decode()
