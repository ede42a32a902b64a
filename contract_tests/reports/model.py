"""The report as plain data: what every written form of it shows, built once from the verdicts."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from importlib.metadata import version
from inspect import cleandoc
from typing import Any, Literal, TypeVar

from contract_tests.redaction.escaping import escaped
from contract_tests.redaction.redactor import Redactor
from contract_tests.run.verdicts import Outcome
from usage_contract.contract import Level

Word = Literal["conforms", "partial", "broken", "could not be tested", "gate error", "interrupted"]
T = TypeVar("T")

TOOLS = ("usage-contract", "pytest", "hypothesis", "schemathesis", "h11")
FORMAT = "usage-contract/report/1"
FATAL: tuple[Outcome, ...] = ("broken", "gate error", "stale deviation")
REPORTED: tuple[Outcome, ...] = ("known deviation", "reported", "not tested")
OUTCOMES = (*FATAL, *REPORTED, "held")
TITLES: Mapping[Word, str] = {
    "conforms": "✓ Conforms",
    "partial": "✓ Conforms, as far as it was tested",
    "broken": "✗ The contract is broken",
    "could not be tested": "? Could not be tested",
    "gate error": "! The gate itself failed",
    "interrupted": "! Interrupted",
}
OURS = {"ours": True}  # a member of few fixed values: a short secret that is found in one by chance leaves it readable


@dataclass(frozen=True)
class RuleReport:
    """One rule and what became of it.

    `evidence` is what was seen, or why the rule was not tested; `curl` are the commands that show it again;
    `deviation` says who accepts the failure until when; `seconds` is the time that it took. `unproven` are the ids of
    the rules that were not tested because of this accepted failure. `runs` is how often a pytest plugin ran the rule.
    `reproduce` is the command that runs a failed rule again.
    """

    id: str
    level: Level = field(metadata=OURS)
    source: str
    promise: str
    outcome: Outcome = field(metadata=OURS)
    evidence: str = ""
    deviation: str = ""
    curl: tuple[str, ...] = ()
    requests: int = 0
    seconds: float = 0.0
    unproven: tuple[str, ...] = ()
    runs: int = 1
    reproduce: str = ""

    @property
    def problem(self) -> str:
        """The evidence's first line: what is wrong, without the exchange that shows it."""
        return self.evidence.split("\n", 1)[0]

    @property
    def exchanges(self) -> str:
        """The evidence without pytest's indentation and without the commands of `curl`, a blank line for each."""
        lines = self.evidence.splitlines()
        return cleandoc("\n".join("" if line.strip().removeprefix("repeat: ") in self.curl else line for line in lines))

    @property
    def cost(self) -> str:
        """The requests and the time that the rule took."""
        cost = f"{counted(self.requests, 'request')}, {self.seconds:.2f} s"
        return f"{cost}, in {self.runs} runs, of which the worst counts" if self.runs > 1 else cost


@dataclass(frozen=True)
class RequestReport:
    """One request on the run's time axis; `at` and `seconds` are in seconds since the first one.

    `status` is None where no status line arrived; `ending` says how the answer ended. `rule` is empty where
    the answer serves all rules. `remaining` are the tokens that a given key's answer told.
    """

    at: float
    seconds: float
    status: int | None
    ending: str = field(metadata=OURS)
    rule: str
    key: str
    remaining: float | None = None


@dataclass(frozen=True)
class Report:
    """One run: the verdict, what it rests on, and how to repeat it.

    `headline` is the verdict as a sentence; `evidence` is the response because of which the run ended at once; `keys`
    is how many were given; `reproduce` is the command, with shell variables for keys; `shortfalls` say what was not
    tested as planned, and `complete_run` what a complete run needs.
    """

    verdict: Word = field(metadata=OURS)
    headline: str
    evidence: str
    exit_code: int
    level: Level = field(metadata=OURS)
    target: str
    started: str = field(metadata=OURS)
    seconds: float
    requests: int
    keys: int
    reproduce: str
    versions: Mapping[str, str]
    settings: Mapping[str, str | int | float | bool | None]
    counts: Mapping[Outcome, int] = field(metadata=OURS)
    rules: tuple[RuleReport, ...]
    shortfalls: tuple[str, ...] = ()
    complete_run: str = ""
    timeline: tuple[RequestReport, ...] = ()
    format: str = field(default=FORMAT, metadata=OURS)

    @property
    def green(self) -> bool:
        """Whether the exit code lets a change land."""
        return self.exit_code == 0

    @property
    def title(self) -> str:
        """The verdict in a few words, with a sign that is no colour."""
        return TITLES[self.verdict]

    @property
    def faults(self) -> list[RuleReport]:
        """The rules that make the run red, the worst first."""
        return [rule for outcome, rules in self.groups if outcome in FATAL for rule in rules]

    @property
    def key_variables(self) -> str:
        """The shell variables that hold the keys; none for the embedded mock, which brings its own."""
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
        return ", ".join(f"{len(rules)} {outcome}" for outcome, rules in self.groups) or "no rule ran"

    @property
    def cost(self) -> str:
        """The requests and the time that it took."""
        return f"{counted(self.requests, 'request')} in {self.seconds:.1f} s"


def as_json(report: Report) -> str:
    """Return the report as JSON; `report.schema.json` beside this file describes it."""
    return json.dumps(asdict(report), ensure_ascii=False, allow_nan=False, indent=1) + "\n"


def versions() -> Mapping[str, str]:
    """Return the versions of Python and of the packages that a result depends on."""
    return {"python": platform.python_version()} | {tool: version(tool) for tool in TOOLS}


def counted(number: int, thing: str) -> str:
    """Return `1 request`, `2 requests`."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


def redacted(value: T, redact: Redactor) -> T:
    """Return the value with every text in it redacted and escaped, but for members of few fixed values."""
    return _redacted(value, redact)  # type: ignore[no-any-return]


def _redacted(value: Any, redact: Redactor) -> Any:
    if isinstance(value, str):
        return escaped(redact(value))
    if isinstance(value, tuple):
        return tuple(_redacted(item, redact) for item in value)
    if isinstance(value, Mapping):
        return {name: _redacted(item, redact) for name, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        label = [each.name for each in fields(value) if not each.metadata.get("ours")]
        return replace(value, **{name: _redacted(getattr(value, name), redact) for name in label})
    return value
