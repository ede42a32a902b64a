"""Combined requests: many header fields, query parameters and cookies in one, separated only as far as needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from contract_tests.support.gate import Gate
from contract_tests.support.request_parts import KINDS, Kind, Part
from contract_tests.wire.messages import LATE_ENDINGS, Credential, Exchange, Request
from contract_tests.wire.not_tested import NotTested

# A request is a "defect", or is "refused" because of one of its parts, so that the others are untested.
Judgement = Literal["kept", "defect", "refused"]
Judge = Callable[[Exchange], Judgement]


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

    def only(self, parts: Iterable[Part]) -> Combined:
        """Return a request with some of the parts."""
        return replace(self, parts=tuple(parts))

    def request(self) -> Request:
        """Build the request."""
        fields = [(part.name, part.value) for part in self.of("header")]
        if cookies := self.of("cookie"):
            fields.append(("Cookie", b"; ".join(part.pair for part in cookies)))
        query = b"&".join(part.pair for part in self.of("query parameter"))
        target = self.gate.path.encode() + (b"?" + query if query else b"")
        label = self.label if self.parts else "after a request without a response"
        if len(self.parts) == 1:
            label = f"{self.single} {self.parts[0].kind} {self.parts[0].name}"
        # A server that refuses such a request often closes the connection too.
        return self.gate.request(self.key, label, fields=fields, target=target, new_connection=True)

    def send(self) -> Exchange:
        """Send the request."""
        return self.gate.transport.send(self.request())

    def split(self) -> list[Combined]:
        """Return a request for the parts of each kind; or, where all are of one kind, two with half of the parts."""
        pieces = [parts for kind in KINDS if (parts := self.of(kind))]
        if len(pieces) == 1:
            middle = (len(self.parts) + 1) // 2
            pieces = [self.parts[:middle], self.parts[middle:]]
        return list(map(self.only, pieces))


def find_defect(combined: Combined, judge: Judge) -> Exchange | None:
    """Send a combined request, and return the exchange of its smallest part that shows a defect, if any.

    Where the deployment refuses a part, for example a query that it does not know, the other parts are untested. They
    are sent again in halves, as long as there are spare requests.
    """
    refused = combined.gate.refused_parts
    combined = combined.only(part for part in combined.parts if not refused.includes(combined.key, part))
    refused_kinds = [kind for kind in KINDS if (combined.group, kind) in refused.kinds]
    together = combined.only(part for part in combined.parts if part.kind not in refused_kinds)
    if together.parts:
        exchange = together.send()
        judgement = judge(exchange)
        if judgement == "defect":
            return _narrowed(together, exchange, judge)
        if judgement == "refused" and (found := _separated(together, judge)):
            return found
    # Of a kind that is refused, only the most usual part is worth a request.
    most_usual = combined.only(part for kind in refused_kinds for part in combined.of(kind)[:1])
    return _found_alone(most_usual, judge)


def _separated(refused: Combined, judge: Judge) -> Exchange | None:
    """Send the parts of a refused request in pieces."""
    if len(refused.parts) == 1:
        refused.gate.refused_parts.add(refused.key, *refused.parts)
        return None
    pieces, refused_pieces = refused.split(), []
    for piece in pieces:
        exchange = _sent_with_spare_request(piece)
        if exchange is None:
            return None
        judgement = judge(exchange)
        if judgement == "defect":
            return _narrowed(piece, exchange, judge)
        if judgement == "refused":
            refused_pieces.append(piece)
    is_of_one_kind = len({part.kind for part in refused.parts}) == 1
    if len(refused_pieces) == len(pieces) and is_of_one_kind and len(refused.parts) > 2:
        return _found_alone(refused, judge)
    for piece in refused_pieces:
        if found := _separated(piece, judge):
            return found
    return None


def _found_alone(combined: Combined, judge: Judge) -> Exchange | None:
    """Send each part alone while requests are spare; if all are refused, their kinds count as refused."""
    judgements = set[Judgement]()
    for part in combined.parts:
        exchange = _sent_with_spare_request(combined.only([part]))
        if exchange is None:
            break
        judgements.add(judgement := judge(exchange))
        if judgement == "defect":
            return exchange
    if judgements == {"refused"}:
        combined.gate.refused_parts.kinds |= {(combined.group, part.kind) for part in combined.parts}
    return None


def _narrowed(combined: Combined, exchange: Exchange, judge: Judge) -> Exchange:
    """Return the exchange of the smallest part of a request that shows a defect too.

    A hang may also delay the requests after it, which are not its cause. So a usual request precedes the next one.
    """
    while len(combined.parts) > 1:
        for half in combined.split():
            try:
                if exchange.ending in LATE_ENDINGS and combined.only(()).send().ending in LATE_ENDINGS:
                    return exchange
                narrower = half.send()
                is_defect = judge(narrower) == "defect"
            except NotTested:  # the deployment may have stopped: the larger request shows the defect too
                return exchange
            if is_defect:
                combined, exchange = half, narrower
                break
        else:
            break
    return exchange


def _sent_with_spare_request(combined: Combined) -> Exchange | None:
    """Send a request if there is a spare one."""
    return combined.send() if combined.gate.refused_parts.take_spare_requests() else None
