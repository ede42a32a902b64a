"""The exception by which a rule, or code that it calls, reports that it could not be tested."""

from __future__ import annotations

from collections.abc import Iterable

from _pytest.outcomes import Skipped  # the exception of pytest.skip; pytest exports it untyped


class NotTested(Skipped):
    """The rule could not be tested, for this reason.

    `because` are the ids of rules that report the cause, if it is a defect of the deployment; `wanted` is what a run
    must be given so that the rule is tested, if that is up to its user.
    """

    def __init__(self, reason: str, because: Iterable[str] = (), wanted: str = "") -> None:
        super().__init__(reason, _use_item_location=True)
        self.because = frozenset(because)
        self.wanted = wanted
