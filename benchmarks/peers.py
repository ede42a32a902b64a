"""Compares the responses of other mock servers: `python -m benchmarks.peers FOLDER`.

npm first installs the peers into the folder. Every peer serves the vendor's document and receives the same bytes.
Each request goes to a new process. The responses are printed as a Markdown table, and docs/other-mocks.md contains it.
The mark ✓ means that a response conforms to the vendor's document, its guides and the standards.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from usage_contract.contract import folder as documents

PACKAGES = {
    "prism": "@stoplight/prism-cli",
    "steady": "@stdy/cli",
    "mockoon-cli": "@mockoon/cli",
    "wiremock": "wiremock",
}
DOCUMENT = documents() / "openapi.yaml"
START = 40.0  # seconds


@dataclass(frozen=True)
class Peer:
    """A mock server: its name and its command, given the folder of the peers and a port."""

    name: str
    command: Callable[[Path, int], list[str]]


def _bin(folder: Path, name: str) -> str:
    return str(folder / "node_modules" / ".bin" / name)


OURS = Peer("usage-mock", lambda _, port: [sys.executable, "-m", "mock_server", "--port", str(port)])
PEERS = (
    Peer("Prism", lambda folder, port: [_bin(folder, "prism"), "mock", "-p", str(port), str(DOCUMENT)]),
    Peer("steady", lambda folder, port: [_bin(folder, "steady"), "-p", str(port), str(DOCUMENT)]),
    Peer("Mockoon", lambda folder, port: [
        _bin(folder, "mockoon-cli"), "start", "--data", str(DOCUMENT), "--port", str(port), "--disable-admin-api",
    ]),
)  # fmt: skip

# WireMock reads no OpenAPI document; how fast it is shows with one stub.
STUB = {
    "request": {"method": "GET", "urlPath": "/usage"},
    "response": {"status": 200, "body": "x" * 918, "headers": {"Content-Type": "application/json"}},
}
WIREMOCK = Peer("WireMock", lambda folder, port: [
    _bin(folder, "wiremock"), "--port", str(port), "--root-dir", str(folder / "stubs"), "--no-request-journal",
])  # fmt: skip
FAST = (*PEERS, WIREMOCK)


@dataclass(frozen=True)
class Answer:
    """A response: its status (0: the connection was closed or reset without one), its fields and its body."""

    status: int
    fields: Mapping[str, str]
    body: bytes

    def has(self, name: str, pattern: str) -> bool:
        """Whether there is such a field and its value matches."""
        return bool(re.search(pattern, self.fields.get(name, ""), re.IGNORECASE))


def ask(port: int, data: bytes) -> Answer:
    """Send bytes and read one answer."""
    received = b""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.settimeout(5)
        connection.sendall(data)
        while piece := connection.recv(1 << 16):
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    status = re.match(r"HTTP/1\.[01] (\d{3})", line)
    named = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    return Answer(int(status[1]) if status else 0, named, body)


def get(*fields: str, line: str = "GET /usage", body: str = "") -> bytes:
    """Return the bytes of a request, after which the connection is to be closed."""
    return "\r\n".join([f"{line} HTTP/1.1", "Host: localhost", "Connection: close", *fields, "", body]).encode()


KEY = "X-API-Key: demo-busy"
Verdict = Callable[[Answer], bool]


def is_status(*statuses: int) -> Verdict:
    """Return whether an answer has one of these statuses."""
    return lambda answer: answer.status in statuses


def is_plausible(answer: Answer) -> bool:
    """Whether a 200 has figures that can be true."""
    body = answer.body[answer.body.find(b"{") : answer.body.rfind(b"}") + 1]
    try:
        figures = json.loads(body)
        rate, added = figures["success_rate"], figures["success"] + figures["fail"]
        return answer.status == 200 and 0 <= rate <= 100 and added == figures["total"]
    except (KeyError, TypeError, ValueError):
        return False


def is_not_allowed(answer: Answer) -> bool:
    """Whether a method is refused as RFC 9110, section 15.5.6, demands."""
    return answer.status == 405 and answer.has("allow", "GET")


def is_preflight(answer: Answer) -> bool:
    """Whether a browser would send the real request after this."""
    return answer.status in {200, 204} and answer.has("access-control-allow-headers", r"\*|x-api-key")


def is_limit(answer: Answer) -> bool:
    """Whether it is the documented answer over the limit."""
    return answer.status == 429 and answer.has("retry-after", r"^\d+$") and "x-ratelimit-limit" in answer.fields


# By name: the request, the check of the last response, and how often the request is sent.
CASES: dict[str, tuple[bytes, Verdict, int]] = {
    "a valid key: consistent usage metrics": (get(KEY), is_plausible, 1),
    "no key: 401": (get(), is_status(401), 1),
    "an empty key: 401": (get("X-API-Key:"), is_status(401), 1),
    "an unknown key: 403 (or 401)": (get("X-API-Key: unknown-key"), is_status(401, 403), 1),
    "two keys: 400, 401 or 403": (get(KEY, "X-API-Key: unknown-key"), is_status(400, 401, 403), 1),
    "12 requests in a row with a burst of 10: 429": (get(KEY), is_limit, 12),
    "`Accept: /;q=x`: no 5xx": (get(KEY, "Accept: /;q=x"), is_status(200, 400, 406), 1),
    "`Accept: text/html`: 200 or 406": (get(KEY, "Accept: text/html"), is_status(200, 406), 1),
    "HEAD: 200 without a body, or 405": (
        get(KEY, line="HEAD /usage"),
        lambda answer: (answer.status == 200 and not answer.body) or is_not_allowed(answer),
        1,
    ),
    "POST with broken JSON: 405 with Allow": (
        get(KEY, "Content-Type: application/json", "Content-Length: 5", line="POST /usage", body='{"a":'),
        is_not_allowed,
        1,
    ),
    "DELETE: 405 with Allow": (get(KEY, line="DELETE /usage"), is_not_allowed, 1),
    "a browser's preflight": (
        get(
            "Origin: https://app.example",
            "Access-Control-Request-Method: GET",
            "Access-Control-Request-Headers: x-api-key",
            line="OPTIONS /usage",
        ),
        is_preflight,
        1,
    ),
    "`/usage/`: 404 or a redirect": (get(KEY, line="GET /usage/"), is_status(404, 301, 307, 308), 1),
    "a space in a header's name: 400": (get(KEY, "X Y: 1"), is_status(400), 1),
    "`Prefer: code=403`: 403": (get(KEY, "Prefer: code=403"), is_status(403), 1),
}


def free_port() -> int:
    """Return a port without a listener."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


@contextmanager
def running(peer: Peer, folder: Path) -> Iterator[int]:
    """Run a peer on a free port until the context ends; gives the port."""
    port = free_port()
    process = subprocess.Popen(peer.command(folder, port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + START
        while time.monotonic() < until and not ask(port, get(KEY, line="GET /")).status:
            time.sleep(0.2)
        time.sleep(1.2)  # refills the tokens that the first request has taken
        yield port
    finally:
        process.kill()
        process.wait()


def cell(peer: Peer, folder: Path, case: str) -> str:
    """Return what a peer does with one request, and whether it is still there afterwards."""
    data, is_right, times = CASES[case]
    with running(peer, folder) as port:
        answers = [ask(port, data) for _ in range(times)]
        lives = ask(port, get(KEY)).status != 0
    told = str(answers[-1].status or "no response") + ("" if lives else "; the process exited")
    return f"{'✓' if is_right(answers[-1]) and lives else '✗'} {told}"


def table(folder: Path, peers: tuple[Peer, ...]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| request | " + " | ".join(peer.name for peer in peers) + " |"
    yield "|---" * (len(peers) + 1) + "|"
    for case in CASES:
        yield f"| {case} | " + " | ".join(cell(peer, folder, case) for peer in peers) + " |"


def versions(folder: Path) -> str:
    """Return the peers' versions, as npm has them."""
    found = json.loads((folder / "package-lock.json").read_text())["packages"]
    return ", ".join(f"{package} {found[f'node_modules/{package}']['version']}" for package in PACKAGES.values())


def install(folder: Path) -> None:
    """Install the peers, unless they are there."""
    (folder / "stubs" / "mappings").mkdir(parents=True, exist_ok=True)
    (folder / "stubs" / "mappings" / "usage.json").write_text(json.dumps(STUB))
    if not all((folder / "node_modules" / ".bin" / name).exists() for name in PACKAGES):
        npm = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), *PACKAGES.values()]
        subprocess.run(npm, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where npm installs the peers")
    options = parser.parse_args()
    install(options.folder)
    print(versions(options.folder))
    print()
    for line in table(options.folder, (OURS, *PEERS)):
        print(line, flush=True)


if __name__ == "__main__":
    main()
