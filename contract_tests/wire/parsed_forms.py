"""A cache of parsed and decoded forms of received bodies, with a bound on its memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

MOST_BYTES = 256 * 1024  # of all bodies in it: a parsed form may take forty times as much
T = TypeVar("T")


class ParsedForms:
    """The most recently used forms; their bodies have at most `largest` bytes in all."""

    def __init__(self, largest: int = MOST_BYTES) -> None:
        self.largest = largest
        self._kept: OrderedDict[tuple[Hashable, bytes], Any] = OrderedDict()
        self._size = 0

    def form(self, kind: Hashable, body: bytes, compute: Callable[[bytes], T]) -> T:
        """Return a form of a body, and compute it unless it is kept; the form of a large body is never kept."""
        key = (kind, body)
        if key in self._kept:
            self._kept.move_to_end(key)
            value: T = self._kept[key]
            return value
        value = compute(body)
        if len(body) <= self.largest:
            self._kept[key] = value
            self._size += len(body)
        while self._size > self.largest:
            (_, dropped), _ = self._kept.popitem(last=False)
            self._size -= len(dropped)
        return value


FORMS = ParsedForms()
