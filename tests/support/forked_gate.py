"""A gate that collects its rules once and forks a run for each job, so that a run costs neither imports nor parsing."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TextIO

import pytest
from aiohttp import web

import contract_tests
from contract_tests.run.plugin import reports_key
from contract_tests.run.runner import clock_key
from contract_tests.run.verdicts import Verdict, Verdicts, verdicts_key
from contract_tests.wire.messages import Exchange
from contract_tests.wire.target import Target
from mock_server import UsageMock, make_app
from mock_server.fixtures.deployments import Deployment
from mock_server.fixtures.faults import Fault
from tests.support.har import judged_as_har
from tests.support.virtual_clock import TICK, VirtualClock
from usage_contract import load

GATE = Path(contract_tests.__file__).parent
REPORTS = "reports"
CONTRACT = load("documented")
LEAN = ["--assert=plain", "-p", "no:cacheprovider", "-p", "no:unraisableexception", "-p", "no:logging", "--capture=no"]
PLUGINS = ["-p", "pytest_base_url.plugin", "-p", "_hypothesis_pytestplugin", "-p", "contract_tests.run.plugin"]
LATER = "http://127.0.0.1:9"  # each run replaces it by the URL of its own mock


def unchanged(app: web.Application) -> None:
    """Leave an application as it is."""


@dataclass(frozen=True)
class Job:
    """One run: its folder, the mock's fault and deployment, whether it writes reports, and the clock's tick.

    `adapt` changes the mock's application before it is served.
    """

    folder: Path
    fault: Fault | None
    deployment: Deployment
    writes_reports: bool
    tick: float = TICK
    adapt: Callable[[web.Application], None] = unchanged


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run: its exit code, its verdicts without findings, and the number of shared requests.

    `requests` describe all requests of the run, and `labels` those whose exchanges have findings. `in_har` are the
    rules that are broken in a HAR file of the run, and `missed_in_har` those that are broken only in the run itself.
    `of_fixtures` are the numbers of requests of fixtures that several rules share.
    """

    code: int
    verdicts: tuple[Verdict, ...]
    shared: int
    labels: frozenset[str]
    requests: frozenset[str]
    of_fixtures: Mapping[str, int]
    in_har: frozenset[str] = frozenset()
    missed_in_har: frozenset[str] = frozenset()


class JobRunner:
    """A pytest plugin that runs the collected rules against the mock of a job."""

    def __init__(self, output: TextIO, job: Job | None = None) -> None:
        self.output, self.job = output, job
        self.verdicts: Verdicts | None = None
        self.of_fixtures: dict[str, int] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
        """Count the requests of a fixture that is set up once, without those of the baseline."""
        runner = self.verdicts.runner if self.verdicts else None
        before = len(runner.journal) if runner and runner.shared and fixturedef.scope == "session" else None
        value = yield
        if runner and before is not None:
            self.of_fixtures[fixturedef.argname] = len(runner.journal) - before
        return value

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Start the mock of the job, and give the gate its URL and its clock."""
        assert self.job
        self._redirect(self.job.folder)
        config, clock = session.config, VirtualClock(self.job.tick)
        app = make_app(
            CONTRACT, deployment=self.job.deployment, clock=clock.now, fault=self.job.fault, sleep=clock.sleep_in_mock
        )
        app.on_startup.append(clock.attach)
        self.job.adapt(app)
        mock = UsageMock(app).start()
        config.add_cleanup(mock.close)
        time.time = clock.now  # aiohttp, too, dates its responses by it
        self.verdicts = config.stash[verdicts_key]
        target = Target.parse("--base-url", mock.url)
        self.verdicts.settings = replace(self.verdicts.settings, target=target)
        config.stash[clock_key] = clock.for_gate()
        outputs = config.stash[reports_key].outputs
        outputs.folder = self.job.folder / REPORTS
        outputs.folder.mkdir()
        outputs.written = not self.job.writes_reports
        return None

    def _redirect(self, folder: Path) -> None:
        """Work in the folder, and write the output there."""
        os.chdir(folder)
        with Path("output.txt").open("wb") as file:
            os.dup2(file.fileno(), self.output.fileno())

    def outcome(self, code: int) -> Outcome:
        """Return the outcome of the run that has ended."""
        runner = self.verdicts.runner if self.verdicts else None
        verdicts = tuple(replace(verdict, findings=()) for verdict in self.verdicts.all) if self.verdicts else ()
        findings = [finding for verdict in (self.verdicts.all if self.verdicts else ()) for finding in verdict.findings]
        labels = _described(finding.exchange for finding in findings)
        requests = _described(runner.journal if runner else ())
        outcome = Outcome(code, verdicts, runner.shared if runner else 0, labels, requests, self.of_fixtures)
        if not (self.verdicts and self.job and self.job.writes_reports and runner and runner.baseline.first_ok):
            return outcome
        in_har, missed = judged_as_har(self.verdicts, self.job.folder)
        return replace(outcome, in_har=in_har, missed_in_har=missed)


def _described(exchanges: Iterable[Exchange]) -> frozenset[str]:
    return frozenset(exchange.request.described(exchange.redact) for exchange in exchanges)


class ForkingJobRunner(JobRunner):
    """A job runner that receives jobs when the rules are collected, and forks a process for each."""

    def __init__(self, output: TextIO, jobs: Connection) -> None:
        super().__init__(output)
        self._jobs = jobs

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Return True after the last job; a forked process returns None, and so runs the rules."""
        self.output.flush()
        for item in session.items:
            _ = item.location  # computed once, here, instead of by each forked run
        while True:
            try:
                job = self._jobs.recv()
            except EOFError:
                return True
            child = os.fork()
            if child == 0:
                self.job = job
                return super().pytest_runtestloop(session)
            _, status = os.waitpid(child, 0)
            if status:
                self._jobs.send(f"the forked run ended with status {status}")


def run_here(job: Job) -> None:
    """Run the gate in this process."""
    with _output(job.folder) as output:
        _main(JobRunner(output, job), ["--intrusive"], tuple(job.deployment.keys))


def clear_environment() -> None:
    """Remove the variables by which the tests' own run, or its CI system, would configure the gate."""
    for name in [name for name in os.environ if name.startswith(("CONTRACT_", "GITHUB_", "PYTEST_"))]:
        del os.environ[name]


def run_as_users_do(folder: Path) -> None:
    """Run two rules against the embedded mock in this process, with the plugins that pytest loads by itself."""
    clear_environment()
    with _output(folder):
        pytest.main([str(GATE), "-k", "missing_key or valid_key_is_200", "--rootdir=.", "-p", "no:cacheprovider"])


def serve_runs(jobs: Connection, arguments: Sequence[str], keys: Sequence[str]) -> None:
    """Collect the rules with some options, and run the jobs that are received until the connection is closed."""
    with tempfile.TemporaryDirectory() as folder, _output(Path(folder)) as output:
        runner = ForkingJobRunner(output, jobs)
        code = _main(runner, arguments, keys)
        if runner.job:
            output.flush()
            jobs.send(runner.outcome(code))
            os._exit(0)


def _main(runner: JobRunner, arguments: Sequence[str], keys: Sequence[str]) -> int:
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    options = ["--base-url", LATER, *arguments, *(f"--api-key={key}" for key in keys)]
    return int(pytest.main([str(GATE), "-q", "--rootdir=.", *LEAN, *PLUGINS, *options], plugins=[runner]))


@contextmanager
def _output(folder: Path) -> Iterator[TextIO]:
    os.chdir(folder)
    with Path("output.txt").open("w", encoding="utf-8") as output, redirect_stdout(output), redirect_stderr(output):
        yield output
