"""One request as it is sent, and one exchange: the request with its response as it arrived."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, Literal

from contract_tests.redaction.escaping import one_line
from contract_tests.redaction.redactor import WINDOW, Redactor
from contract_tests.wire.decoding import DECODERS, begins_as_zstd
from contract_tests.wire.limits import KEPT
from contract_tests.wire.not_tested import NotTested, or_not_applicable
from contract_tests.wire.parsed_forms import FORMS
from contract_tests.wire.strict_json import MOST_VALUES, Document, is_too_large, parse, parse_exactly

AGENT = "usage-contract/"  # the beginning of the gate's own User-Agent
SHOWN = 300  # characters of a received text
SHOWN_OF_A_TARGET = 80  # characters
LONGEST_CHARACTER = 4  # bytes: RFC 3629

SUCCESSES = frozenset(range(200, 300))
REDIRECTS = frozenset({301, 302, 303, 307, 308})  # statuses with the target in Location
AUTH_ERRORS = frozenset({401, 403})
CLIENT_ERRORS = frozenset(range(400, 500))
SERVER_ERRORS = frozenset(range(500, 1000))  # also statuses that HTTP does not define
ERRORS = CLIENT_ERRORS | SERVER_ERRORS
CLIENT_ERRORS_OR_REDIRECTS = CLIENT_ERRORS | frozenset(range(300, 400)) - {304}
LIKE_ASCII = {"us-ascii", "ascii", "iso-8859-1", "latin1", "windows-1252"}  # charsets in which ASCII is unchanged
IDENTIFIER_FIELDS = frozenset({"x-request-id", "x-correlation-id", "request-id"})  # a response may repeat the request's
UNSUSPICIOUS = re.compile(rb"[\w-]*")  # values that a firewall does not mistake for an attack
REFUSED_CODING = re.compile(r"(?:^|,)\s*([\w-]+)\s*;\s*q=0(?:\.0*)?\s*(?=,|$)")
CLOSED_ENDINGS = frozenset({"closed", "reset"})  # the server closed the connection without a response
LATE_ENDINGS = frozenset({"timeout", "deadline"})  # the response, or the rest of it, did not arrive in time

Pool = Literal["valid keys", "other callers"]  # each has a connection that is kept
Ending = Literal[
    "complete", "closed", "truncated", "reset", "timeout", "deadline", "malformed", "too large", "abandoned"
]
# An aspect of exchanges that another program may not have recorded: the bytes of the response's head, how its body was
# delimited, the body before its content coding was undone, the bytes of a body that is recorded as a text, the time of
# the request, that a key was never issued, and that all requests belong to one short run.
Aspect = Literal["head", "framing", "coding", "bytes", "time", "unknown key", "one run"]


@dataclass(frozen=True)
class Credential:
    """A value for the key header, with a label that does not disclose it.

    `shell` is a POSIX shell expression, for use within double quotes, that derives the value from a key. A whole key in
    a value is recognized and becomes its shell variable.
    """

    value: bytes = field(repr=False)
    label: str
    shell: str = ""

    @property
    def text(self) -> str:
        """The value as a text; that of a recorded key may have other bytes than UTF-8."""
        return self.value.decode("utf-8", "backslashreplace")


def label_of(key: Credential | None) -> str:
    """Return the label of a key, or `no key`."""
    return key.label if key else "no key"


def name_of_key(number: int) -> tuple[str, str]:
    """Return the label of a valid key and its shell variable; the main key is number 1."""
    return ("the main key", "$CONTRACT_API_KEY") if number == 1 else (f"key {number}", f"$CONTRACT_API_KEY_{number}")


@dataclass(frozen=True)
class Request:
    """One request; `target` and `fields` go over the wire byte for byte.

    `label` states the purpose. A `new_connection` is used once; otherwise the request is sent on the kept connection
    of its `pool`. The `preamble` is sent before the request line.
    """

    method: str
    target: bytes
    fields: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    body: bytes = b""
    credential: Credential | None = None
    label: str = ""
    is_baseline: bool = True
    version: str = "HTTP/1.1"
    separator: bytes = b": "
    preamble: bytes = b""
    new_connection: bool = False
    pool: Pool = "other callers"

    def described(self, redact: Redactor) -> str:
        """Return method, target, credential and purpose, in a line without secrets."""
        who = f"with {self.credential.label}" if self.credential else "without a key"
        target = one_line(redact.shortened(self.target.decode("ascii", "backslashreplace"), SHOWN_OF_A_TARGET))
        return " ".join(filter(None, [self.method, target, who, self.label]))

    @property
    def path(self) -> bytes:
        """The target without its query."""
        return self.target.partition(b"?")[0]

    @property
    def awaits_continue(self) -> bool:
        """Whether the body is sent only after the interim response 100 (RFC 9110, section 10.1.1)."""
        return (b"Expect", b"100-continue") in self.fields

    @property
    def asks_to_close(self) -> bool:
        """Whether the connection ends after the response (RFC 9112, section 9.6); the case of an option is free."""
        return any(value.lower() == b"close" for value in self.values("Connection"))

    def accepts(self, coding: str) -> bool:
        """Whether Accept-Encoding contains a content coding; the gate decodes gzip and deflate in any case."""
        return any(coding.encode() in value for value in self.values("Accept-Encoding"))

    def values(self, name: str) -> list[bytes]:
        """Return the values of every header field of that name, in order."""
        lower = name.lower().encode()
        return [value for field_name, value in self.fields if field_name.lower() == lower]

    @cached_property
    def refused_codings(self) -> frozenset[str]:
        """The content codings to which Accept-Encoding gives the weight 0 by name (RFC 9110, section 12.5.3)."""
        accepted = b", ".join(self.values("Accept-Encoding")).decode("latin-1").lower()
        return frozenset(REFUSED_CODING.findall(accepted))

    def separator_of(self, value: bytes) -> bytes:
        """Return the separator of a field's name and this value; only the key may have an unusual one."""
        return self.separator if self.credential and value == self.credential.value else b": "


@dataclass(frozen=True)
class Abridged:
    """The size and the SHA-256 of a body of which only the beginning is kept.

    `head` states whether the head, and the bytes that followed the response, were cut as well: `extra` is the number of
    these bytes. The `reason` may contain {} for the number of received bytes.
    """

    size: int
    sha256: str
    head: bool = False
    extra: int = 0
    reason: str = "not all of a response of {} bytes was kept: the responses were too large"


class Excerpt(str):
    """A text that `Exchange.excerpt` has shortened; a second call returns it unchanged."""

    __slots__ = ()


@dataclass(frozen=True)
class Exchange:
    """One request and its response, or the failure to get one.

    Attributes:
        status: None if no status line arrived.
        fields: The header fields, in order and with the case of their names.
        trailers: The fields after a chunked body.
        payload: The body as it was sent, before its content coding is undone.
        ending: How the response ended; `problem` states the reason.
        received: The number of all bytes.
        extra: The bytes that followed the response.
        head: The bytes before the body, with the heads of interim responses.
        started: The time of the request on the run's monotonic clock, in seconds; `seconds` is the duration.
        redact: Removes the run's secrets from excerpts.
        abridged: Set if only a part is kept. Members that need the rest raise NotTested.
        lacks: The aspects that are not known of a recorded exchange.
        doubt: Why a recorded response may have another cause than the deployment; empty for others.
        is_closed: Whether the server closed the connection after the response; None if nothing waited for that.
        check_time: Raises NotTested once the run's time is over; large bodies are not decoded after that. It does
            nothing for an exchange outside a run.
    """

    request: Request
    status: int | None = None
    reason: str = ""
    version: str = ""
    fields: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)
    trailers: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)
    payload: bytes = field(default=b"", repr=False)
    ending: Ending = "complete"
    problem: str = ""
    received: int = 0
    extra: bytes = field(default=b"", repr=False)
    head: bytes = field(default=b"", repr=False)
    started: float = 0.0
    seconds: float = 0.0
    redact: Redactor = field(default=Redactor(()), repr=False, compare=False)
    abridged: Abridged | None = None
    lacks: frozenset[Aspect] = frozenset()
    doubt: str = ""
    is_closed: bool | None = None
    check_time: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)

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
        self.check_kept(head=True)
        return self.head

    @property
    def raw_body(self) -> bytes:
        """The bytes of the body as it was sent, all of them."""
        self.check_kept()
        if len(self.payload) > KEPT:
            self.check_time()
        return self.payload

    def check_kept(self, *, head: bool = False) -> None:
        """Raise NotTested unless the whole response, or its whole `head`, was kept."""
        if self.abridged and (self.abridged.head or not head):
            raise NotTested(self.abridged.reason.format(self.received))

    def excerpt(self, received: str | bytes, longest: int = SHOWN) -> str:
        """Return the beginning of a text that was received, in one line and without secrets.

        An excerpt is returned as it is.
        """
        if isinstance(received, Excerpt):
            return received
        text = received if isinstance(received, str) else received.decode("utf-8", "backslashreplace")
        return Excerpt(one_line(self.redact.shortened(text, longest)))

    @property
    def ended(self) -> float:
        """The end of the exchange on the run's clock, in seconds."""
        return self.started + self.seconds

    @property
    def outcome(self) -> str:
        """The status, or how the response failed."""
        return str(self.status) if self.status is not None else f"no response ({self.ending})"

    @property
    def is_complete_200(self) -> bool:
        """Whether the response is complete, and has status 200."""
        return self.status == 200 and self.ending == "complete"

    def values(self, name: str) -> list[str]:
        """Return the values of every field of that name, in order; NotTested unless all of them were kept."""
        self.check_kept(head=True)
        return self.kept_values(name)

    def kept_values(self, name: str) -> list[str]:
        """Return the values of every field of that name that were kept, in order."""
        lower = name.lower()
        return [value.decode("latin-1") for field_name, value in self.fields if field_name.lower() == lower]

    def header(self, name: str) -> str:
        """Return the field's combined value (RFC 9110, section 5.3), empty without the field."""
        return ", ".join(self.values(name))

    def items(self, name: str) -> list[str]:
        """Return the items of a field whose value is a list (RFC 9110, section 5.6.1), without empty ones."""
        return [item.strip() for item in self.header(name).split(",") if item.strip()]

    @property
    def announces_closing(self) -> bool:
        """Whether the response is complete, and its head states that the server closes the connection after it."""
        options = {option.strip().lower() for value in self.kept_values("Connection") for option in value.split(",")}
        return self.ending == "complete" and "close" in options

    @property
    def media_type(self) -> str:
        """The lower-case media type without its parameters, or an empty text."""
        return self.header("Content-Type").split(";")[0].strip().lower()

    @property
    def is_json(self) -> bool:
        """Whether the media type is application/json or has the +json suffix (RFC 6839)."""
        return self.media_type == "application/json" or self.media_type.endswith("+json")

    @property
    def charsets(self) -> list[str]:
        """The lower-case charset parameters of Content-Type; JSON has none, and only some clients ignore them."""
        parameters = [part.strip() for part in self.header("Content-Type").lower().split(";")[1:]]
        return [part.partition("=")[2].strip('" ') for part in parameters if part.startswith("charset=")]

    @property
    def has_true_charset(self) -> bool:
        """Whether the body is the same text in its charset as in UTF-8 (RFC 8259, section 8.1)."""
        is_ascii = len(self.charsets) == 1 and self.charsets[0] in LIKE_ASCII and self.body.isascii()
        return is_ascii or self.charsets in ([], ["utf-8"], ["utf8"])

    @cached_property
    def codings(self) -> tuple[str, ...]:
        """The names in Content-Encoding, in order and in lower case, without `identity`."""
        named = (item.lower() for item in self.items("Content-Encoding"))
        return tuple(coding for coding in named if coding != "identity")

    @property
    def is_zstd(self) -> bool:
        """Whether the body has the zstd coding, which was requested and which the gate cannot decode."""
        return "zstd" in self.codings and self.request.accepts("zstd")

    @property
    def _content(self) -> tuple[bytes, str]:
        body = self.raw_body
        for coding in reversed(self.codings):
            decode = DECODERS.get(coding)
            if coding == "zstd" and not begins_as_zstd(body):
                return body, "is not the zstd that Content-Encoding announces: it does not begin as a frame does"
            if coding == "zstd" and self.is_zstd:
                return body, ""
            if decode is None or (coding == "br" and not self.request.accepts(coding)):
                return body, f"has the content coding '{self.excerpt(coding)}', which was not requested"
            body, problem = FORMS.form(coding, body, decode)
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
    def beginning(self) -> bytes:
        """The beginning of the body, decoded where that is possible: enough for an excerpt."""
        body = self.payload if self.abridged or len(self.payload) > KEPT else self.body
        return body[: (SHOWN + WINDOW) * LONGEST_CHARACTER]

    @property
    def object(self) -> dict[str, object]:
        """The body's JSON object; empty where the body is anything else."""
        return self.json.value if isinstance(self.json.value, dict) else {}


Exchanges = Sequence[Exchange]


@dataclass(frozen=True)
class Json:
    """A body as JSON; the value of a large body is parsed again each time."""

    exchange: Exchange

    @property
    def value(self) -> Any:
        """The value; None where the body has a problem."""
        return self._document.value

    @cached_property
    def problem(self) -> str:
        """The end of a sentence, such as "is empty", or an empty text."""
        return self.exchange.excerpt(self._document.problem)

    @cached_property
    def is_readable(self) -> bool:
        """Whether the body is neither too large nor nested too deeply to be parsed."""
        return not is_too_large(self.exchange.body) and not self._document.is_too_deep

    @property
    def _document(self) -> Document:
        """Raises NotTested where the body is an object with too many values."""
        if is_too_large(self.exchange.body):
            if not self.exchange.body.lstrip().startswith(b"{"):
                return Document(problem=f"is not an object, and has more than {MOST_VALUES} values")
            raise NotTested(f"a body of {self.exchange.size} bytes has more than {MOST_VALUES} values")
        return FORMS.form("json", self.exchange.body, parse)


def kept_whole(exchanges: Iterable[Exchange]) -> Iterator[Exchange]:
    """Yield the responses that were kept whole; then raise NotTested if there are others."""
    abridged = None
    for exchange in exchanges:
        if exchange.abridged:
            abridged = exchange
        else:
            yield exchange
    if abridged:
        abridged.check_kept()


def distinct(*exchanges: Exchange) -> list[Exchange]:
    """Return each exchange once, in order."""
    return list({id(exchange): exchange for exchange in exchanges}.values())


def with_field(exchanges: Iterable[Exchange], name: str) -> list[Exchange]:
    """Return the responses that have a header field; NotApplicable if there are none."""
    return or_not_applicable((each for each in exchanges if each.values(name)), f"no response has {name}")


def cookies_set(exchanges: Iterable[Exchange]) -> bytes:
    """Return the Cookie field that a browser sends after these responses; empty without cookies."""
    cookies = {line.split(";")[0].strip() for exchange in exchanges for line in exchange.values("Set-Cookie")}
    return "; ".join(sorted(cookies)).encode("latin-1")
