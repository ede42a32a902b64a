"""Settings and a clock for tests of the transport."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from contract_tests.run.options import Settings
from contract_tests.wire.messages import Credential
from contract_tests.wire.target import Target

KEY = Credential(b"main-key", "the main key", "$CONTRACT_API_KEY")


@dataclass
class ManualClock:
    """A clock that moves when somebody sleeps on it."""

    time: float = 1000.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def settings(url: str, **changes: Any) -> Settings:
    base = Settings(
        target=Target.parse("--base-url", url),
        keys=(KEY,),
        level="documented",
        embedded=False,
        intrusive=False,
        require_complete=False,
        max_rate=None,
        max_time=120.0,
        max_requests=1000,
        timeout=30.0,  # thousands of times what a server on this machine takes
        ca_file=None,
        proxy=None,
        headers=(),
        deviations={},
        secrets=(),
    )
    return replace(base, **changes)
