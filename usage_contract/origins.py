"""The place where each value of an effective document was written: in the document, or in an overlay."""

from __future__ import annotations

from typing import Any

from usage_contract.sources import Source, pointer, pointer_tokens

Origin = tuple[Source, str]


class Origins:
    """Remembers the source of each value of one document, by the object or array that contains the value."""

    def __init__(self) -> None:
        self._root: Origin | None = None
        self._members: dict[int, dict[str, Origin]] = {}
        self._items: dict[int, list[Origin]] = {}

    def start(self, document: Any, source: Source) -> None:
        """Record a document that a source contains."""
        self._root = (source, "")
        self._add(document, source, "")

    def set_member(self, container: dict[str, Any], name: str, source: Source, at: str) -> None:
        """Record that a member of an object is the value at a JSON Pointer of a source."""
        self._members[id(container)][name] = (source, at)
        self._add(container[name], source, at)

    def set_item(self, container: list[Any], index: int, source: Source, at: str) -> None:
        """Record that an item of an array is the value at a JSON Pointer of a source; it may be a new last item."""
        self._items[id(container)][index : index + 1] = [(source, at)]
        self._add(container[index], source, at)

    def remove(self, container: Any, token: Any) -> None:
        """Forget a member of an object or an item of an array."""
        if isinstance(container, dict):
            del self._members[id(container)][token]
        else:
            del self._items[id(container)][token]

    def find(self, document: Any, at: str) -> Origin | None:
        """Return the source of the value at a JSON Pointer, or of its nearest ancestor, and its place there."""
        found, value = self._root, document
        for token in pointer_tokens(at):
            if isinstance(value, dict) and token in value:
                found, value = self._members[id(value)][token], value[token]
            elif isinstance(value, list) and token.isdecimal() and int(token) < len(value):
                found, value = self._items[id(value)][int(token)], value[int(token)]
            else:
                break
        return found

    def _add(self, value: Any, source: Source, at: str) -> None:
        if isinstance(value, dict):
            self._members[id(value)] = {name: (source, at + pointer(name)) for name in value}
            for name, member in value.items():
                self._add(member, source, at + pointer(name))
        elif isinstance(value, list):
            self._items[id(value)] = [(source, at + pointer(index)) for index in range(len(value))]
            for index, item in enumerate(value):
                self._add(item, source, at + pointer(index))
