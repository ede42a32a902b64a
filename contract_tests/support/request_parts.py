"""The parts of combined requests: how many fit into one, and which of them the deployment refuses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, get_args

from contract_tests.wire.messages import Credential

Kind = Literal["header", "query parameter", "cookie"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# Apache, gunicorn and hyper accept 100 fields, gunicorn a request line of 4,094 bytes, Tomcat and Jetty a head of
# 8 KiB. The rest is for the fields of a baseline request, and for those that a gateway needs.
MOST_FIELDS = 75
LONGEST_QUERY = 3500
LARGEST_REQUEST_HEAD = 7000
SPARE_REQUESTS = 5  # a run sends at most 250 requests, also where the deployment refuses unusual ones


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


@dataclass
class RefusedParts:
    """The parts that the deployment refuses, such as a query that it does not know; all rules of a run share them.

    Attributes:
        kinds: The pairs of a group of requests and a kind of part, of which every part was refused.
        spare_requests: How many more requests may be spent on separating refused parts from others.
    """

    kinds: set[tuple[str, Kind]] = field(default_factory=set)
    spare_requests: int = SPARE_REQUESTS
    _alone: set[tuple[Credential | None, Kind, str]] = field(default_factory=set)

    def add(self, key: Credential | None, part: Part) -> None:
        """Add a part that was refused alone, in a request with a key or without one."""
        self._alone.add((key, part.kind, part.name.lower()))

    def includes(self, key: Credential | None, part: Part) -> bool:
        """Whether a part was refused alone, in a request with the same key."""
        return (key, part.kind, part.name.lower()) in self._alone

    def take_spare_requests(self, count: int = 1) -> bool:
        """Take some spare requests; return False, and take none, where fewer are left."""
        if self.spare_requests < count:
            return False
        self.spare_requests -= count
        return True


def packed(parts: Iterable[Part], requests: int) -> list[tuple[Part, ...]]:
    """Return the parts of each request, the first parts in the first one; those that do not fit are left out."""
    packs = [_Pack() for _ in range(requests)]
    for part in parts:
        any(pack.add(part) for pack in packs)
    return [tuple(pack.parts) for pack in packs]


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
        if fields > MOST_FIELDS or query > LONGEST_QUERY or head > LARGEST_REQUEST_HEAD:
            return False
        self.parts.append(part)
        self.fields, self.query, self.head = fields, query, head
        return True
