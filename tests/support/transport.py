"""Settings, a clock and texts of exchanges for tests of the transport."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from contract_tests.metrics.schema import contract
from contract_tests.reports.text import exchange_lines
from contract_tests.run.options import Settings
from contract_tests.run.report import exchange_report
from contract_tests.support.gate import Gate
from contract_tests.wire.curl import curl_commands
from contract_tests.wire.messages import Credential, Exchange, Request
from contract_tests.wire.target import Target
from contract_tests.wire.transport import Transport

KEY = Credential(b"main-key", "the main key", "$CONTRACT_API_KEY")


@dataclass
class ManualClock:
    """A clock that only sleeping advances."""

    time: float = 1000.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def settings(url: str, **changes: Any) -> Settings:
    target = Target.parse("--base-url", url)
    base = Settings(target, (KEY,), max_requests=1000, timeout=30.0)  # thousands of times what a local server takes
    return replace(base, **changes)


@dataclass
class Bench:
    """A transport to a scripted server, its clock, and the request heads that the server received."""

    transport: Transport
    clock: ManualClock
    heads: list[bytes]

    def send(self, key: Credential | None = KEY, **how: Any) -> Exchange:
        fields = ((b"Host", b"here"), *(((b"X-API-Key", key.value),) if key else ()))
        return self.transport.send(Request("GET", b"/usage", fields, credential=key), **how)


def gate_for(url: str = "http://127.0.0.1:1", transport: object = None) -> Gate:
    """Return a gate for a URL; `transport` replaces the way to it."""
    options = settings(url)
    return Gate(options, contract("documented"), cast("Transport", transport) if transport else Transport(options))


def transcript(exchange: Exchange) -> str:
    """Return the text of an exchange as reports contain it, without the curl command."""
    report = replace(exchange_report(exchange, settings("http://127.0.0.1:1")), curl="")
    return "\n".join(exchange_lines(report))


def curl_of(requests: Request | Sequence[Request], url: str, *keys: Credential) -> str:
    """Return the curl command of a request to a URL, or of requests on one connection."""
    requests = [requests] if isinstance(requests, Request) else requests
    return curl_commands(requests, settings(url, keys=keys))
