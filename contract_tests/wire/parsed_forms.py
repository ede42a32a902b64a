"""Parsed and decoded forms of received bodies: the last ones, so that they do not add up over a run."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

MOST_BYTES = 256 * 1024  # of bodies in all: a parsed form may take forty times as much
T = TypeVar("T")


class ParsedForms:
    """The forms that were used last, of at most `largest` bytes of bodies."""

    def __init__(self, largest: int = MOST_BYTES) -> None:
        self.largest = largest
        self._kept: OrderedDict[tuple[Hashable, bytes], Any] = OrderedDict()
        self._size = 0

    def form(self, kind: Hashable, body: bytes, compute: Callable[[bytes], T]) -> T:
        """Return a form of a body, computed where it is not kept; that of a large body is never kept."""
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
