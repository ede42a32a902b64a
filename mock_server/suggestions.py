"""The error for an unknown name, with a suggestion."""

from __future__ import annotations

from collections.abc import Iterable

from usage_contract.suggestions import suggest

# The hints about the complete list of a kind.
_LISTS = {"scenario": "GET /__mock__/scenarios of a running mock lists them", "fault": "`usage-mock faults` lists them"}


class UnknownNameError(LookupError):
    """A name that does not exist.

    Args:
        kind: The kind of thing, such as "scenario" or "fault".
        name: The unknown name.
        names: The valid names.
        other_kind: The kind of thing that has this name; empty if none has it.
    """

    def __init__(self, kind: str, name: str, names: Iterable[str], other_kind: str = "") -> None:
        self.kind, self.name, self.names = kind, name, list(names)
        hint = f"it is a {other_kind}" if other_kind else suggest(name, self.names, _LISTS.get(kind, ""))
        super().__init__(f"{name!r} is not a {kind}; {hint}")
