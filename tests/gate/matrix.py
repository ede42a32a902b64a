"""One run of the whole gate against one fault, in a process of its own and on a clock that need not wait."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pytest

import contract_tests
from contract_tests.plugin import clock_key, verdicts_key
from contract_tests.rules import rule_ids
from contract_tests.transport import Clock
from contract_tests.verdicts import Verdict, Verdicts
from mock_server import UsageMock, load_deployment, make_app
from mock_server.faults import Fault
from mock_server.fixtures import Deployment, RateLimit
from usage_contract import load

GATE = str(Path(contract_tests.__file__).parent)
REPORTS = "reports"
RAISED = RateLimit(rps=1000.0, burst=1000)

CONTRACT = load("documented")
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
    "http/undocumented-method-is-refused",
    "rate/429-is-complete",
    "rate/remaining-is-at-most-burst",
}
LEAN = ["--assert=plain", "-p", "no:cacheprovider", "-p", "no:unraisableexception"]
PLUGINS = ["-p", "pytest_base_url.plugin", "-p", "_hypothesis_pytestplugin", "-p", "contract_tests.plugin"]

# A run costs what it imports, parses and compiles: each is forked from a process that has done one already.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.gate.warm"])


@dataclass
class FastClock:
    """Real time, and on top of it all the time that somebody would have slept."""

    skipped: float = 0.0

    def now(self) -> float:
        """Return the seconds."""
        return time.monotonic() + self.skipped

    def wall(self) -> float:
        """Return the seconds since 1970: what is dated is dated by the same clock."""
        return time.time_ns() / 1e9 + self.skipped

    def sleep(self, seconds: float) -> None:
        """Let the seconds pass at once."""
        self.skipped += seconds


@dataclass
class Observer:
    """A pytest plugin that brings the clock and takes the verdicts away."""

    clock: FastClock = field(default_factory=FastClock)
    verdicts: Verdicts | None = None

    def pytest_configure(self, config: pytest.Config) -> None:
        """Bring the clock."""
        config.stash[clock_key] = Clock(self.clock.now, self.clock.sleep)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Take the verdicts away."""
        self.verdicts = session.config.stash.get(verdicts_key, None)


@dataclass(frozen=True)
class Result:
    """What a run came to: exit code, output, the rules' verdicts, and the requests on behalf of all of them.

    `leaks` are the runs of eight characters of any key that stand in its output or in its reports.
    """

    code: int
    output: str
    verdicts: tuple[Verdict, ...]
    shared: int
    leaks: frozenset[str]

    def having(self, *outcomes: str) -> set[str]:
        """Return the ids of the rules with one of these outcomes."""
        return {verdict.rule.id for verdict in self.verdicts if verdict.outcome in outcomes}

    def cost(self, verdict: Verdict) -> int:
        """Return how many requests a rule asked for itself."""
        return sum(index >= self.shared for index in verdict.requests)


def run_against(fault: Fault | None, folder: Path, *arguments: str, limits: Limits = "raised") -> Result:
    """Run the gate, intrusive rules included, against the default deployment under a fault.

    A fault that none of them has to notice is tried without them: they take as long as all others. The keys' rate
    limits are raised, but for one whose bucket may be emptied.
    """
    with ProcessPoolExecutor(1, FORKS) as process:
        code, verdicts, shared = process.submit(run_in, folder, fault, *arguments, limits=limits).result()
    output = (folder / "output.txt").read_text()
    reports = [path.read_text() for path in (folder / REPORTS).iterdir()]
    assert len(reports) == 3, output
    written = "".join([output, *reports]).lower()
    return Result(code, output, verdicts, shared, frozenset(run for run in KEY_RUNS if run in written))


def run_in(
    folder: Path, fault: Fault | None, *arguments: str, limits: Limits = "raised"
) -> tuple[int, tuple[Verdict, ...], int]:
    """Run the gate in this process, and leave its output and its reports in a folder.

    Returns the exit code, the verdicts, and the requests on behalf of all rules.
    """
    os.chdir(folder)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    with Path("output.txt").open("w", encoding="utf-8") as output, redirect_stdout(output), redirect_stderr(output):
        return _run(fault, folder, arguments, limits)


async def _briefly(seconds: float) -> None:
    """Wait a twentieth of the time: the gate's time-outs are as much shorter."""
    await asyncio.sleep(seconds / 20)


def _is_of_a_429(fault: Fault) -> bool:
    return any(429 in (step.when.status or ()) for step in fault.steps)


def _run(
    fault: Fault | None, folder: Path, arguments: tuple[str, ...], limits: Limits
) -> tuple[int, tuple[Verdict, ...], int]:
    observer = Observer()
    app = make_app(CONTRACT, DEPLOYMENTS[limits], clock=observer.clock.now, fault=fault, sleep=_briefly)
    with pytest.MonkeyPatch.context() as patched, UsageMock(app) as mock:
        patched.setattr(time, "time", observer.clock.wall)
        options = ["--base-url", mock.url, "--answer-timeout", "0.4", "--rootdir", str(folder)]
        if fault is None or not fault.breaks or OF_INTRUSIVE_RULES & set(fault.breaks) or _is_of_a_429(fault):
            options.append("--intrusive")
        options += ["--report-dir", REPORTS, *arguments, *(f"--api-key={key}" for key in mock.keys)]
        code = pytest.main([GATE, "-q", *LEAN, *PLUGINS, *options], plugins=[observer])
    verdicts = observer.verdicts
    gate = verdicts.gate if verdicts else None
    return int(code), tuple(verdicts.all) if verdicts else (), gate.shared if gate else 0
