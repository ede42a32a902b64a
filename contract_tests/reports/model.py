"""The report as plain data, from which every format is written."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from decimal import Decimal
from importlib.metadata import version
from typing import Any, Literal, NamedTuple, TypeVar, cast

from contract_tests.redaction.escaping import escaped
from contract_tests.redaction.redactor import Redactor
from usage_contract.levels import Level

Outcome = Literal[
    "broken", "gate error", "stale deviation", "known deviation", "reported", "not tested", "held", "not applicable"
]
Result = Literal[
    "conforms", "partial", "incomplete", "could not be tested", "broken", "stale deviation", "gate error", "interrupted"
]
T = TypeVar("T")

TOOLS = ("usage-contract", "pytest", "hypothesis", "schemathesis", "h11")
FORMAT = "usage-contract/report/2"
FATAL: tuple[Outcome, ...] = ("broken", "gate error", "stale deviation")
ACCEPTED: tuple[Outcome, ...] = ("known deviation", "reported")
FAILURES = (*FATAL, *ACCEPTED)
OUTCOMES: tuple[Outcome, ...] = (*FAILURES, "not tested", "held", "not applicable")  # the worst first
NOT_REDACTED = {"is_redacted": False}  # of a member with few fixed values: one may contain a short secret by chance


class Conclusion(NamedTuple):
    """The exit code and the words for one result of a run.

    Attributes:
        exit_code: The exit code; a green run has another one if its reports cannot be written.
        title: The result in a few words, with a sign beside the colour.
        sentence: The end of a sentence that starts with the deployment; {but_for} names accepted failures.
    """

    exit_code: int
    title: str
    sentence: str


AS_FAR_AS_TESTED = "conforms{but_for} as far as it was tested: the result is partial"
RESULTS: Mapping[Result, Conclusion] = {
    "conforms": Conclusion(0, "✓ Conforms", "conforms{but_for}"),
    "partial": Conclusion(0, "✓ Conforms, as far as it was tested", AS_FAR_AS_TESTED),
    "incomplete": Conclusion(4, "? Not tested completely", AS_FAR_AS_TESTED + ", which --require-complete refuses"),
    "could not be tested": Conclusion(4, "? Could not be tested", "could not be tested"),
    "broken": Conclusion(1, "✗ The contract is broken", "BREAKS ITS CONTRACT"),
    "stale deviation": Conclusion(
        1,
        "✗ Keeps a promise that is listed as a known deviation",
        "keeps a promise that is listed as a known deviation",
    ),
    "gate error": Conclusion(3, "! The gate itself failed", "was not judged: the gate itself failed"),
    "interrupted": Conclusion(2, "! Interrupted", "was not judged: the run was interrupted"),
}


@dataclass(frozen=True)
class ExchangeReport:
    """One request and its response, as texts without keys.

    `request` names method, target, key and purpose. `response` names status, media type, size and time, or why there
    is none. `location` is the target of a redirect. `body` is the beginning of the body, or the lines around the member
    that a finding is about, with that member marked. `curl` is the command that repeats the request.
    """

    request: str
    response: str
    location: str
    body: str
    curl: str


@dataclass(frozen=True)
class FindingReport:
    """One problem, and the exchange that shows it.

    `pointer` is the JSON Pointer of the member that is wrong; `expected` and `actual` are the two values that differ.
    `count` is the number of equal findings that this one represents.
    """

    problem: str
    exchange: ExchangeReport
    related: tuple[ExchangeReport, ...] = ()
    pointer: str = ""
    expected: str = ""
    actual: str = ""
    count: int = 1


@dataclass(frozen=True)
class RuleReport:
    """One rule and its outcome.

    `reason` states why the rule was not tested or not applicable, or why the gate failed. `more_findings` is how many
    findings are left out. `deviation` states who accepts the failure until when. `curl` is the command of the rule's
    first request. `seconds` is the time that the rule took. `unproven` are the ids of the rules that were not tested
    because of this accepted failure. `runs` is how often a pytest plugin ran the rule. `reproduce` is the command that
    runs a failed rule again.
    """

    id: str
    level: Level = field(metadata=NOT_REDACTED)
    source: str
    promise: str
    outcome: Outcome = field(metadata=NOT_REDACTED)
    findings: tuple[FindingReport, ...] = ()
    more_findings: int = 0
    reason: str = ""
    deviation: str = ""
    curl: str = ""
    requests: int = 0
    seconds: float = 0.0
    unproven: tuple[str, ...] = ()
    runs: int = 1
    reproduce: str = ""

    @property
    def problem(self) -> str:
        """The first problem, or the first line of the reason; empty for a rule that is held."""
        return self.findings[0].problem if self.findings else self.reason.split("\n", 1)[0]

    @property
    def own_requests(self) -> str:
        """The requests that the rule alone sent, with its time; "shared" if it judged only those of all rules."""
        if self.requests:
            return f"{self.requests} in {self.seconds:.2f} s"
        return "" if self.outcome in {"not tested", "not applicable", "gate error"} else "shared"

    @property
    def cost(self) -> str:
        """The requests and the time that the rule took."""
        requests = counted(self.requests, "request") if self.requests else "no request of its own"
        cost = f"{requests}, {self.seconds:.2f} s"
        return f"{cost}, in {self.runs} runs, of which the worst counts" if self.runs > 1 else cost


@dataclass(frozen=True)
class RequestReport:
    """One request on the run's time axis; `at` and `seconds` are in seconds since the first one.

    `status` is None where no status line arrived; `ending` states how the response ended. `rule` is empty for
    exchanges that all rules share. `remaining` is the number of tokens in the response to a valid key.
    """

    at: float
    seconds: float
    status: int | None
    ending: str = field(metadata=NOT_REDACTED)
    rule: str
    key: str
    remaining: float | None = None


@dataclass(frozen=True)
class Comparison:
    """The ids of the rules whose outcome differs from that in an earlier run; `target` and `started` are that run's."""

    target: str
    started: str = field(metadata=NOT_REDACTED)
    newly_broken: tuple[str, ...]
    mended: tuple[str, ...]
    newly_untested: tuple[str, ...]

    @property
    def changes(self) -> list[tuple[str, tuple[str, ...]]]:
        """The kinds of changes, each with the ids of its rules."""
        return [("newly broken", self.newly_broken), ("mended", self.mended), ("newly untested", self.newly_untested)]


def versions() -> Mapping[str, str]:
    """Return the versions of Python and of the packages that a result depends on."""
    return {"python": platform.python_version()} | {tool: version(tool) for tool in TOOLS}


@dataclass(frozen=True, kw_only=True)
class Report:
    """One run: the verdict, its reasons, and the command that repeats it.

    Attributes:
        headline: The verdict as a sentence.
        exchange: The exchange because of which the run ended early.
        keys: The number of API keys given.
        is_recorded: Whether the exchanges are recorded ones, so that the run sent no request.
        reproduce: The command that repeats the run, with shell variables for keys.
        shortfalls: Sentences about requests that were not sent as planned, also because the deployment was not
            reachable for some time or at one of its addresses.
        complete_run: The needs of a complete run, as a sentence.
        comparison: The changes since the run whose report `--compare` names.
    """

    verdict: Result = field(metadata=NOT_REDACTED)
    headline: str
    exchange: ExchangeReport | None = None
    exit_code: int
    level: Level = field(metadata=NOT_REDACTED)
    target: str
    started: str = field(metadata=NOT_REDACTED)
    seconds: float = 0.0
    requests: int = 0
    keys: int = 0
    is_recorded: bool = False
    reproduce: str
    versions: Mapping[str, str] = field(default_factory=versions)
    settings: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    counts: Mapping[Outcome, int] = field(default_factory=dict, metadata=NOT_REDACTED)
    rules: tuple[RuleReport, ...] = ()
    shortfalls: tuple[str, ...] = ()
    complete_run: str = ""
    timeline: tuple[RequestReport, ...] = ()
    comparison: Comparison | None = None
    format: str = field(default=FORMAT, metadata=NOT_REDACTED)

    @property
    def is_green(self) -> bool:
        """Whether the exit code is 0."""
        return self.exit_code == 0

    @property
    def title(self) -> str:
        """The verdict in a few words, with a sign beside the colour."""
        return RESULTS[self.verdict].title

    @property
    def fatal_rules(self) -> list[RuleReport]:
        """The rules that make the run red, the worst first."""
        return [rule for outcome, rules in self.groups if outcome in FATAL for rule in rules]

    @property
    def key_variables(self) -> str:
        """The shell variables that contain the keys; empty for the embedded mock, which has its own keys."""
        return str(self.settings.get("key_variables", ""))

    @property
    def groups(self) -> Iterator[tuple[Outcome, list[RuleReport]]]:
        """The rules by outcome, the worst first; an outcome without a rule is left out."""
        for outcome in OUTCOMES:
            if found := [rule for rule in self.rules if rule.outcome == outcome]:
                yield outcome, found

    @property
    def tally(self) -> str:
        """How many rules have which outcome, the worst first."""
        return tally(self.counts) or "no rule ran"

    @property
    def cost(self) -> str:
        """The requests and the time that they took."""
        return cost_of_run(self.requests, self.seconds, is_recorded=self.is_recorded)


def as_json(report: Report) -> str:
    """Return the report as JSON; `report.schema.json` beside this file describes it."""
    return json.dumps(asdict(report), ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def tally(counts: Mapping[Outcome, int]) -> str:
    """Return how many rules have which outcome, the worst first; empty without a rule."""
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts.get(outcome))


def cost_of_run(requests: int, seconds: float, *, is_recorded: bool) -> str:
    """Return the requests of a run and the time that they took; of a recording, its exchanges."""
    if is_recorded:
        return f"{counted(requests, 'recorded exchange')}, and no request was sent"
    return f"{counted(requests, 'request')} in {seconds:.1f} s"


def counted(number: float | Decimal, thing: str) -> str:
    """Return `1 request`, `2 requests`."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


def redacted(value: T, redact: Redactor) -> T:
    """Return the value with every text in it redacted and escaped, but for members of few fixed values."""
    shown: Any = value
    if isinstance(value, str):
        shown = escaped(redact(value))
    elif isinstance(value, tuple):
        shown = tuple(redacted(item, redact) for item in value)
    elif isinstance(value, Mapping):
        shown = {name: redacted(item, redact) for name, item in value.items()}
    elif is_dataclass(value) and not isinstance(value, type):
        texts = [each.name for each in fields(value) if each.metadata.get("is_redacted", True)]
        shown = replace(value, **{name: redacted(getattr(value, name), redact) for name in texts})
    return cast("T", shown)
