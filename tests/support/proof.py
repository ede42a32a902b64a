"""Runs of the whole gate against one fault each, on a virtual clock and in forked processes."""

from __future__ import annotations

import multiprocessing
import os
import zlib
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

from contract_tests.run.verdicts import Verdict
from contract_tests.support.rules import rule_ids
from mock_server import load_deployment
from mock_server.fixtures.deployments import Deployment, RateLimit
from mock_server.fixtures.faults import FOLDERS, Fault, load_fault
from mock_server.fixtures.files import shipped_fixtures
from tests.support.forked_gate import REPORTS, Job, Outcome, serve_runs

RAISED = RateLimit(rps=50.0, burst=1000)
STUCK = 600  # seconds of real time; a run takes about one
# Which runs write reports: all, none, or (some) one in ten, chosen by the fault's name.
REPORTED = {"all": 1, "some": 10, "none": 0}[os.environ.get("PROOF_REPORTS", "some")]

DEPLOYMENT = load_deployment()
KEYS = {
    key: account if index == 1 else replace(account, rate_limit=RAISED)
    for index, (key, account) in enumerate(DEPLOYMENT.keys.items())
}
Limits = Literal["raised", "as shipped"]
DEPLOYMENTS: dict[Limits, Deployment] = {"raised": replace(DEPLOYMENT, keys=KEYS), "as shipped": DEPLOYMENT}
KEY_RUNS = {key[start : start + 8].lower() for key in DEPLOYMENT.keys for start in range(max(1, len(key) - 7))}
OF_INTRUSIVE_RULES = {
    *(rule for rule in rule_ids() if rule.startswith("bucket/")),
    "methods/undocumented-method-is-refused",
    "rate/429-is-complete",
    "rate/retry-after-is-not-longer-than-a-refill",
    "rate/remaining-is-at-most-burst",
}

# Good practice that some correct variants do not follow. No variant may be reported by another advisory rule.
NOT_FOLLOWED_BY_VARIANTS = {
    "auth/repeated-key-header-is-refused",
    "auth/unknown-key-is-403",
    "bucket/stated-limit-is-enforced",
    "cache/caching-is-forbidden",
    "cache/lifetime-has-vary",
    "consistency/counters-do-not-decrease",
    "consistency/total-is-success-plus-fail",
    "errors/401-carries-a-challenge",
    "errors/other-errors-have-a-detail",
    "errors/responses-do-not-disclose-versions",
    "http/closing-is-announced",
    "http/coding-is-used-only-where-it-is-accepted",
    "http/connections-are-kept",
    "http/date-is-the-current-time",
    "methods/head-matches-get",
    "http/headers-are-well-formed",
    "http/lengths-are-stated",
    "http/media-type-is-not-guessed",
    "methods/other-methods-are-405",
    "methods/trace-is-refused",
    "http/responses-have-a-date",
    "keys/each-key-has-its-own-etags",
    "robustness/missing-user-agent-is-accepted",
    "robustness/usual-targets-are-accepted",
    "schema/body-has-every-documented-member",
    "schema/integers-are-exact-in-javascript",
    "schema/integers-are-written-as-integers",
}

BROKEN, CORRECT = (sorted(path.stem for path in (shipped_fixtures() / kind).glob("*.yaml")) for kind in FOLDERS)

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.support.warm_gate"])


@dataclass(frozen=True, kw_only=True)
class Result(Outcome):
    """The outcome of a run, and its output.

    `leaks` are sequences of eight characters of a key that its output or its reports contain.
    """

    output: str
    leaks: frozenset[str]

    def having(self, *outcomes: str) -> set[str]:
        """Return the ids of the rules with one of these outcomes."""
        return {verdict.rule.id for verdict in self.verdicts if verdict.outcome in outcomes}

    def cost(self, verdict: Verdict) -> int:
        """Return how many requests were sent for a rule alone."""
        return sum(index >= self.shared for index in verdict.requests)


def run_against(fault: Fault | None, folder: Path, *arguments: str, limits: Limits = "raised") -> Result:
    """Run the gate against the default deployment with a fault, and leave its output in a folder.

    Intrusive rules run only for faults that concern them: they take as long as all others. The rate limits of all keys
    are raised, except that of the key whose bucket the gate may empty.
    """
    if fault is None or not fault.breaks or OF_INTRUSIVE_RULES & set(fault.breaks) or _concerns_429(fault):
        arguments = ("--intrusive", *arguments)
    name = fault.name if fault else ""
    writes_reports = REPORTED > 0 and zlib.crc32(name.encode()) % REPORTED == 0
    return run_job(Job(folder, fault, DEPLOYMENTS[limits], writes_reports), *arguments)


def run_job(job: Job, *arguments: str) -> Result:
    """Run the gate, and leave its output in the folder of the job."""
    outcome = _run(arguments, job)
    output = (job.folder / "output.txt").read_text()
    reports = [path.read_text() for path in (job.folder / REPORTS).glob("*")]
    assert len(reports) == (3 if job.writes_reports else 0), output
    written = "".join([output, *reports]).lower()
    leaks = frozenset(run for run in KEY_RUNS if run in written)
    return Result(**vars(outcome), output=output, leaks=leaks)


def assert_breaks_exactly_its_rules(name: str, folder: Path) -> None:
    """Fail unless a fault breaks exactly the rules that it names, and no output contains a key."""
    fault = load_fault(name)
    result = run_against(fault, folder)
    assert result.leaks == set()
    assert result.having("broken", "reported", "gate error") == set(fault.breaks), result.output
    assert result.missed_in_har == set()


def assert_accepted(name: str | None, folder: Path) -> None:
    """Fail unless the gate accepts a correct variant, or the mock without one (None), and no output contains a key."""
    result = run_against(load_fault(name) if name else None, folder)
    assert result.leaks == set()
    assert result.having("broken", "gate error") == set(), result.output
    assert result.having("reported") <= NOT_FOLLOWED_BY_VARIANTS, result.output
    assert result.code == 0
    assert result.in_har == set()
    if name is None:
        assert {verdict.outcome for verdict in result.verdicts} == {"held", "not applicable"}, result.output


def _concerns_429(fault: Fault) -> bool:
    return any(429 in (step.when.status or ()) for step in fault.steps)


def _run(arguments: tuple[str, ...], job: Job) -> Outcome:
    jobs = _collected_gate(arguments, tuple(job.deployment.keys), os.getpid())
    jobs.send(job)
    if not jobs.poll(STUCK):
        raise TimeoutError(f"the gate's run in {job.folder} did not end within {STUCK} s")
    outcome = jobs.recv()
    assert isinstance(outcome, Outcome), outcome
    return outcome


@cache
def _collected_gate(arguments: tuple[str, ...], keys: tuple[str, ...], _: int) -> Connection:
    """Start a process that has collected the rules with these options; it forks a run for each job that it receives."""
    ours, theirs = FORKS.Pipe()
    FORKS.Process(target=serve_runs, args=(theirs, arguments, keys), daemon=True).start()
    theirs.close()
    return ours
