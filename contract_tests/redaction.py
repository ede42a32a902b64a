"""Keys leave no trace: whatever is printed or written passes here first, and is searched by value."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Any
from urllib.parse import quote

RUN = 8  # characters: a run of a key this long, wherever it starts, is redacted
BASE64_RUN = 11  # characters: what eight bytes take
CUT = " …"  # how the evidence ends where it is cut
SHORTEST_START = 3  # characters: fewer tell nothing
SHORTEST_BASE64 = 6  # characters: fewer would be found by chance in any text


@dataclass(frozen=True)
class Redactor:
    """Replaces every secret, and any run of eight of its characters, by a stable placeholder.

    Found whatever the case, and also reversed, in hexadecimal, percent-encoded, HTML-escaped and in base64.
    """

    secrets: tuple[str, ...]

    @cached_property
    def _runs(self) -> dict[str, str]:
        """The placeholder for each lower-case run of characters that betrays a secret."""
        runs: dict[str, str] = {}
        for number, secret in enumerate(self.secrets, 1):
            for form, length in forms(secret):
                width = min(length, len(form))
                for start in range(len(form) - width + 1):
                    runs.setdefault(form[start : start + width].lower(), f"<redacted:{number}>")
        runs.pop("", None)
        return runs

    @lru_cache(maxsize=4096)  # noqa: B019 - there is one redactor in a run, and it hears the same again and again
    def __call__(self, text: str) -> str:
        """Return the text without secrets, and without the lone surrogates that no terminal can print."""
        text = text.encode("utf-8", "backslashreplace").decode()
        if CUT in text:
            text = self._beginnings.sub("<redacted>", text)
        hits = dict(self._hits(text))
        return "".join(_pieces(text, hits)) if hits else text

    @cached_property
    def _beginnings(self) -> re.Pattern[str]:
        """What a secret may have been cut to, where a long text ends in an ellipsis."""
        starts = {secret[:length] for secret in self.secrets for length in range(SHORTEST_START, RUN)}
        found = "|".join(re.escape(start) for start in sorted(starts, key=len, reverse=True) if start)
        return re.compile(f"(?:{found or '(?!)'})(?={re.escape(CUT)})", re.IGNORECASE)

    def _hits(self, text: str) -> Iterator[tuple[int, str]]:
        """Yield each position that belongs to a secret, with its placeholder."""
        lowered = text.lower()
        if len(lowered) != len(text):  # some letters of other scripts become two
            lowered = "".join(letter.lower() if letter.isascii() else letter for letter in text)
        for run, placeholder in self._runs.items():
            start = lowered.find(run)
            while start >= 0:
                yield from ((position, placeholder) for position in range(start, start + len(run)))
                start = lowered.find(run, start + 1)


def _pieces(text: str, hits: dict[int, str]) -> Iterator[str]:
    """Yield the characters that are no hit, and one placeholder for each run of hits."""
    last = ""
    for position, character in enumerate(text):
        placeholder = hits.get(position, "")
        if not placeholder:
            yield character
        elif placeholder != last:
            yield placeholder
        last = placeholder


@cache
def forms(secret: str) -> tuple[tuple[str, int], ...]:
    """Return each spelling of a secret with the length of a run that betrays it."""
    return tuple(_forms(secret))


def _forms(secret: str) -> Iterator[tuple[str, int]]:
    raw = secret.encode()
    for plain in {secret, secret[::-1]}:
        yield plain, RUN
        for escaped in (json.dumps(plain)[1:-1], json.dumps(plain)[1:-1].replace("/", "\\/")):
            yield escaped, RUN + len(escaped) - len(plain)
        yield "".join(f"\\u{ord(letter):04x}" for letter in plain), RUN * 6
        yield html.escape(plain), max(RUN, len(html.escape(plain)) - len(plain) + RUN)
        yield quote(plain, safe=""), RUN * 3
        yield "".join(f"%{byte:02x}" for byte in plain.encode()), RUN * 3
        yield plain.encode().hex(), RUN * 2
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        steady = encoded[-(-shift * 4 // 3) : len(encoded) - (1 if (shift + len(raw)) % 3 else 0)]
        if len(steady) >= SHORTEST_BASE64:
            yield steady, BASE64_RUN
            yield steady.replace("+", "-").replace("/", "_"), BASE64_RUN


def redact_all(redact: Redactor, pairs: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Redact the values, as texts, of a report's sections or properties."""
    return [(name, redact(str(value))) for name, value in pairs]


class RedactedStream(io.TextIOBase):
    """A text stream that redacts what is written to another one."""

    def __init__(self, stream: Any, redact: Redactor) -> None:
        self.stream, self.redact = stream, redact

    def write(self, text: str) -> int:
        """Write the text without secrets."""
        self.stream.write(self.redact(text))
        return len(text)

    def flush(self) -> None:
        """Flush the other stream."""
        self.stream.flush()

    def isatty(self) -> bool:
        """Whether the other stream is a terminal."""
        return bool(self.stream.isatty())

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The other stream's encoding."""
        return str(getattr(self.stream, "encoding", "utf-8"))
