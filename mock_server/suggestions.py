"""Errors for unknown names, with a suggestion."""

from __future__ import annotations

from collections.abc import Iterable

# The maximum number of names in an error without a close match.
LISTED = 12


class UnknownNameError(LookupError):
    """A name that does not exist.

    Args:
        kind: The kind of thing, such as "scenario" or "fault".
        name: The unknown name.
        names: The valid names.
    """

    def __init__(self, kind: str, name: str, names: Iterable[str]) -> None:
        self.kind, self.name, self.names = kind, name, list(names)
        super().__init__(f"{name!r} is not a {kind}; {suggest(name, self.names, _LISTS.get(kind, ''))}")


_LISTS = {kind: f"GET /__mock__/{kind}s lists them" for kind in ("scenario", "fault")}


def suggest(name: str, names: Iterable[str], hint: str = "") -> str:
    """Return `did you mean 'x'?` for the closest name, or a list of names; `hint` names the complete list."""
    names = list(names)
    if match := closest_match(name, names):
        return f"did you mean {match!r}?"
    listed = ", ".join(names[:LISTED]) or "none"
    if len(names) > LISTED:
        listed += f" and {len(names) - LISTED} more" + (f" ({hint})" if hint else "")
    return f"valid: {listed}"


def closest_match(name: str, names: Iterable[str], *, similarity: float = 0.6) -> str | None:
    """Return the name that is most similar to an unknown one, if it is at least that similar (from 0 to 1)."""
    import difflib  # not needed until the first error

    by_folded = {candidate.lower(): candidate for candidate in names}
    matches = difflib.get_close_matches(name.lower(), by_folded, n=1, cutoff=similarity)
    return by_folded[matches[0]] if matches else None
