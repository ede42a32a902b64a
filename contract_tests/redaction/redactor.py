"""Redaction: keys and other secrets are searched by value in everything that is printed or written."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

from contract_tests.redaction.spellings import (
    RUN,
    Form,
    NestedTooDeeplyError,
    View,
    coded_forms,
    decoded,
    plain_forms,
    without_separators,
)

CUT = " …"  # ends a text that was cut
SHORTEST_START = 3  # characters of a secret before a cut: fewer disclose nothing
WINDOW = 512  # characters that are read beyond a cut, so that a secret across it is found
REMEMBERED = 4096  # characters: the longest text whose redacted form is cached

Hit = tuple[int, int, str]  # start, end, and the replacement


class Needles:
    """Forms of secrets, found in a text by a run of their characters."""

    def __init__(self, forms: Iterable[tuple[Form, str]]) -> None:
        self._seeds: defaultdict[str, list[tuple[str, int, int, str]]] = defaultdict(list)
        for form, placeholder in forms:
            text = lower(form.text)
            run = min(form.run, len(text))
            seed = (run + 1) // 2
            for offset in range(0, len(text) - seed + 1, run - seed + 1):  # each run contains one of these seeds
                self._seeds[text[offset : offset + seed]].append((text, offset, run, placeholder))

    def hits(self, text: str) -> Iterator[Hit]:
        """Yield each part of a lower-case text that discloses a secret."""
        for seed, places in self._seeds.items():
            at = text.find(seed)
            while at >= 0:
                for form, offset, run, placeholder in places:
                    start, end = _grown(text, at, form, offset, len(seed))
                    if end - start >= run:
                        yield start, end, placeholder
                at = text.find(seed, at + 1)


def _grown(text: str, at: int, form: str, offset: int, length: int) -> tuple[int, int]:
    """Return the longest range around a place in a text that agrees with a form."""
    before = 0
    while before < min(at, offset) and text[at - before - 1] == form[offset - before - 1]:
        before += 1
    after = length
    while at + after < len(text) and offset + after < len(form) and text[at + after] == form[offset + after]:
        after += 1
    return at - before, at + after


def lower(text: str) -> str:
    """Return the text in lower case, or only its ASCII letters where its length would change."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(letter.lower() if letter.isascii() else letter for letter in text)


@dataclass(frozen=True)
class Redactor:
    """Replaces every secret, and any run of eight of its characters, by a stable placeholder.

    docs/keys.md lists the spellings in which a secret is found.
    """

    secrets: tuple[str, ...]

    @cached_property
    def _plain(self) -> Needles:
        return Needles((form, placeholder) for secret, placeholder in self._named for form in plain_forms(secret))

    @cached_property
    def _coded(self) -> Needles:
        forms = ((form, placeholder) for secret, placeholder in self._named for form in coded_forms(secret))
        compact = ((without_separators(form.text.lower()), form.run, name) for form, name in forms)
        return Needles((Form(text, run), name) for text, run, name in compact if text)

    @property
    def _named(self) -> Iterator[tuple[str, str]]:
        return ((secret, f"<redacted:{number}>") for number, secret in enumerate(self.secrets, 1) if secret)

    def __call__(self, text: str) -> str:
        """Return the text without secrets, and without the lone surrogates that no terminal can print."""
        return self._remembered(text) if len(text) <= REMEMBERED else self._redacted(text, len(text))

    def shortened(self, text: str, longest: int) -> str:
        """Return at most `longest` characters of a text, redacted before the cut; an ellipsis marks the cut."""
        if len(text) <= longest:
            return self(text)
        return self._without_beginnings(self._redacted(text[: longest + WINDOW], longest) + CUT)

    @lru_cache(maxsize=4096)  # noqa: B019 - a run has one redactor, and redacts the same lines again and again
    def _remembered(self, text: str) -> str:
        return self._redacted(text, len(text))

    def _redacted(self, text: str, longest: int) -> str:
        hits = sorted(self._hits(text))
        shown = "".join(_pieces(text, hits, longest)) if hits else text[:longest]
        return self._without_beginnings(shown.encode("utf-8", "backslashreplace").decode())

    def _without_beginnings(self, text: str) -> str:
        return self._beginnings.sub("<redacted>", text) if "…" in text else text

    @cached_property
    def _beginnings(self) -> re.Pattern[str]:
        """The pattern for the beginning of a secret before a cut."""
        starts = {secret[:length] for secret in self.secrets for length in range(SHORTEST_START, RUN)}
        found = "|".join(re.escape(start) for start in sorted(starts, key=len, reverse=True) if start)
        return re.compile(f"(?:{found or '(?!)'})(?= ?…)", re.IGNORECASE)

    def _hits(self, text: str) -> Iterator[Hit]:
        """Yield each part of the text that belongs to a secret, in any view of it."""
        if not self.secrets:
            return
        yield from self._plain.hits(lower(text))
        try:
            view = decoded(text)
        except NestedTooDeeplyError as error:
            yield from ((*_line_around(text, *span), "<redacted>") for span in error.spans)
            return
        if view.below:
            yield from _mapped(view, self._plain.hits(lower(view.text)))
        lowered = View(lower(view.text), view.tokens, view.below)
        if next(self._coded.hits(without_separators(lowered.text)), None):  # a view is slower to make
            compact = lowered.without_separators()
            yield from _mapped(compact, self._coded.hits(compact.text))


def _mapped(view: View, hits: Iterable[Hit]) -> Iterator[Hit]:
    return ((*view.original(start, end), placeholder) for start, end, placeholder in hits)


def _line_around(text: str, start: int, end: int) -> tuple[int, int]:
    line_end = text.find("\n", end)
    return text.rfind("\n", 0, start) + 1, len(text) if line_end < 0 else line_end


def _pieces(text: str, hits: list[Hit], longest: int) -> Iterator[str]:
    """Yield the parts between hits up to a length, and one placeholder for each group of adjacent hits."""
    at, last = 0, ""
    for start, end, placeholder in hits:
        if start >= longest:
            break
        if end <= at:
            continue
        if start > at or placeholder != last:
            yield text[at:start]
            yield placeholder
        at, last = end, placeholder
    yield text[at:longest]
