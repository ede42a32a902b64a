"""The deployment under test as rules see it: its contract, its keys, and the requests that it can be sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypedDict, Unpack
from uuid import uuid4

from contract_tests.metrics.schema import contract
from contract_tests.support.facts import NO_SECOND_KEY, TWO_KEYS, Baseline, contains_metrics
from contract_tests.support.findings import Finding, Findings, one_of, status_finding
from contract_tests.support.request_parts import RefusedParts
from contract_tests.wire.messages import (
    AGENT,
    AUTH_ERRORS,
    SUCCESSES,
    UNSUSPICIOUS,
    Credential,
    Exchange,
    Pool,
    Request,
)
from contract_tests.wire.not_tested import NotTested
from contract_tests.wire.target import ConnectionSettings
from contract_tests.wire.transport import Transport
from usage_contract import Contract, Operation, __version__

OPERATION = "get_usage"  # the operation that the rules are about; the document describes the rest of it
HEALTH = "get_health"  # the health check, which needs no key
# Routes of another version, for management, and of the source; each with header fields of its request.
OTHER_ROUTES: dict[str, tuple[tuple[str, str], ...]] = {
    "/v1/usage": (),
    "/actuator": (),
    "/.git/HEAD": (),
    "/metrics": (("Accept-Language", "de"),),
}
OTHER_ORIGIN = "https://other-origin.example"  # no page of the deployment
BROWSER = (
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("Accept", "text/html,*/*;q=0.8"),
    ("Accept-Language", "de-DE,de;q=0.9"),
)
OVERRIDES = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")  # name another method
WRITE_METHODS = ("POST", "PUT", "PATCH", "DELETE")
MARKER = b"<q17>"  # an element that no page has by chance
SENDS_PER_RESPONSE = 2  # a throttled request is sent again
VISITOR = ("Cookie", "visitor=17")  # of an earlier visit
NUMBER = "6f1c2e7a"
# Identifiers that clients and proxies choose; requests with a key and without one have the same.
IDENTIFIERS = (
    ("X-Request-Id", NUMBER), ("X-Correlation-Id", NUMBER),
    ("traceparent", f"00-{NUMBER * 4}-{NUMBER * 2}-01"),
)  # fmt: skip


class RequestOptions(TypedDict, total=False):
    """The differences from a baseline request.

    `fields` replace the default header fields of the same name, and `without` leaves some out. `key_field` is another
    spelling of the key header. `key_first` puts it before all others, and `key_last` after them. `separator` is
    written between its name and the key, and `preamble` before the request. `is_baseline` states that every deployment
    must answer the request like a baseline request. `new_connection` and `pool` choose the connection, see `Request`.
    """

    method: str
    target: str | bytes
    fields: Iterable[tuple[str, str | bytes]]
    without: Iterable[str]
    body: bytes
    key_field: str
    is_baseline: bool
    new_connection: bool
    pool: Pool
    version: str
    separator: bytes
    preamble: bytes
    key_first: bool
    key_last: bool


@dataclass
class Gate:
    """One deployment under test: its settings, its contract, the way to it, and the facts found so far.

    `rejected` are further keys that this deployment rejects, each with the exchange that shows it. `baseline_exchanges`
    are the exchanges of the baseline requests.
    """

    settings: ConnectionSettings
    contract: Contract
    transport: Transport
    rejected: dict[Credential, Exchange] = field(default_factory=dict)
    baseline_exchanges: list[Exchange] = field(default_factory=list)
    refused_parts: RefusedParts = field(default_factory=RefusedParts)

    @cached_property
    def operation(self) -> Operation:
        """The operation under test."""
        return self.contract.operations[OPERATION]

    @cached_property
    def key_header(self) -> str:
        """The name of the header that carries the key."""
        return self.operation.key_header or ""

    @property
    def keys(self) -> tuple[Credential, ...]:
        """The keys that were given and that the deployment accepts, the main key first."""
        return tuple(key for key in self.settings.keys if key not in self.rejected)

    @property
    def main(self) -> Credential:
        """The main key; NotTested where a recording has no valid key."""
        if not self.settings.keys:
            raise NotTested("no valid key is recorded")
        return self.settings.keys[0]

    @property
    def second(self) -> Credential:
        """The second key; NotTested where only one was given."""
        if len(self.keys) < 2:
            raise NotTested(NO_SECOND_KEY, wanted=TWO_KEYS)
        return self.keys[1]

    @property
    def second_or_main(self) -> Credential:
        """The second key, or the main key where only that one is usable."""
        return self.keys[:2][-1]

    @property
    def path(self) -> str:
        """The operation's path at this deployment."""
        return self.target_of(self.operation.path)

    def target_of(self, path: str) -> str:
        """Return the target of another path at this deployment."""
        return self.settings.target.path + path

    @cached_property
    def public_operations(self) -> list[Operation]:
        """The operations that need no key; only the vendor's prose describes them, so the run's level may lack them."""
        return [each for each in contract("documented").operations.values() if each.key_header is None]

    @cached_property
    def baseline(self) -> Baseline:
        """The baseline exchanges; complete when the first rule runs."""
        exchanges = [each for each in self.baseline_exchanges if each.request.credential not in self.rejected]
        return Baseline.of(exchanges, self.members)

    @property
    def most_counted(self) -> int:
        """The highest number by which the baseline requests can have raised a counter."""
        return SENDS_PER_RESPONSE * len(self.baseline_exchanges)

    def request(self, key: Credential | None = None, label: str = "", **options: Unpack[RequestOptions]) -> Request:
        """Build a request for the operation; without further arguments it is the baseline request without a key."""
        own = [(name.encode(), _bytes(value)) for name, value in options.get("fields", ())]
        replaced = {name.lower() for name, _ in own} | {name.lower().encode() for name in options.get("without", ())}
        fields = [(name, value) for name, value in self._default_fields if name.lower() not in replaced]
        if key:
            key_field = (options.get("key_field", self.key_header).encode(), key.value)
            fields.insert(0 if options.get("key_first") else len(fields), key_field)
            if options.get("key_last"):
                own.append(fields.pop())
        body = options.get("body", b"")
        if body and b"content-length" not in replaced:
            fields.append((b"Content-Length", str(len(body)).encode()))
        return Request(
            method=options.get("method", self.operation.method),
            target=_bytes(options.get("target", self.path)),
            fields=(*fields, *own),
            body=body,
            credential=key,
            label=label,
            is_baseline=options.get("is_baseline", not label),
            version=options.get("version", "HTTP/1.1"),
            separator=options.get("separator", b": "),
            preamble=options.get("preamble", b""),
            new_connection=options.get("new_connection", False),
            pool=options.get("pool") or ("valid keys" if key in self.settings.keys else "other callers"),
        )

    def send(self, key: Credential | None = None, label: str = "", **options: Unpack[RequestOptions]) -> Exchange:
        """Build a request, see `request`; send it, and return its exchange."""
        return self.transport.send(self.request(key, label, **options))

    def send_in_turn(self, requests: Iterable[Request]) -> Iterator[Exchange]:
        """Send requests one after the other, each when the caller iterates to it."""
        return map(self.transport.send, requests)

    def unless_configured(self, fields: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return header fields without those of the settings, which a gateway may need as they are."""
        configured = {name.lower() for name, _ in self.settings.headers}
        return [field for field in fields if field[0].lower() not in configured]

    @cached_property
    def _default_fields(self) -> list[tuple[bytes, bytes]]:
        agent = f"{AGENT}{__version__} run/{uuid4().hex[:12]}"
        defaults = {
            "Host": self.settings.target.authority,
            "User-Agent": agent,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
        given = {name.lower() for name, _ in self.settings.headers}
        fields = [(name, value) for name, value in defaults.items() if name.lower() not in given]
        return [(name.encode(), value.encode()) for name, value in (*fields, *self.settings.headers)]

    def is_ok(self, exchange: Exchange) -> bool:
        """Whether the exchange is a 200 to the operation with a valid key, regardless of the rest of the request.

        A server of several sites may take a request with no Host header, or with two, for another one.
        """
        request = exchange.request
        return exchange.status == 200 and len(request.values("Host")) == 1 and self.is_authorized(request)

    def is_authorized(self, request: Request) -> bool:
        """Whether a request is for the operation, and has a valid key in the key header."""
        return request.credential in self.keys and self.is_operation(request)

    def is_operation(self, request: Request) -> bool:
        """Whether a request is for the operation, with any query, header fields and body, also in absolute form."""
        path = request.path.removeprefix(self.settings.target.origin.encode())
        return request.method == self.operation.method and path == self.path.encode()

    def is_public(self, request: Request) -> bool:
        """Whether a request is for an operation that needs no key."""
        return request.target in {self.target_of(each.path).encode() for each in self.public_operations}

    def is_health_check(self, request: Request) -> bool:
        """Whether a request is for the health check."""
        health = next(each for each in self.public_operations if each.id == HEALTH)
        return (request.method, request.target) == (health.method, self.target_of(health.path).encode())

    def is_unsuspicious(self, request: Request) -> bool:
        """Whether only the deployment itself rejects the request: proxies and firewalls have their own error bodies."""
        key = request.credential
        is_wrong_key = key is None or (key not in self.settings.keys and UNSUSPICIOUS.fullmatch(key.value.strip()))
        host = (b"Host", self.settings.target.authority.encode())
        visitor = tuple(text.encode() for text in VISITOR)
        names = Counter(field[0].lower() for field in request.fields if field != visitor)
        of_a_browser = (name.lower() for name, _ in self.request(fields=BROWSER).fields)
        usual = {self.key_header.lower().encode(), b"origin", *of_a_browser}
        is_usual_target = (request.method, request.target) == (self.operation.method, self.path.encode())
        is_common = names.keys() <= usual and names.total() == len(names)
        return bool(is_wrong_key and is_usual_target and host in request.fields and not request.body and is_common)

    def is_usual_error(self, exchange: Exchange) -> bool:
        """Whether the operation rejects a usual request by 401, 403, 405 or 429."""
        request = exchange.request
        if exchange.status == 405:
            return request.method in WRITE_METHODS and request.target == self.path.encode() and not request.body
        if exchange.status == 429:
            return request.is_baseline and self.is_authorized(request)
        return exchange.status in AUTH_ERRORS and self.is_unsuspicious(request)

    def must_be_ok(self, exchange: Exchange) -> bool:
        """Whether the response must be a 200 with usage metrics: a baseline request with a valid key."""
        is_valid = exchange.request.credential in self.keys
        return exchange.request.is_baseline and is_valid and exchange.status != 429

    def wrongly_accepted(self, exchanges: Iterable[Exchange], refusals: Collection[int]) -> Findings:
        """Yield a finding for each exchange that must be refused, and was not.

        A refusal has one of the status codes in `refusals`, and no usage metrics.
        """
        expected = one_of(refusals) if len(refusals) < 10 else "a refusal"
        for exchange in exchanges:
            if exchange.status not in refusals:
                finding = status_finding(exchange, expected)
                accepted = f"a request without a valid {self.key_header} is accepted: {finding.problem}"
                yield replace(finding, problem=accepted) if exchange.status in SUCCESSES else finding
            elif self.contains_metrics(exchange):
                yield Finding("the response to a request that must be refused contains usage metrics", exchange)

    def contains_metrics(self, exchange: Exchange) -> bool:
        """Whether the body has two or more of the documented members in one object, at any depth."""
        return contains_metrics(exchange, self.members)

    @cached_property
    def members(self) -> frozenset[str]:
        """The names of the 200 body's documented members."""
        schema = self.operation.responses["200"].schema or {}
        return frozenset(schema.get("properties", ()))


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
