"""The spellings in which a secret is searched: decoded views of a text, and coded forms of the secret."""

from __future__ import annotations

import base64
import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

SHORTEST_SECRET = 4  # characters: a shorter one is in any text by chance
RUN = 8  # characters: a run of a secret this long, wherever it starts, is found
BASE64_RUN = 11  # characters: the base64 of eight bytes
SHORTEST_BASE64 = 6  # characters: a shorter form is found in any text by chance
SHORTEST_FORM = 4  # characters: a secret that consists of escapes may be shorter once it is decoded
MOST_ROUNDS = 30  # an ordinary text is decoded in one or two rounds
CHUNK, OVERLAP = 65536, 4096  # characters: a large text is decoded in parts, whose overlap has room for a secret
PERCENT = "%(?:25)*"  # also encoded again, any number of times
ESCAPES = (
    rf"(?P<utf8>(?i:{PERCENT}[c-f][0-9a-f](?:{PERCENT}[89ab][0-9a-f]){{1,3}}))"
    rf"|(?i:{PERCENT}(?:u(?P<wide>[0-9a-f]{{4}})|(?P<byte>[0-9a-f]{{2}})))"
    r"|(?i:&(?:amp;)*(?P<entity>\#x?[0-9a-f]{1,8};?|[a-z][a-z0-9]{1,31};))"
    r"|\\+(?:u\{(?P<braced>[0-9a-fA-F]{1,6})\}|(?:u(?=[0-9a-fA-F]{4})|U(?=[0-9a-fA-F]{8})|x(?=[0-9a-fA-F]{2}))"
    r"(?P<code>(?<=x)..|(?<=u).{4}|(?<=U).{8})|(?P<octal>[0-3][0-7]{2})|(?P<letter>[0abfnrtv]))"
    r"|(?P<backslashes>\\+)"
    r"|(?P<pair>[\ud800-\udbff][\udc00-\udfff])"
)
# The character that a match begins with is looked for first: that makes the search three times as fast.
ESCAPE = re.compile(rf"(?=[%&\\\ud800-\udbff])(?:{ESCAPES})")
ESCAPE_OR_FOLDED = re.compile(rf"(?=[%&\\]|[^\t\n\r -~])(?:{ESCAPES}|(?P<other>[^\t\n\r -~]))")
KEPT_CONTROLS = set("\t\n\r")
LETTERS = {"n": "\n", "r": "\r", "t": "\t"}  # the others are removed, like any other control character
SELECTORS = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
SEPARATORS = {ord(letter): None for letter in " \t\n\r:,;|._=-"}
SEPARATOR = re.compile(r"0x|[ \t\n\r:,;|._=-]+")

Token = tuple[int, int, int, int]  # start and end in a view, start and end in the text below it


@dataclass(frozen=True)
class View:
    """A text in another spelling; `tokens` are the parts that were replaced in the view below it."""

    text: str
    tokens: tuple[Token, ...] = ()
    below: View | None = None

    @cached_property
    def _starts(self) -> list[int]:
        return [token[0] for token in self.tokens]

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Return the span of the original text that a span of this view was made from."""
        if self.below is None:
            return start, end
        return self.below.original(self._mapped(start)[0], self._mapped(end - 1)[1])

    def _mapped(self, position: int) -> tuple[int, int]:
        """Return the span in the view below of one character."""
        index = bisect_right(self._starts, position) - 1
        if index < 0:
            return position, position + 1
        start, end, below_start, below_end = self.tokens[index]
        if start <= position < end:
            return below_start, below_end
        return below_end + position - end, below_end + position - end + 1

    def replaced(self, pattern: re.Pattern[str], spelt: Callable[[re.Match[str]], str]) -> View:
        """Return the view with each match replaced; the same view if that changes nothing."""
        pieces: list[str] = []
        tokens: list[Token] = []
        length = at = 0
        for match in pattern.finditer(self.text):
            new = spelt(match)
            if new == match[0]:
                continue
            start, end = match.span()
            length += start - at
            pieces += (self.text[at:start], new)
            tokens.append((length, length + len(new), start, end))
            length, at = length + len(new), end
        return View("".join((*pieces, self.text[at:])), tuple(tokens), self) if tokens else self

    def without_separators(self) -> View:
        """Remove separators as the function `without_separators` does."""
        return self.replaced(SEPARATOR, lambda _: "")


class NestedTooDeeplyError(Exception):
    """A text is still encoded after `MOST_ROUNDS` rounds; `spans` are these places in the original text."""

    def __init__(self, spans: list[tuple[int, int]]) -> None:
        super().__init__(f"a text is encoded more than {MOST_ROUNDS} times")
        self.spans = spans


def decoded(text: str) -> View:
    """Undo escapes to a fixed point.

    Escapes are those of JSON, HTML, URLs, C and Python; NFKC replaces compatibility characters; control and format
    characters are removed.

    Raises:
        NestedTooDeeplyError: `MOST_ROUNDS` rounds do not suffice.
    """
    view = View(text)
    for _ in range(MOST_ROUNDS):
        last, view = view, _decoded_once(view)
        if view is last:
            return view
    left = _decoded_once(view)
    if left is view:
        return view
    raise NestedTooDeeplyError([view.original(start, end) for _, _, start, end in left.tokens])


def _decoded_once(view: View) -> View:
    is_plain = view.text.isascii() and view.text.isprintable()
    is_folded = is_plain or all(_folded(letter) == letter for letter in set(view.text) - KEPT_CONTROLS)
    return view.replaced(ESCAPE if is_folded else ESCAPE_OR_FOLDED, _unescaped)


def without_separators(text: str) -> str:
    """Remove separators between the digits of hexadecimal, and between the lines of base64."""
    return text.replace("0x", "").translate(SEPARATORS)


def _unescaped(match: re.Match[str]) -> str:
    kind, part = str(match.lastgroup), match[str(match.lastgroup)]
    match kind:
        case "utf8":
            return _utf_8_or_latin_1(bytes.fromhex(re.sub(PERCENT, "", part)))
        case "entity":
            return html.unescape("&" + part)
        case "wide" | "byte" | "braced" | "code":
            return _character(int(part, 16))
        case "octal":
            return _character(int(part, 8))
        case "letter":
            return LETTERS.get(part, "")
        case "pair":
            return part.encode("utf-16", "surrogatepass").decode("utf-16")
        case "other":
            return _folded(part)
    return ""  # backslashes before any other character


def _utf_8_or_latin_1(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _character(code: int) -> str:
    return chr(code) if code < 0x110000 else ""


@lru_cache(maxsize=32768)
def _folded(letter: str) -> str:
    if unicodedata.category(letter) in {"Cc", "Cf"} or SELECTORS.fullmatch(letter):
        return ""
    return unicodedata.normalize("NFKC", letter)


@dataclass(frozen=True)
class Form:
    """One spelling of a secret; `run` characters of it disclose the secret."""

    text: str
    run: int


def plain_forms(secret: str) -> Iterator[Form]:
    """Yield the secret forwards and backwards, as it is and as `decoded` leaves it."""
    for text in dict.fromkeys((secret, decoded(secret).text)):
        if text == secret or len(text) >= SHORTEST_FORM:
            yield from _both_ways(text, RUN)


def coded_forms(secret: str) -> Iterator[Form]:
    """Yield the secret in hexadecimal and base64, of its UTF-8 and its UTF-16, also backwards."""
    for text in (secret, secret[::-1]):
        utf_16 = text.encode("utf-16-le")[:-1]  # also within big-endian text, from its second byte on
        for raw, width in ((text.encode(), 1), (utf_16, 2)):
            yield from _both_ways(raw.hex(), (RUN * 2 - 1) * width)
            yield from (form for shift in range(3) for form in _base64_forms(raw, shift, width))


def _base64_forms(raw: bytes, shift: int, width: int) -> Iterator[Form]:
    """Yield the base64 of a secret, without the characters that depend on the bytes around it."""
    encoded = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
    steady = encoded[-(-shift * 4 // 3) : len(encoded) - (1 if (shift + len(raw)) % 3 else 0)]
    if len(steady) >= SHORTEST_BASE64:
        run = BASE64_RUN if width == 1 else BASE64_RUN * width - 2
        for spelt in dict.fromkeys((steady, steady.replace("+", "-").replace("/", "_"))):
            yield from _both_ways(spelt, run)


def _both_ways(text: str, run: int) -> Iterator[Form]:
    yield Form(text, run)
    yield Form(text[::-1], run)


class SearchedText:
    """A text in which whole secrets are searched, in all their spellings."""

    def __init__(self, text: str) -> None:
        views = [_decoded_or_raw(text[at : at + CHUNK + OVERLAP]) for at in range(0, len(text) or 1, CHUNK)]
        self._plain = (text, *views)
        self._coded = [without_separators(view.lower()) for view in views]

    def forms_of(self, secret: str) -> frozenset[str]:
        """Return the forms of a secret that the text contains."""
        plain = (text for text in _plain_texts(secret) if any(text in view for view in self._plain))
        coded = (text for text in _coded_texts(secret) if any(text in view for view in self._coded))
        return frozenset((*plain, *coded))


def _decoded_or_raw(text: str) -> str:
    try:
        return decoded(text).text
    except NestedTooDeeplyError:
        return text


@cache
def _plain_texts(secret: str) -> tuple[str, ...]:
    return tuple(form.text for form in plain_forms(secret))


@cache
def _coded_texts(secret: str) -> tuple[str, ...]:
    """Return the coded forms of a secret, without separators."""
    return tuple(without_separators(form.text.lower()) for form in coded_forms(secret))
