"""The memory that the exchanges of a run share."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from threading import Lock

from contract_tests.message import KEPT, LARGEST_BODY, Abridged, Answer

BUDGET = 16 * 1024 * 1024  # bytes
FIELD = 200  # bytes: what Python needs for a field besides its name and value
KEPT_OF_A_HEAD = 16 * 1024  # bytes
KEPT_OF_AN_EXTRA = 1024  # bytes


@dataclass
class Retention:
    """Keeps responses whole while the budget lasts; then their beginnings, and the digests of their bodies."""

    left: int = BUDGET
    _lock: Lock = field(default_factory=Lock, repr=False)

    def room(self, responses: int = 1) -> int:
        """Return how many bytes each of so many bodies may have to be kept whole."""
        return max(KEPT, min(LARGEST_BODY, self.left // responses))

    def kept(self, answer: Answer) -> Answer:
        """Take a response from the budget, and return what is kept of it."""
        with self._lock:
            self.left -= len(answer.payload) + len(answer.extra) + _size_of_head(answer)
            return answer if self.left > 0 else _without_large_head(answer)


def _size_of_head(answer: Answer) -> int:
    return len(answer.start) + sum(len(name) + len(value) + FIELD for name, value in answer.fields)


def _without_large_head(answer: Answer) -> Answer:
    """Return a response of which only the beginnings of a large head, and of what follows it, are kept."""
    if _size_of_head(answer) <= KEPT_OF_A_HEAD and len(answer.extra) <= KEPT_OF_AN_EXTRA:
        return answer
    fields, size = [], 0
    for name, value in answer.fields:
        size += len(name) + len(value) + FIELD
        if size > KEPT_OF_A_HEAD:
            break
        fields.append((name, value))
    return replace(
        answer,
        fields=tuple(fields),
        start=answer.start[:KEPT_OF_A_HEAD],
        extra=answer.extra[:KEPT_OF_AN_EXTRA],
        abridged=Abridged(answer.size, answer.sha256, head=True, extra=len(answer.extra)),
    )
