"""The exception for a rule that could not be tested."""

from __future__ import annotations

from collections.abc import Iterable

from _pytest.outcomes import Skipped  # the exception of pytest.skip; pytest exports it untyped

# Values of `NotTested.wanted`.
MORE_REQUESTS, MORE_TIME = "more --max-requests", "more --max-time"


class NotTested(Skipped):
    """The rule could not be tested, for this reason.

    `because` are the ids of the rules that report the cause, if the deployment has a defect. `wanted` is what the user
    must give the run so that the rule is tested.
    """

    def __init__(self, reason: str, because: Iterable[str] = (), wanted: str = "") -> None:
        super().__init__(reason, _use_item_location=True)
        self.because = frozenset(because)
        self.wanted = wanted
