"""The curl command that repeats a request, without any key in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from contract_tests.wire.messages import AGENT, Credential, Request
from contract_tests.wire.target import ConnectionSettings

ADDED_BY_CURL = ("Host", "User-Agent", "Accept")  # header fields that curl adds unless an option removes them
LONG_RUN = 100  # characters: a longer run of one letter becomes a command that prints it
# A long run of one letter, printable characters before such a run, or others.
PARTS = re.compile(
    rb"(?s)([A-Za-z0-9_])\1{%d,}|[ -~]+?(?=([A-Za-z0-9_])\2{%d}|[^ -~]|\Z)|[^ -~]+" % (LONG_RUN - 1, LONG_RUN - 1)
)
PRINTABLE = re.compile(rb"[ -~]+")
GLOBBED = re.compile(rb"[\[\]{}]")  # characters that curl reads as a pattern in a URL
IN_A_URL = re.compile(rb"/[!\"$-~]*")  # a target that curl sends unchanged within a URL: no fragment, no raw byte


def curl_commands(requests: Sequence[Request], settings: ConnectionSettings) -> str:
    """Return the command that repeats requests in turn on one connection; only the first may have a body."""
    first, *others = (curl_command(request, settings) for request in requests)
    return " --next ".join([first, *(command.removeprefix("curl ") for command in others)])


def curl_command(request: Request, settings: ConnectionSettings) -> str:
    """Return the command that repeats a request.

    An API key becomes a shell variable, wherever it occurs. Header fields that curl adds by itself are left out.
    """
    for name, value in request.fields:
        if b"\0" in value:
            return f"# curl cannot send the NUL byte in {name.decode()}"
    origin, keys = settings.target.origin, settings.keys
    words = ["curl", "-isS", "--path-as-is", *_method_options(request)]
    words += [f"-H {_field(request, name, value, keys)}" for name, value in _own_fields(request, settings)]
    sent = {name.lower() for name, _ in request.fields}
    added = (*ADDED_BY_CURL, "Content-Type") if request.body else ADDED_BY_CURL
    words += [f"-H '{name}:'" for name in added if name.lower().encode() not in sent]
    if request.body.endswith(b"\n") or b"\0" in request.body:  # a command substitution would remove these bytes
        words = [_printf(request.body, keys), "|", *words, "--data-binary", "@-"]
    elif request.body:
        words += ["--data-binary", _shell(request.body, keys)]
    if GLOBBED.search(request.target):
        words.append("--globoff")
    if IN_A_URL.fullmatch(request.target):
        return " ".join([*words, _shell(origin.encode() + request.target, keys)])
    return " ".join([*words, "--request-target", _shell(request.target, keys), _shell(origin.encode())])


def _own_fields(request: Request, settings: ConnectionSettings) -> Iterator[tuple[bytes, bytes]]:
    added = {(b"Host", settings.target.authority.encode()), (b"Accept-Encoding", b"identity")}
    for name, value in request.fields:
        if (name, value) not in added and not value.startswith(AGENT.encode()):
            yield name, value


def _method_options(request: Request) -> list[str]:
    version = ["--http1.0"] if request.version == "HTTP/1.0" else []
    if request.method == "HEAD":
        return [*version, "--head"]
    if request.preamble:
        method = request.preamble + request.method.encode()
        return [*version, "-X", f'"$({_printf(method)})"']
    return version if request.method == "GET" and not request.body else [*version, "-X", request.method]


def _field(request: Request, name: bytes, value: bytes, keys: Sequence[Credential]) -> str:
    if not value.strip():
        return _shell(name + b";")  # curl's syntax for a field without a value
    start, credential = name + request.separator_of(value), request.credential
    if not credential or value != credential.value or not credential.shell:
        return _shell(start + value, keys)
    if start.decode("latin-1").isprintable():
        return f'"{start.decode()}{credential.shell}"'
    return f'{_shell(start)}"{credential.shell}"'


def _shell(text: bytes, keys: Sequence[Credential] = ()) -> str:
    """Quote bytes for a POSIX shell. Keys become variables; long runs of a letter become commands that print them."""
    for key in keys:
        if key.value in text:
            return f'"{key.shell}"'.join(_shell(part, keys) if part else "" for part in text.split(key.value))
    return "".join(map(_quoted_part, (part[0] for part in PARTS.finditer(text)))) or "''"


def _quoted_part(part: bytes) -> str:
    if not PRINTABLE.fullmatch(part):
        return f'"$({_printf(part)})"'
    text = part.decode()
    if len(text) >= LONG_RUN and len(set(text)) == 1:
        return f"\"$(printf '%{len(text)}s' '' | tr ' ' {text[0]})\""
    return "'" + text.replace("'", "'\"'\"'").replace("##", "#''#") + "'"  # "##" might begin a CI system's command


def _printf(data: bytes, keys: Sequence[Credential] = ()) -> str:
    """Return the printf command that writes the bytes, with keys as variables."""
    pieces = re.split(b"(" + b"|".join(re.escape(key.value) for key in keys) + b")", data) if keys else [data]
    shells = {key.value: key.shell for key in keys}
    form = "".join("%s" if index % 2 else "".join(map(_printf_byte, piece)) for index, piece in enumerate(pieces))
    return " ".join([f"printf '{form}'", *(f'"{shells[piece]}"' for piece in pieces[1::2])])


def _printf_byte(byte: int) -> str:
    if byte == ord("%"):
        return "%%"
    return chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\{byte:03o}"
