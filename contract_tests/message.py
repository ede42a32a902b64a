"""One request as it is sent and one answer as it arrived, with nothing hidden."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, Literal

import brotli

from contract_tests.escaping import one_line
from contract_tests.not_tested import NotTested
from contract_tests.parsed_forms import FORMS
from contract_tests.redaction import WINDOW, Redactor
from contract_tests.strict_json import MOST_VALUES, Document, is_too_large, parse, parse_exactly

LARGEST_BODY = 1024 * 1024
KEPT = 64 * 1024  # bytes of a body that is too large: the journal holds hundreds of answers
SHOWN = 300  # characters of a received text
SHOWN_OF_A_TARGET = 80  # characters
GZIP_MEMBER = b"\x1f\x8b"  # RFC 1952, section 2.2: there may be several
MOST_MEMBERS = 100
GZIP, DEFLATE = (31,), (15, -15)  # zlib's window bits: gzip; zlib, or the raw deflate that some servers send for it
OF_CURL = ("Host", "User-Agent", "Accept")  # fields that curl adds unless it is told not to
LONGEST_CHARACTER = 4  # bytes: RFC 3629
LONG = 100  # characters: a longer run of one letter is spelt as the command that makes it
PARTS = re.compile(rb"(?s)([A-Za-z0-9_])\1{99,}|[ -~]+?(?=([A-Za-z0-9_])\2{99}|[^ -~]|\Z)|[^ -~]+")
PRINTABLE = re.compile(rb"[ -~]+")
GLOBBED = re.compile(rb"[\[\]{}]")  # what curl takes for a pattern in a URL
IN_A_URL = re.compile(rb"/[!\"$-~]*")  # a target that curl sends as it stands in a URL: no fragment, no raw byte

REFUSED = frozenset({401, 403})
REFUSALS = frozenset(range(400, 500))
SENT_AWAY = REFUSALS | frozenset(range(300, 400)) - {304}
CLOSED = frozenset({"closed", "reset"})  # endings without an answer, by the other side

Ending = Literal["complete", "closed", "truncated", "reset", "timeout", "deadline", "malformed", "too large"]


@dataclass(frozen=True)
class Credential:
    """A value for the key header, and how to speak of it without showing it.

    `shell` is the POSIX shell expression, for use within double quotes, that makes a value from a part of a key;
    a whole key in a value is recognised and becomes its variable.
    """

    value: bytes = field(repr=False)
    told: str
    shell: str = ""


@dataclass(frozen=True)
class Request:
    """One request; `target` and `fields` go over the wire byte for byte."""

    method: str
    target: bytes
    fields: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    body: bytes = b""
    credential: Credential | None = None
    told: str = ""
    plain: bool = True
    version: str = "HTTP/1.1"
    separator: bytes = b": "

    def described(self, redact: Redactor) -> str:
        """Return method, target, credential and purpose, in a line without secrets."""
        who = f"with {self.credential.told}" if self.credential else "without a key"
        target = one_line(redact.shortened(self.target.decode("ascii", "backslashreplace"), SHOWN_OF_A_TARGET))
        return " ".join(filter(None, [self.method, target, who, self.told]))

    @property
    def accepts_brotli(self) -> bool:
        """Whether Accept-Encoding names brotli; gzip is understood by anybody, asked for or not."""
        return any(name.lower() == b"accept-encoding" and b"br" in value for name, value in self.fields)

    def separator_of(self, value: bytes) -> bytes:
        """Return what stands between a field's name and this value: only the key may have it otherwise."""
        return self.separator if self.credential and value == self.credential.value else b": "

    def curl(self, origin: str, skipped: Collection[tuple[bytes, bytes]] = (), keys: Sequence[Credential] = ()) -> str:
        """Return the command that repeats it; a key, wherever it stands, is a shell variable, never a value.

        The fields of `skipped` go without saying: curl sends their like by itself.
        """
        for name, value in self.fields:
            if b"\0" in value:
                return f"# curl cannot send the NUL byte in {name.decode()}"
        words = ["curl", "-isS", "--path-as-is", *self._method_options]
        for name, value in self.fields:
            if (name, value) not in skipped:
                words += ["-H", self._quoted(name, value, keys)]
        sent = {name.lower() for name, _ in self.fields}
        added = (*OF_CURL, "Content-Type") if self.body else OF_CURL
        words += [f"-H '{name}:'" for name in added if name.lower().encode() not in sent]
        if self.body.endswith(b"\n") or b"\0" in self.body:  # which a command substitution would remove
            words = [_printf(self.body, keys), "|", *words, "--data-binary", "@-"]
        elif self.body:
            words += ["--data-binary", _shell(self.body, keys)]
        if GLOBBED.search(self.target):
            words.append("--globoff")
        if IN_A_URL.fullmatch(self.target):
            return " ".join([*words, _shell(origin.encode() + self.target, keys)])
        return " ".join([*words, "--request-target", _shell(self.target, keys), _shell(origin.encode())])

    @property
    def _method_options(self) -> list[str]:
        version = ["--http1.0"] if self.version == "HTTP/1.0" else []
        if self.method == "HEAD":
            return [*version, "--head"]
        return version if self.method == "GET" and not self.body else [*version, "-X", self.method]

    def _quoted(self, name: bytes, value: bytes, keys: Sequence[Credential]) -> str:
        if not value.strip():
            return _shell(name + b";")  # how curl spells a field without a value
        start = name + self.separator_of(value)
        if not self.credential or value != self.credential.value or not self.credential.shell:
            return _shell(start + value, keys)
        if start.decode("latin-1").isprintable():
            return f'"{start.decode()}{self.credential.shell}"'
        return f'{_shell(start)}"{self.credential.shell}"'


@dataclass(frozen=True)
class Abridged:
    """A body of which only the beginning is kept: its size and its SHA-256.

    `head` says that the head was cut too, and what followed the response, which had `extra` bytes.
    """

    size: int
    sha256: str
    head: bool = False
    extra: int = 0


def _at_any_time() -> None:
    """Let a response be read at any time: it is not one of a run."""


@dataclass(frozen=True)
class Answer:
    """What came back: `payload` is the body as sent, before any content coding is undone.

    `status` is None where no status line arrived; `ending` says how the answer ended, `problem` why;
    `received` counts all bytes, `extra` are those that followed its end and `start` those that came
    until its head was whole; `started` and `seconds` are on the run's monotonic clock. `redact` removes the
    run's secrets from the evidence. `abridged` is set where not all of it is kept; what needs the rest raises
    NotTested, as does the reading of a large body once `check_time` says that the run's time is over.
    """

    request: Request
    status: int | None = None
    reason: str = ""
    version: str = ""
    fields: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)
    payload: bytes = field(default=b"", repr=False)
    ending: Ending = "complete"
    problem: str = ""
    received: int = 0
    extra: bytes = field(default=b"", repr=False)
    start: bytes = field(default=b"", repr=False)
    started: float = 0.0
    seconds: float = 0.0
    curl: str = field(default="", repr=False)
    redact: Redactor = field(default=Redactor(()), repr=False, compare=False)
    abridged: Abridged | None = None
    check_time: Callable[[], None] = field(default=_at_any_time, repr=False, compare=False)

    @property
    def size(self) -> int:
        """The number of bytes of the body as it was sent."""
        return self.abridged.size if self.abridged else len(self.payload)

    @property
    def sha256(self) -> str:
        """The digest of the body as it was sent."""
        return self.abridged.sha256 if self.abridged else sha256(self.payload).hexdigest()

    @property
    def extra_size(self) -> int:
        """The number of bytes that followed the response."""
        return self.abridged.extra if self.abridged and self.abridged.head else len(self.extra)

    @property
    def raw_head(self) -> bytes:
        """The bytes of the head."""
        self._need(head=True)
        return self.start

    @property
    def raw_body(self) -> bytes:
        """The bytes of the body as it was sent, all of them."""
        self._need()
        if len(self.payload) > KEPT:
            self.check_time()
        return self.payload

    def _need(self, *, head: bool = False) -> None:
        if self.abridged and (self.abridged.head or not head):
            raise NotTested(f"not all of a response of {self.received} bytes was kept: the responses were too large")

    def excerpt(self, received: str | bytes, longest: int = SHOWN) -> str:
        """Return the beginning of a text that was received, in one line and without secrets."""
        text = received if isinstance(received, str) else received.decode("utf-8", "backslashreplace")
        return one_line(self.redact.shortened(text, longest))

    @property
    def ended(self) -> float:
        """When it was over, on the run's clock."""
        return self.started + self.seconds

    @property
    def outcome(self) -> str:
        """Its status, or how there came none."""
        return str(self.status) if self.status is not None else f"no answer ({self.ending})"

    def values(self, name: str) -> list[str]:
        """Return the values of every field of that name, in order."""
        if self.abridged and self.abridged.head:
            self._need(head=True)
        return self._values(name)

    def _values(self, name: str) -> list[str]:
        lower = name.lower()
        return [value.decode("latin-1") for field_name, value in self.fields if field_name.lower() == lower]

    def header(self, name: str) -> str | None:
        """Return the field's combined value (RFC 9110, section 5.3), or None."""
        values = self.values(name)
        return ", ".join(values) if values else None

    @property
    def media_type(self) -> str:
        """The lower-case media type without its parameters, or an empty text."""
        return (self.header("Content-Type") or "").split(";")[0].strip().lower()

    @property
    def is_json(self) -> bool:
        """Whether the media type is application/json or has the +json suffix (RFC 6839)."""
        return self.media_type == "application/json" or self.media_type.endswith("+json")

    @property
    def has_true_charset(self) -> bool:
        """Whether Content-Type names no charset, or the only one that JSON has (RFC 8259, section 8.1)."""
        parameters = [part.strip() for part in (self.header("Content-Type") or "").lower().split(";")[1:]]
        named = [part.partition("=")[2].strip('" ') for part in parameters if part.startswith("charset=")]
        return named in ([], ["utf-8"], ["utf8"])

    @cached_property
    def _codings(self) -> tuple[str, ...]:
        named = (token.strip().lower() for token in (self.header("Content-Encoding") or "").split(","))
        return tuple(coding for coding in named if coding not in {"", "identity"})

    @property
    def _content(self) -> tuple[bytes, str]:
        body = self.raw_body
        for coding in reversed(self._codings):
            if coding not in {"gzip", "x-gzip", "deflate", *(["br"] if self.request.accepts_brotli else [])}:
                return body, f"content coding '{self.excerpt(coding)}' was not asked for"
            body, problem = FORMS.form(coding, body, DECODERS.get(coding, _gunzip))
            if problem:
                return body, f"is not the {coding} that Content-Encoding announces: {problem}"
            if len(body) > KEPT:
                self.check_time()
        return body, ""

    @property
    def body(self) -> bytes:
        """The body with its content coding undone, as far as that is possible."""
        return self._content[0]

    @property
    def coding_problem(self) -> str:
        """Why the content coding cannot be undone, or an empty text."""
        return self._content[1]

    @cached_property
    def json(self) -> Json:
        """The body parsed strictly (RFC 8259)."""
        return Json(self)

    @property
    def exact(self) -> Any:
        """The body's JSON value with exact decimals; None where the body is not well-formed."""
        return None if self.json.problem else FORMS.form("exact JSON", self.body, parse_exactly)

    @property
    def _beginning(self) -> bytes:
        """The beginning of the body, decoded where that is possible."""
        return self.payload if self.abridged or len(self.payload) > KEPT else self.body

    @property
    def object(self) -> dict[str, object]:
        """The body's JSON object; empty where the body is anything else."""
        return self.json.value if isinstance(self.json.value, dict) else {}

    @property
    def seen(self) -> str:
        """Tell a reader what was asked, what came back, and how to ask again."""
        return "\n".join(self._seen())

    def _seen(self) -> Iterator[str]:
        yield f"asked: {self.request.described(self.redact)}"
        problem = self.excerpt(self.problem)
        if self.status is None:
            yield f"seen: no answer ({self.ending}{': ' + problem if problem else ''})"
        else:
            ending = "" if self.ending == "complete" else f", {self.ending}: {problem}"
            yield (
                f"seen: {self.status} {self.excerpt(self.reason)}, "
                f"{self.excerpt(', '.join(self._values('Content-Type')) or 'no Content-Type')}, "
                f"{self.size} bytes in {self.seconds * 1000:.0f} ms{ending}"
            )
        for location in self._values("Location")[:1]:
            yield f"to: {self.excerpt(location)}"
        if beginning := self._beginning:
            yield f"body: {self.excerpt(beginning[: (SHOWN + WINDOW) * LONGEST_CHARACTER])}"
        yield f"repeat: {self.curl}"


@dataclass(frozen=True)
class Json:
    """A body as JSON: what is wrong with it is remembered, its value is parsed anew where it is not kept."""

    answer: Answer

    @property
    def value(self) -> Any:
        """The value; None where the body has a problem."""
        return self._document.value

    @cached_property
    def problem(self) -> str:
        """A sentence's end such as "is empty", or an empty text."""
        return self.answer.excerpt(self._document.problem)

    @cached_property
    def is_readable(self) -> bool:
        """Whether the body is neither too large nor nested too deeply to be parsed."""
        return not is_too_large(self.answer.body) and not self._document.is_too_deep

    @property
    def _document(self) -> Document:
        """Raises NotTested where the body has too many values."""
        if is_too_large(self.answer.body):
            raise NotTested(f"a body of {self.answer.size} bytes has more than {MOST_VALUES} values")
        return FORMS.form("json", self.answer.body, parse)


def kept_whole(answers: Iterable[Answer]) -> Iterator[Answer]:
    """Yield the responses of which all is kept; then raise NotTested if there are others."""
    abridged = None
    for answer in answers:
        if answer.abridged:
            abridged = answer
        else:
            yield answer
    if abridged:
        abridged.raw_body  # noqa: B018 - raises


def cookies_set(answers: Iterable[Answer]) -> bytes:
    """Return what a browser sends back of the cookies that answers have set; empty without any."""
    cookies = {line.split(";")[0].strip() for answer in answers for line in answer.values("Set-Cookie")}
    return "; ".join(sorted(cookies)).encode("latin-1")


def _unbrotli(data: bytes) -> tuple[bytes, str]:
    decoder = brotli.Decompressor()
    try:
        body = decoder.process(data, output_buffer_limit=LARGEST_BODY + 1)
    except brotli.error as error:
        return data, str(error)
    if len(body) > LARGEST_BODY:
        return body[:KEPT], f"it unpacks to more than {LARGEST_BODY} bytes"
    return body, "" if decoder.is_finished() else "it is cut short"


def _gunzip(data: bytes) -> tuple[bytes, str]:
    return _inflate(data, GZIP)


def _inflate(data: bytes, formats: tuple[int, ...] = DEFLATE) -> tuple[bytes, str]:
    for wbits in formats:
        try:
            return _inflated(data, wbits)
        except zlib.error as error:
            problem = str(error)
    return data, problem


def _inflated(data: bytes, wbits: int) -> tuple[bytes, str]:
    body = bytearray()
    for _ in range(MOST_MEMBERS):
        inflater = zlib.decompressobj(wbits)
        body += inflater.decompress(data, LARGEST_BODY + 1 - len(body))
        if len(body) > LARGEST_BODY:
            return bytes(body[:KEPT]), f"it unpacks to more than {LARGEST_BODY} bytes"
        if not inflater.eof:
            return bytes(body), "it is cut short"
        data = inflater.unused_data
        if wbits not in GZIP or not data.startswith(GZIP_MEMBER):
            return bytes(body), f"{len(data)} bytes follow its end" if data.strip(b"\0") else ""
    return bytes(body), f"it has more than {MOST_MEMBERS} members"


DECODERS = {"br": _unbrotli, "deflate": _inflate}


def _shell(text: bytes, keys: Sequence[Credential] = ()) -> str:
    """Quote bytes for a POSIX shell, keys as variables and long runs of a letter as the command that makes them."""
    for key in keys:
        if key.value in text:
            return f'"{key.shell}"'.join(_shell(part, keys) if part else "" for part in text.split(key.value))
    return "".join(map(_quoted_part, (part[0] for part in PARTS.finditer(text)))) or "''"


def _quoted_part(part: bytes) -> str:
    if not PRINTABLE.fullmatch(part):
        return f'"$({_printf(part)})"'
    text = part.decode()
    if len(text) >= LONG and len(set(text)) == 1:
        return f"\"$(printf '%{len(text)}s' '' | tr ' ' {text[0]})\""
    return "'" + text.replace("'", "'\"'\"'").replace("##", "#''#") + "'"  # "##" might begin a CI system's command


def _printf(data: bytes, keys: Sequence[Credential] = ()) -> str:
    """Return the printf command that writes the bytes, keys as variables."""
    pieces = re.split(b"(" + b"|".join(re.escape(key.value) for key in keys) + b")", data) if keys else [data]
    shells = {key.value: key.shell for key in keys}
    form = "".join("%s" if place % 2 else "".join(map(_printf_byte, piece)) for place, piece in enumerate(pieces))
    return " ".join([f"printf '{form}'", *(f'"{shells[piece]}"' for piece in pieces[1::2])])


def _printf_byte(byte: int) -> str:
    if byte == ord("%"):
        return "%%"
    return chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\{byte:03o}"
