"""Curl commands run in any POSIX shell, and send the bytes that the gate sent."""

from __future__ import annotations

import os
import re
import shutil
import socketserver
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest
from hypothesis import find

from contract_tests.support import wrong_keys
from contract_tests.wire.connection import request_bytes
from contract_tests.wire.messages import Credential, Request
from tests.support.gate import serving_with
from tests.support.transport import curl_of

SHELL = shutil.which("dash") or "/bin/sh"
MAIN = Credential(b"s3cr3t-K3y/0f+some=7Q.x", "the main key", "$CONTRACT_API_KEY")
OTHER = Credential(b"an0ther_k3y(of)this~run", "key 2", "$CONTRACT_API_KEY_2")
HALVES = [half for key in (MAIN, OTHER) for half in re.findall("." * (len(key.value) // 2), key.value.decode())]
VARIABLES = {"CONTRACT_API_KEY": MAIN.value.decode(), "CONTRACT_API_KEY_2": OTHER.value.decode()}
BASHISMS = re.compile(r"\$\{\w+(:\d|~|//)|\$'|<<<|\{1\.\.")
DEFAULTS = ((b"Host", b"%"), (b"User-Agent", b"gate"), (b"Accept", b"*/*"))


class Recorder(socketserver.StreamRequestHandler):
    """Records the bytes of each request: its head, and a body by its length."""

    received: list[bytes]
    requests_of_a_connection = 1

    def handle(self) -> None:
        for _ in range(self.requests_of_a_connection):
            head = b""
            while (line := self.rfile.readline(1 << 20)) not in {b"\r\n", b""}:
                head += line
            length = re.search(rb"(?im)^content-length: *(\d+)", head)
            self.received.append(head + b"\r\n" + self.rfile.read(int(length[1]) if length else 0))
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


@contextmanager
def recording(**members: object) -> Iterator[tuple[str, list[bytes]]]:
    received: list[bytes] = []
    with serving_with(cast("type[Recorder]", type("Bound", (Recorder,), {"received": received, **members}))) as url:
        yield url, received


@pytest.fixture(scope="module")
def recorder() -> Iterator[tuple[str, list[bytes]]]:
    with recording() as each:
        yield each


def comparable(data: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Return the request line, the fields without optional white space around their values, and the body."""
    head, _, body = data.partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    parted = (field.partition(b":") for field in fields)
    sent = [name + b":" + value.strip(b" \t") for name, _, value in parted if name.lower() != b"content-length"]
    return line, sorted(sent), body


# An edit of each kind, at the start, in the middle and at the end.
EDITS = {
    f"the main key with character {place} {edit}": edit
    for edit in wrong_keys.EDITS
    for place in (1, len(MAIN.value) // 2, len(MAIN.value))
}


def edited(label: str) -> Credential:
    """Return an example of an edit, which takes a tenth of a second to find."""
    return find(wrong_keys.edits(MAIN, EDITS[label]), lambda key: key.label == label)


CREDENTIALS = {
    key.label: key
    for key in (
        *(MAIN, OTHER, wrong_keys.UNKNOWN, wrong_keys.BLANK, wrong_keys.shown("s3c*****x")),
        *wrong_keys.changed(MAIN),
        *(*wrong_keys.near(MAIN), *wrong_keys.near(OTHER), wrong_keys.mixed(MAIN, OTHER)),
        *(*wrong_keys.PATTERNS, *wrong_keys.MALFORMED, *wrong_keys.disguised(MAIN), wrong_keys.padded(MAIN)),
        Credential(MAIN.value + b" ", "the main key and a space"),
    )
}
TARGETS = {
    "the key in the query": b"/usage?api_key=" + MAIN.value + b"&x=1",
    "odd characters in the query": b"/usage?&=&&a[]=1&a={2}&%ff=%00&q='\"`$HOME\\|;*",
    "a long query": b"/usage?q=" + b"a" * 3000,
    "a fragment": b"/usage#x",
    "raw bytes": b"/usage\xff",
    "two slashes": b"//usage",
    "dots": b"/healthz/..;/usage",
    "an absolute form": b"http://127.0.0.1/usage",
    "a possible command of a CI system": b"/usage?##[group]##vso[task.setvariable]",
}
BODIES = {
    "JSON with the key": b'{"api_key": "' + MAIN.value + b'", "X-API-Key": "' + MAIN.value + b'"}',
    "a request": b"GET /usage HTTP/1.1\r\nHost: here\r\n\r\n",
    "a request with the key": b"GET /usage HTTP/1.1\r\nX-API-Key: " + MAIN.value + b"\r\n\r\n",
    "NULs": b"\0a\0b",
    "bytes and percent signs": b"100%s%%d\\n\x80\xff'\"",
}


def run(command: str) -> None:
    """Run a command in the shell; it must succeed without an error message."""
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **VARIABLES}
    ended = subprocess.run([SHELL, "-c", command], env=environment, capture_output=True, timeout=30, check=False)
    assert (ended.returncode, ended.stderr) == (0, b""), command


def check(request: Request, recorder: tuple[str, list[bytes]]) -> None:
    url, received = recorder
    received.clear()
    command = curl_of(request, url, MAIN, OTHER)
    assert not BASHISMS.search(command)
    assert not any(half in command for half in HALVES)
    run(command)
    assert [comparable(data) for data in received] == [comparable(request_bytes(request))]


def request(url: str, key: Credential, **changes: object) -> Request:
    defaults = [(name, url.removeprefix("http://").encode() if value == b"%" else value) for name, value in DEFAULTS]
    fields = (*defaults, (b"X-API-Key", key.value))
    return Request(**{"method": "GET", "target": b"/usage", "fields": fields, "credential": key} | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [*CREDENTIALS, *EDITS])
def test_command_sends_the_credential_that_the_gate_sent(name: str, recorder: tuple[str, list[bytes]]) -> None:
    sent = request(recorder[0], CREDENTIALS.get(name) or edited(name))
    if b"\0" in sent.credential.value:  # type: ignore[union-attr]
        assert curl_of(sent, recorder[0]) == "# curl cannot send the NUL byte in X-API-Key"
        run(curl_of(sent, recorder[0]))
    else:
        check(sent, recorder)


@pytest.mark.parametrize("body", [b"", BODIES["a request"]])
def test_command_sends_requests_in_turn_on_one_connection(body: bytes) -> None:
    with recording(requests_of_a_connection=3) as (url, received):
        by_head = request(url, MAIN, method="HEAD")
        sent = [request(url, MAIN, method="POST", body=body), request(url, wrong_keys.UNKNOWN), by_head]
        run(curl_of(sent, url, MAIN))
    assert [comparable(data) for data in received] == [comparable(request_bytes(each)) for each in sent]


@pytest.mark.parametrize("separator", [b":", b":\t", b": "])
def test_command_sends_the_separator_that_the_gate_sent(separator: bytes, recorder: tuple[str, list[bytes]]) -> None:
    sent = request(recorder[0], MAIN, separator=separator)
    run(curl_of(sent, recorder[0], MAIN))
    assert b"X-API-Key" + separator + MAIN.value + b"\r\n" in recorder[1][-1]
    assert "\t" not in curl_of(sent, recorder[0], MAIN)


def test_command_sends_the_empty_line_that_the_gate_sent(recorder: tuple[str, list[bytes]]) -> None:
    url, received = recorder
    run(curl_of(request(url, MAIN, preamble=b"\r\n"), url, MAIN))
    assert received[-1] == b"\r\n"  # the recorder takes the empty line for the end of a head


@pytest.mark.parametrize("name", TARGETS)
def test_command_sends_the_target_that_the_gate_sent(name: str, recorder: tuple[str, list[bytes]]) -> None:
    check(request(recorder[0], MAIN, target=TARGETS[name]), recorder)
    assert "##[" not in curl_of(request(recorder[0], MAIN, target=TARGETS[name]), recorder[0])


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("name", BODIES)
def test_command_sends_the_body_that_the_gate_sent(name: str, method: str, recorder: tuple[str, list[bytes]]) -> None:
    check(request(recorder[0], MAIN, method=method, body=BODIES[name]), recorder)


@pytest.mark.parametrize("value", [b'@@;;q=zz,="', b"\xe9\xff", b"", b"a" * 180, b"caf\xe9 'q' \"d\" `x` $HOME \\ %s"])
def test_command_sends_the_fields_that_the_gate_sent(value: bytes, recorder: tuple[str, list[bytes]]) -> None:
    sent = request(recorder[0], MAIN)
    check(request(recorder[0], MAIN, fields=(*sent.fields, (b"X-One", value), (b"X-API-Key", b"other"))), recorder)


def test_curl_never_shows_a_key() -> None:
    key = Credential(b"the-secret", "the main key", "$CONTRACT_API_KEY")
    request = Request("POST", b"/u?x='1'", ((b"X-API-Key", key.value), (b"X", b"\xe9'")), b"\x00", key)
    assert curl_of(request, "http://h", key) == (
        r"printf '\000' | "
        'curl -isS --path-as-is -X POST -H "X-API-Key: $CONTRACT_API_KEY" '
        """-H 'X: '"$(printf '\\351')"''"'"'' -H 'Host:' -H 'User-Agent:' -H 'Accept:' -H 'Content-Type:' """
        "--data-binary @- "
        """'http://h/u?x='"'"'1'"'"''"""
    )


def test_curl_names_a_key_by_its_variable_everywhere() -> None:
    key = Credential(b"the-secret", "the main key", "$CONTRACT_API_KEY")
    usual = ((b"Host", b"h"), (b"User-Agent", b"usage-contract/1"), (b"Accept", b"a"))
    fields = (*usual, (b"Cookie", b"k=the-secret"), (b"Empty", b""))
    request = Request("GET", b"/u?key=the-secret", fields, b"[the-secret]")
    assert curl_of(request, "http://h", key) == (
        """curl -isS --path-as-is -X GET -H 'Accept: a' -H 'Cookie: k='"$CONTRACT_API_KEY" -H 'Empty;' """
        """-H 'Content-Type:' --data-binary '['"$CONTRACT_API_KEY"']' 'http://h/u?key='"$CONTRACT_API_KEY\""""
    )


def test_curl_repeats_the_separator_between_name_and_key() -> None:
    key = Credential(b"the-secret", "the main key", "$CONTRACT_API_KEY")
    fields = ((b"Host", b"elsewhere"), (b"User-Agent", b"a"), (b"Accept", b"b"), (b"X-API-Key", key.value))
    command = curl_of(Request("GET", b"/u", fields, credential=key, separator=b":"), "http://h")
    assert '-H "X-API-Key:$CONTRACT_API_KEY"' in command
    assert "-H 'Host: elsewhere'" in command
