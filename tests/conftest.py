"""How the tests are spread over processes: `pytest -n 4`."""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Each has fixtures that take seconds, which one process sets up for all of it.
TOGETHER = (
    "tests/gate/test_report_page.py",
    "tests/mock/test_console.py",
    "tests/test_readme.py",
    "tests/test_wheel.py",
)


class Spread(LoadScopeScheduling):
    """What is together goes to one process, and goes first, so that nobody waits for it alone; all else goes singly."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return module if module in TOGETHER else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Spread:
    """Return the scheduler, whatever `--dist` says."""
    return Spread(config, log)
