"""Combined requests: many header fields, query parameters and cookies in one, separated only as far as needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from contract_tests.run.gate import Gate
from contract_tests.run.probes import Probing, send
from contract_tests.wire.messages import Credential, Exchange, Request
from contract_tests.wire.not_tested import NotTested

Kind = Literal["header", "query parameter", "cookie"]
Outcome = Literal["expected", "unexpected", "unclear"]
Judge = Callable[[Exchange], Outcome]

KINDS: tuple[Kind, ...] = ("header", "query parameter", "cookie")
# Apache, gunicorn and hyper accept 100 fields, gunicorn a request line of 4,094 bytes, Tomcat and Jetty a head of
# 8 KiB. The rest is for the fields of a baseline request, and for those that a gateway needs.
MOST_FIELDS = 75
LONGEST_QUERY = 3500
LARGEST_HEAD = 7000
MOST_EXTRA = 40  # requests of a rule: the spare ones, and those that narrow a defect down to a part


@dataclass(frozen=True)
class Part:
    """One header field, query parameter or cookie of a combined request."""

    kind: Kind
    name: str
    value: str | bytes

    @property
    def pair(self) -> bytes:
        """The part as a query and a Cookie header write it."""
        value = self.value if isinstance(self.value, bytes) else self.value.encode()
        return self.name.encode() + b"=" + value


@dataclass(frozen=True)
class Combined:
    """A request that combines parts.

    Attributes:
        gate: The deployment.
        label: The purpose of the whole request.
        single: The purpose of a request with one of the parts, before its kind and its name.
        parts: The parts, the most usual first.
        group: The requests that share what they learn about refused kinds.
        key: The key in the header of the request.
    """

    gate: Gate
    label: str
    single: str
    parts: tuple[Part, ...]
    group: str
    key: Credential | None = None

    def of(self, kind: Kind) -> tuple[Part, ...]:
        """Return the parts of a kind."""
        return tuple(part for part in self.parts if part.kind == kind)

    def request(self) -> Request:
        """Build the request."""
        fields = [(part.name, part.value) for part in self.of("header")]
        if cookies := self.of("cookie"):
            fields.append(("Cookie", b"; ".join(part.pair for part in cookies)))
        query = b"&".join(part.pair for part in self.of("query parameter"))
        target = self.gate.path.encode() + (b"?" + query if query else b"")
        label = f"{self.single} {self.parts[0].kind} {self.parts[0].name}" if len(self.parts) == 1 else self.label
        # A server that refuses such a request often closes the connection too.
        return self.gate.request(self.key, label, fields=fields, target=target, new_connection=True)

    def is_refused(self, part: Part) -> bool:
        """Whether an earlier request has shown that the deployment refuses a part alone."""
        return (self.key, part.kind, part.name.lower()) in self.gate.refused.parts

    def split(self) -> list[Combined]:
        """Return a request for the parts of each kind; or, where all are of one kind, two with half of the parts."""
        pieces = [parts for kind in KINDS if (parts := self.of(kind))]
        if len(pieces) == 1:
            middle = (len(self.parts) + 1) // 2
            pieces = [self.parts[:middle], self.parts[middle:]]
        return [replace(self, parts=parts) for parts in pieces]


def find(combined: Combined, judge: Judge) -> Probing[Exchange | None]:
    """Send a combined request, and return the exchange of its smallest part with an unexpected outcome, if any.

    An unclear outcome means that the deployment refuses a part, for example a query that it does not know. The
    other parts are then untested: they are sent again in halves, as long as `Gate.refused` has spare requests.
    """
    combined = replace(combined, parts=tuple(part for part in combined.parts if not combined.is_refused(part)))
    refused_kinds = [kind for kind in KINDS if (combined.group, kind) in combined.gate.refused.kinds]
    together = replace(combined, parts=tuple(part for part in combined.parts if part.kind not in refused_kinds))
    if together.parts:
        exchange = yield from send(together.request())
        outcome = judge(exchange)
        if outcome == "unexpected":
            return (yield from _narrowed(together, exchange, judge))
        if outcome == "unclear" and (found := (yield from _separated(together, judge))):
            return found
    # Of a kind that is refused, only the most usual part is worth a request.
    most_usual = tuple(part for kind in refused_kinds for part in combined.of(kind)[:1])
    return (yield from _found_alone(replace(combined, parts=most_usual), judge))


def _separated(refused: Combined, judge: Judge) -> Probing[Exchange | None]:
    """Send the parts of a refused request in pieces."""
    if len(refused.parts) == 1:
        (part,) = refused.parts
        refused.gate.refused.parts.add((refused.key, part.kind, part.name.lower()))
        return None
    pieces, unclear = refused.split(), []
    for piece in pieces:
        exchange = yield from _sent_with_spare_request(piece)
        if exchange is None:
            return None
        outcome = judge(exchange)
        if outcome == "unexpected":
            return (yield from _narrowed(piece, exchange, judge))
        if outcome == "unclear":
            unclear.append(piece)
    if len(unclear) == len(pieces) and len({part.kind for part in refused.parts}) == 1 and len(refused.parts) > 2:
        return (yield from _found_alone(refused, judge))
    for piece in unclear:
        if found := (yield from _separated(piece, judge)):
            return found
    return None


def _found_alone(combined: Combined, judge: Judge) -> Probing[Exchange | None]:
    """Send each part alone while requests are spare; if all are refused, their kinds count as refused."""
    outcomes = set[Outcome]()
    for part in combined.parts:
        exchange = yield from _sent_with_spare_request(replace(combined, parts=(part,)))
        if exchange is None:
            break
        outcomes.add(outcome := judge(exchange))
        if outcome == "unexpected":
            return exchange
    if outcomes == {"unclear"}:
        combined.gate.refused.kinds |= {(combined.group, part.kind) for part in combined.parts}
    return None


def _narrowed(combined: Combined, exchange: Exchange, judge: Judge) -> Probing[Exchange]:
    """Return the exchange of the smallest part of a request that has an unexpected outcome too."""
    while len(combined.parts) > 1:
        for half in combined.split():
            try:
                narrower = yield from send(half.request())
            except NotTested:  # the deployment may have stopped: the larger request shows the defect too
                return exchange
            if judge(narrower) == "unexpected":
                combined, exchange = half, narrower
                break
        else:
            break
    return exchange


def _sent_with_spare_request(combined: Combined) -> Probing[Exchange | None]:
    """Send a request if there is a spare one."""
    return (yield from send(combined.request())) if combined.gate.refused.take() else None


def packed(parts: Iterable[Part], requests: int) -> list[tuple[Part, ...]]:
    """Distribute parts over requests, the first parts to the first request; those that do not fit are left out."""
    packs = [_Pack() for _ in range(requests)]
    for part in parts:
        any(pack.add(part) for pack in packs)
    return [tuple(pack.parts) for pack in packs if pack.parts]


@dataclass
class _Pack:
    """The parts of one request, and what they take together: header fields, bytes of the query, bytes of the head."""

    parts: list[Part] = field(default_factory=list)
    fields: int = 0
    query: int = 0
    head: int = 0

    def add(self, part: Part) -> bool:
        """Add a part if it fits; return whether it does."""
        size = len(part.pair) + 3  # the separators
        fields = self.fields + (part.kind == "header")
        query = self.query + (size if part.kind == "query parameter" else 0)
        head = self.head + size
        if fields > MOST_FIELDS or query > LONGEST_QUERY or head > LARGEST_HEAD:
            return False
        self.parts.append(part)
        self.fields, self.query, self.head = fields, query, head
        return True
