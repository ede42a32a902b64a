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

from usage_contract.contract import shipped_documents

PACKAGES = {
    "prism": "@stoplight/prism-cli",
    "steady": "@stdy/cli",
    "mockoon-cli": "@mockoon/cli",
    "wiremock": "wiremock",
}
DOCUMENT = shipped_documents() / "openapi.yaml"
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

# WireMock reads no OpenAPI document; one stub suffices to measure its speed.
STUB = {
    "request": {"method": "GET", "urlPath": "/usage"},
    "response": {"status": 200, "body": "x" * 918, "headers": {"Content-Type": "application/json"}},
}
WIREMOCK = Peer("WireMock", lambda folder, port: [
    _bin(folder, "wiremock"), "--port", str(port), "--root-dir", str(folder / "stubs"), "--no-request-journal",
])  # fmt: skip
FAST = (*PEERS, WIREMOCK)


@dataclass(frozen=True)
class Response:
    """A response: its status (0: the connection was closed or reset without one), its fields and its body."""

    status: int
    fields: Mapping[str, str]
    body: bytes

    def has(self, name: str, pattern: str) -> bool:
        """Whether the response has a field whose value matches a pattern."""
        return bool(re.search(pattern, self.fields.get(name, ""), re.IGNORECASE))


def send_request(port: int, data: bytes) -> Response:
    """Send bytes, and return the response."""
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
    return Response(int(status[1]) if status else 0, named, body)


def get(*fields: str, line: str = "GET /usage", body: str = "") -> bytes:
    """Return the bytes of a request that asks the server to close the connection."""
    return "\r\n".join([f"{line} HTTP/1.1", "Host: localhost", "Connection: close", *fields, "", body]).encode()


KEY = "X-API-Key: demo-busy"
Verdict = Callable[[Response], bool]


def is_status(*statuses: int) -> Verdict:
    """Return a check for one of these status codes."""
    return lambda response: response.status in statuses


def is_plausible(response: Response) -> bool:
    """Whether a 200 has consistent usage metrics."""
    body = response.body[response.body.find(b"{") : response.body.rfind(b"}") + 1]
    try:
        metrics = json.loads(body)
        rate, added = metrics["success_rate"], metrics["success"] + metrics["fail"]
        return response.status == 200 and 0 <= rate <= 100 and added == metrics["total"]
    except (KeyError, TypeError, ValueError):
        return False


def is_not_allowed(response: Response) -> bool:
    """Whether a method is rejected according to RFC 9110, section 15.5.6."""
    return response.status == 405 and response.has("allow", "GET")


def is_preflight(response: Response) -> bool:
    """Whether a browser would send the actual request after this response to a preflight."""
    return response.status in {200, 204} and response.has("access-control-allow-headers", r"\*|x-api-key")


def is_limit(response: Response) -> bool:
    """Whether a response is the documented one over the rate limit."""
    return response.status == 429 and response.has("retry-after", r"^\d+$") and "x-ratelimit-limit" in response.fields


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
        lambda response: (response.status == 200 and not response.body) or is_not_allowed(response),
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
    """Run a peer on a free port until the context ends; yield the port."""
    port = free_port()
    process = subprocess.Popen(peer.command(folder, port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + START
        while time.monotonic() < until and not send_request(port, get(KEY, line="GET /")).status:
            time.sleep(0.2)
        time.sleep(1.2)  # refills the tokens that the first request has taken
        yield port
    finally:
        process.kill()
        process.wait()


def cell(peer: Peer, folder: Path, case: str) -> str:
    """Return the status code of a peer for a case, with a mark, and whether its process has exited."""
    data, is_right, times = CASES[case]
    with running(peer, folder) as port:
        responses = [send_request(port, data) for _ in range(times)]
        is_running = send_request(port, get(KEY)).status != 0
    outcome = str(responses[-1].status or "no response") + ("" if is_running else "; the process exited")
    return f"{'✓' if is_right(responses[-1]) and is_running else '✗'} {outcome}"


def table(folder: Path, peers: tuple[Peer, ...]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| request | " + " | ".join(peer.name for peer in peers) + " |"
    yield "|---" * (len(peers) + 1) + "|"
    for case in CASES:
        yield f"| {case} | " + " | ".join(cell(peer, folder, case) for peer in peers) + " |"


def versions(folder: Path) -> str:
    """Return the versions of the peers in the lock file of npm."""
    found = json.loads((folder / "package-lock.json").read_text())["packages"]
    return ", ".join(f"{package} {found[f'node_modules/{package}']['version']}" for package in PACKAGES.values())


def install(folder: Path) -> None:
    """Install the peers, unless they are installed."""
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
