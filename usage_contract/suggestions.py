"""Suggestions for unknown names."""

from __future__ import annotations

from collections.abc import Iterable

# The maximum number of names in an error without a close match.
LISTED = 12


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
