"""What a rule works with: a deployment to ask, and the answers that all rules share."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from typing import TypedDict, Unpack
from uuid import uuid4

from contract_tests.facts import Baseline, contains_metrics
from contract_tests.message import Answer, Credential, Request
from contract_tests.not_tested import NotTested
from contract_tests.settings import Settings
from contract_tests.transport import AGENT, Transport
from usage_contract import Contract, Operation

OPERATION = "get_usage"  # the operation that the rules are about; all else of it is read off the document
COULD_NOT_BE_TESTED = 4
TWO_KEYS = "two used keys"
BROWSER = (
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("Accept", "text/html,*/*;q=0.8"),
    ("Accept-Language", "de-DE,de;q=0.9"),
)


class Special(TypedDict, total=False):
    """What may differ from the plain request.

    `fields` replace the default fields of the same name, `without` leaves some out; `key_field` is
    another spelling of the key header, `key_first` puts it before all others, `separator` stands
    between its name and the key; `plain` says that any deployment must take the request like the plain
    one; `fresh` asks for a connection of its own, `lane` for the kept one of callers with a valid key.
    """

    method: str
    target: str | bytes
    fields: Iterable[tuple[str, str | bytes]]
    without: Iterable[str]
    body: bytes
    key_field: str
    plain: bool
    fresh: bool
    lane: bool
    version: str
    separator: bytes
    key_first: bool


@dataclass
class Gate:
    """One deployment under test: its settings, contract and transport."""

    settings: Settings
    contract: Contract
    transport: Transport
    shortfalls: list[str] = field(default_factory=list)
    wanted: set[str] = field(default_factory=set)  # what the shortfalls lack
    first: Answer | None = None  # the first 200 response, to the main key
    shared: int = 0  # how many answers were asked for on behalf of all rules, before the first
    first_with: dict[Credential, list[Answer]] = field(default_factory=dict)  # the first exchanges of further keys
    rejected: dict[Credential, Answer] = field(default_factory=dict)  # further keys that this deployment rejects
    _baseline: list[Answer] = field(default_factory=list)
    _samples: dict[Credential | None, list[Answer]] = field(default_factory=dict)

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
        """The keys that were given and can be used, the main one first."""
        return tuple(key for key in self.settings.keys if key not in self.rejected)

    @property
    def main(self) -> Credential:
        """The main key."""
        return self.settings.keys[0]

    @property
    def second(self) -> Credential:
        """The second key; NotTested where only one was given."""
        if len(self.keys) < 2:
            raise NotTested("it needs a second key (CONTRACT_API_KEY_2, or --api-key once more)", wanted=TWO_KEYS)
        return self.keys[1]

    @property
    def path(self) -> str:
        """The operation's path at this deployment."""
        return self.settings.target.path + self.operation.path

    def request(self, key: Credential | None = None, told: str = "", **special: Unpack[Special]) -> Request:
        """Build a request for the operation; without any argument it is the plain one without a key."""
        own = [(name.encode(), _bytes(value)) for name, value in special.get("fields", ())]
        replaced = {name.lower() for name, _ in own} | {name.lower().encode() for name in special.get("without", ())}
        fields = [(name, value) for name, value in self._default_fields if name.lower() not in replaced]
        if key:
            place = 0 if special.get("key_first") else len(fields)
            fields.insert(place, (special.get("key_field", self.key_header).encode(), key.value))
        body = special.get("body", b"")
        if body and b"content-length" not in replaced:
            fields.append((b"Content-Length", str(len(body)).encode()))
        return Request(
            method=special.get("method", self.operation.method),
            target=_bytes(special.get("target", self.path)),
            fields=(*fields, *own),
            body=body,
            credential=key,
            told=told,
            plain=special.get("plain", not told),
            version=special.get("version", "HTTP/1.1"),
            separator=special.get("separator", b": "),
        )

    @cached_property
    def _default_fields(self) -> list[tuple[bytes, bytes]]:
        agent = f"{AGENT}{version('usage-contract')} run/{uuid4().hex[:12]}"
        defaults = {
            "Host": self.settings.target.authority,
            "User-Agent": agent,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
        given = {name.lower() for name, _ in self.settings.headers}
        fields = [(name, value) for name, value in defaults.items() if name.lower() not in given]
        return [(name.encode(), value.encode()) for name, value in (*fields, *self.settings.headers)]

    def ask(self, key: Credential | None = None, told: str = "", **special: Unpack[Special]) -> Answer:
        """Build a request, see `request`, and send it."""
        request = self.request(key, told, **special)
        return self.transport.send(request, fresh=special.get("fresh", False), lane=special.get("lane"))

    def send_baseline(self, key: Credential | None, *, fresh: bool = False) -> Answer:
        """Send one baseline request."""
        answer = self.ask(key, fresh=fresh)
        self._baseline.append(answer)
        return answer

    @cached_property
    def baseline(self) -> Baseline:
        """The baseline exchanges; complete when the first rule runs."""
        exchanges = [answer for answer in self._baseline if answer.request.credential not in self.rejected]
        return Baseline.of(exchanges, self.members)

    def ask_often(self, times: int, key: Credential | None = None) -> list[Answer]:
        """Ask plainly; `shortfalls` says if it was less often.

        With a valid key, two requests on one connection and two on one each take turns; without, each has its own.
        """
        if key in self._samples:
            return self._samples[key]
        valid = key in self.keys
        answers = self._samples[key] = []
        try:
            for number in range(times):
                answers.append(self.send_baseline(key, fresh=number % 4 > 1 or not valid))  # noqa: PERF401 - what came before a failure counts
        except NotTested as reason:
            self.wanted.add(reason.wanted)
            who = key.told if key else "no key"
            self.shortfalls.append(f"{len(answers)} of {times} plain requests with {who} were sent: {reason}")
        return answers

    def is_granted(self, answer: Answer) -> bool:
        """Whether the answer is a 200 to the operation with a key that was given, whatever else was sent."""
        return answer.status == 200 and self.is_asked(answer.request) and answer.request.credential in self.keys

    def is_asked(self, request: Request) -> bool:
        """Whether a request asks for the operation, with any query, fields and body."""
        return request.method == self.operation.method and request.target.split(b"?")[0] == self.path.encode()

    def is_public(self, request: Request) -> bool:
        """Whether a request asks for an operation that needs no key."""
        public = {operation.path for operation in self.contract.operations.values() if operation.key_header is None}
        return request.target in {(self.settings.target.path + path).encode() for path in public}

    def is_good(self, answer: Answer) -> bool:
        """Whether the answer is one of those that must be a 200 with figures: plain, with a key that was given."""
        return answer.request.plain and answer.request.credential in self.keys and answer.status != 429

    def not_refused(self, answers: Iterable[Answer], statuses: Collection[int]) -> Iterator[str]:
        """Yield what is wrong with answers that must have one of the statuses, and hold nobody's figures."""
        for answer in answers:
            if answer.status not in statuses:
                yield f"{answer.outcome}: it is not refused as it must be\n{answer.seen}"
            elif self.shows_figures(answer):
                yield f"the {answer.outcome} holds somebody's figures\n{answer.seen}"

    def shows_figures(self, answer: Answer) -> bool:
        """Whether the body has two or more of the documented members, at any depth: somebody's figures."""
        return contains_metrics(answer, self.members)

    @cached_property
    def members(self) -> frozenset[str]:
        """The names of the 200 body's documented members."""
        schema = self.operation.responses["200"].schema or {}
        return frozenset(schema.get("properties", ()))


class NoFirstAnswerError(AssertionError):
    """The deployment answers, but not with the 200 that stands behind every rule."""


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
