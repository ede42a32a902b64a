"""Checks the wording of documents: `python -m tools.prose FILE …`.

It fails on words that hide the actor, on clauses without a head, and on sentences of more than 25 words.
It also fails on lines that are longer than 140 characters or break within a clause.
Code, tables and comments are skipped.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

LONGEST_SENTENCE = 25  # words
LONGEST_LINE = 140  # characters

# Words without an actor, and negations that a reader has to translate.
WORDS = re.compile(
    r"\b(nobody|somebody|everybody|whoever|anybody|no one|someone|whatever|(?:is|are|was|were) no [\w-]+|that is none"
    r"|let in|sent away|kept off|so-?manieth|so many)\b",
    re.IGNORECASE,
)
HEADLESS = re.compile(r"^(What|Who|Whose|Whatever|Whoever)\b(?!.*\?$)")
ALLOWED = {
    "is no longer": "an adverb, not a negated noun",
    "are no longer": "an adverb, not a negated noun",
}

# Texts of code that are not prose.
CODE_ALLOWED = {
    "nobody-issued-this-key-0f6b1c": "an API key; a deployment that was tested before knows it in its logs",
}

# Generated pages, whose entries are the texts of the rules; only the part before the first entry is checked.
FRAME_ONLY = {"rules.md": "\n## "}

# A line may end with punctuation, or before one of these words.
CLAUSE_START = re.compile(
    r"^(and|or|but|which|that|who|whose|because|when|where|if|unless|so|to|as|for|with|without|before|after|until|while"
    r"|from|by|in|on|at|of|than|through|between|under|over|instead|including|such|see)\b|^[(\[`*|]"
)
CODE = re.compile(r"`[^`]*`")
LINK = re.compile(r"!?\[((?:[^\[\]]|\[[^\]]*\])*)\]\([^)]*\)")
SENTENCE_END = re.compile(r"(?<=[.!?:])[\"')*]*\s+(?=[A-Z`\[*(])")
LIST_MARK = re.compile(r"^\s*(?:[-*]|\d+\.)\s+")


@dataclass(frozen=True)
class Problem:
    """A finding: the file, the line and a sentence about it."""

    path: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


def problems(path: Path) -> Iterator[Problem]:
    """Yield every problem of a Markdown document or a Python module."""
    yield from problems_of_code(path) if path.suffix == ".py" else problems_of_document(path)


def problems_of_code(path: Path) -> Iterator[Problem]:
    """Yield the problems of the comments, docstrings and other texts of a Python module."""
    source = path.read_text(encoding="utf-8")
    texts = [
        (node.lineno, node.value)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    texts += [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]
    for line, text in texts:
        if text not in CODE_ALLOWED and "(?" not in text:  # `(?` starts a group of a regular expression
            for paragraph in re.split(r"\n\s*\n|\n(?=\s+\w+: )", CODE.sub("CODE", text.lstrip("# "))):
                yield from (Problem(path, line, problem) for problem in problems_of_text(" ".join(paragraph.split())))


def problems_of_document(path: Path) -> Iterator[Problem]:
    """Yield every problem of a Markdown document."""
    text, entries = path.read_text(encoding="utf-8"), FRAME_ONLY.get(path.name)
    for start, lines in paragraphs(text.split(entries)[0] if entries else text):
        for number, line in enumerate(lines, start):
            if len(line) > LONGEST_LINE:
                yield Problem(path, number, f"the line has {len(line)} characters; at most {LONGEST_LINE}")
        for number, (line, following) in enumerate(pairwise(lines), start):
            if line.rstrip()[-1] not in ".:;,!?)" and not CLAUSE_START.match(following.strip()):
                yield Problem(path, number, f"the line breaks within a clause, after {line.split()[-1]!r}")
        text = " ".join(plain(line) for line in lines)
        yield from (Problem(path, start, problem) for problem in problems_of_text(text))


def problems_of_text(text: str) -> Iterator[str]:
    """Yield the problems of some sentences, without their positions."""
    for match in WORDS.finditer(text):
        phrase = match[0].lower()
        if phrase not in ALLOWED:
            yield f"{phrase!r}: name the actor, or write 'is not a …' or 'has no …'"
    for sentence in SENTENCE_END.split(text):
        if HEADLESS.match(sentence):
            yield f"{' '.join(sentence.split()[:4])!r}: a sentence starts with the noun that it is about"
        words = len(re.findall(r"[\w'\u2019-]*\w", sentence))
        if words > LONGEST_SENTENCE:
            yield f"{words} words in {' '.join(sentence.split()[:5])!r}; at most {LONGEST_SENTENCE}"


def paragraphs(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of each paragraph, heading and list item, with the number of the first; no code and no tables."""
    text = re.sub(r"<!--.*?-->", lambda comment: "\n" * comment[0].count("\n"), text, flags=re.DOTALL)
    found: list[str] = []
    first, is_code = 1, False
    for number, line in enumerate([*text.split("\n"), ""], 1):
        is_fence = line.lstrip().startswith(("```", "~~~"))
        is_skipped = is_code or is_fence or line.lstrip().startswith(("|", "<"))
        if found and (is_skipped or not line.strip() or LIST_MARK.match(line) or line.startswith("#")):
            yield first, found
            found = []
        if line.strip() and not is_skipped:
            first = first if found else number
            found.append(line)
        if line.startswith("#"):
            found = []
        is_code ^= is_fence


def plain(line: str) -> str:
    """Return a line without its markup; code counts as one word."""
    return LIST_MARK.sub("", LINK.sub(r"\1", CODE.sub("CODE", line))).strip()


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the Markdown and Python files of a folder."""
    for suffix in ("md", "py"):
        yield from folder.rglob(f"*.{suffix}")


def main(arguments: Sequence[str]) -> int:
    """Print every problem of the files, and of the Markdown and Python files below the folders, that are named."""
    files = [
        file
        for name in arguments
        for file in (sorted(files_below(Path(name))) if Path(name).is_dir() else [Path(name)])
    ]
    found = [problem for file in files for problem in problems(file)]
    for problem in found:
        sys.stdout.write(f"{problem}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
