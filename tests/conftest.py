"""The tiers of the tests, and their distribution over the processes of `pytest -n 3`."""

from __future__ import annotations

import gc
from collections import defaultdict
from functools import cached_property
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

try:
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling
except ModuleNotFoundError:
    pytest.exit("The tests of this project need the packages in tests/requirements.txt: tox installs them", 4)

from tests.support.tiers import EVERYDAY, IN_CI, TIERS, missing_tools

# The same examples on every machine, regardless of its speed.
settings.register_profile(
    "tests", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")

pytest_plugins = ["tests.support.gate", "tests.support.mocks"]

HERE = Path(__file__).parent
# One process runs all tests of such a folder or module, whose shared fixtures take seconds in each process.
TOGETHER = (
    "tests/browser/test_report_page.py",
    "tests/gate/test_proof_sample.py",
    "tests/mock/faults/",
    "tests/image/test_image.py",
    "tests/packaging/test_wheel.py",
)
BATCH = 10  # tests of one function in one message to a process: a message takes longer than most tests


class Distribution(LoadScopeScheduling):
    """Distributes the tests of some modules to one process, and first; all other tests in small batches.

    The slow tests of the other tiers are distributed one by one.
    """

    def _split_scope(self, nodeid: str) -> str:
        return self._scopes[nodeid]

    @cached_property
    def _scopes(self) -> dict[str, str]:
        numbers: defaultdict[str, count[int]] = defaultdict(count)
        return {nodeid: self._scope(nodeid, numbers) for nodeid in self.collection or ()}

    def _scope(self, nodeid: str, numbers: defaultdict[str, count[int]]) -> str:
        if together := next(filter(nodeid.startswith, TOGETHER), None):
            return together
        if nodeid.startswith(tuple(f"tests/{tier}/" for tier in TIERS)):
            return nodeid
        function = nodeid.partition("[")[0]
        return f"{function} {next(numbers[function]) // BATCH}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Distribution:
    """Return the scheduler, which replaces that of `--dist`."""
    return Distribution(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """Register a mark for each tier, and the marks of rules for tests that import a rule."""
    for tier in TIERS:
        config.addinivalue_line("markers", f"{tier}: runs in `tox -e {tier}`")
    for mark in ("rule", "intrusive"):
        config.addinivalue_line("markers", f"{mark}: registered by the gate's plugin in a run of the gate")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the folders of the other tiers out of a run of the everyday tests: to import them takes seconds."""
    return True if config.option.markexpr == EVERYDAY and _tier(collection_path) else None


@pytest.hookimpl(tryfirst=True)  # before -m deselects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the tier whose folder it is in."""
    for item in items:
        if tier := _tier(item.path):
            item.add_marker(tier)


def pytest_collection_finish() -> None:
    """Make the garbage collector run rarely and skip the collected tests; otherwise it takes a tenth of the time."""
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


@pytest.hookimpl(tryfirst=True)  # before a fixture needs the tool
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a test whose tool is missing in CI, and skip it elsewhere."""
    if (tier := _tier(item.path)) and (problem := missing_tools(tier)):
        if IN_CI:
            pytest.fail(problem, pytrace=False)
        pytest.skip(problem)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line for each reason for which tests were skipped."""
    reasons = {report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.getreports("skipped")}
    for reason in sorted(reasons):
        terminalreporter.write_line(f"skipped: {reason}")


def _tier(path: Path) -> str:
    folder = next(iter(path.relative_to(HERE).parts), "") if path.is_relative_to(HERE) else ""
    return folder if folder in TIERS else ""
