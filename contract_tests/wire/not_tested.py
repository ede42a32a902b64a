"""The exceptions for a rule that could not be tested, or that has nothing to judge."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from _pytest.outcomes import Skipped  # the exception of pytest.skip; pytest exports it untyped

T = TypeVar("T")

# Values of `NotTested.wanted`.
MORE_REQUESTS, MORE_TIME = "more --max-requests", "more --max-time"
OWN_REQUESTS = "requests of its own (without --traffic)"


class NotTested(Skipped):
    """The rule could not be tested, for this reason.

    `because` are the ids of the rules that report the cause, if the deployment has a defect. `wanted` is what the user
    must give the run so that the rule is tested.
    """

    def __init__(self, reason: str, because: Iterable[str] = (), wanted: str = "") -> None:
        super().__init__(reason, _use_item_location=True)
        self.because = frozenset(because)
        self.wanted = wanted


class NotApplicable(NotTested):
    """No exchange of the run has the subject of the promise, for example an ETag."""


def or_not_applicable(cases: Iterable[T], missing: str) -> list[T]:
    """Return the cases that a rule judges; NotApplicable with the sentence `missing` if there are none."""
    return _listed(cases, NotApplicable(missing))


def or_not_tested(exchanges: Iterable[T], missing: str) -> list[T]:
    """Return the exchanges that a rule needs; NotTested with the sentence `missing` if there are none."""
    return _listed(exchanges, NotTested(missing))


def _listed(some: Iterable[T], otherwise: NotTested) -> list[T]:
    listed = list(some)
    if not listed:
        raise otherwise
    return listed
