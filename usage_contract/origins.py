"""The place where each value of an effective document was written: in the document, or in an overlay."""

from __future__ import annotations

from typing import Any

from usage_contract.pointers import parts, pointer, pointer_tokens, subscript
from usage_contract.sources import Source


class Origins:
    """Remembers the source of each value of one document, by the object or array that contains the value.

    Args:
        document: The document, which changes afterwards.
        source: The source of the document as it is now.
    """

    def __init__(self, document: Any, source: Source) -> None:
        self._document, self._root = document, (source, "")
        self._parts: dict[int, Any] = {}  # by the id of an object or an array: its members or its items
        self._add(document, source, "")

    def set(self, container: Any, token: Any, source: Source, at: str) -> None:
        """Record that a member or an item is the value at a JSON Pointer of a source; it may be a new last item."""
        if isinstance(container, dict):
            self._parts[id(container)][token] = (source, at)
        else:
            self._parts[id(container)][token : token + 1] = [(source, at)]
        self._add(container[token], source, at)

    def remove(self, container: Any, token: Any) -> None:
        """Forget a member of an object or an item of an array."""
        del self._parts[id(container)][token]

    def find(self, at: str) -> tuple[Source, str]:
        """Return the source of the value at a JSON Pointer, or of its nearest ancestor, and its place there."""
        found, value = self._root, self._document
        for token in pointer_tokens(at):
            key = subscript(value, token)
            if key is None:
                break
            found, value = self._parts[id(value)][key], value[key]
        return found

    def _add(self, value: Any, source: Source, at: str) -> None:
        if isinstance(value, dict):
            self._parts[id(value)] = {name: (source, at + pointer(name)) for name in value}
        elif isinstance(value, list):
            self._parts[id(value)] = [(source, at + pointer(index)) for index in range(len(value))]
        for token, part in parts(value):
            self._add(part, source, at + pointer(token))
