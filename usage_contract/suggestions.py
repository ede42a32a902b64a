"""Suggestions for unknown names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# The maximum number of names in an error without a close match.
LISTED = 12


def suggest(name: str, names: Iterable[str], hint: str = "") -> str:
    """Return `did you mean 'x'?` for the closest name, or a list of names; `hint` names the complete list."""
    names = list(names)
    if match := closest_match(name, names):
        return f"did you mean {match!r}?"
    more = f" ({hint})" if hint and len(names) > LISTED else ""
    return f"valid: {first_of(names, LISTED) or 'none'}{more}"


def first_of(names: Sequence[str], most: int) -> str:
    """Return the first names as a list, with the number of the others."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def closest_match(name: str, names: Iterable[str], *, similarity: float = 0.6) -> str | None:
    """Return the name that is most similar to an unknown one, if it is at least that similar (from 0 to 1)."""
    import difflib  # not needed until the first error

    by_folded = {candidate.lower(): candidate for candidate in names}
    matches = difflib.get_close_matches(name.lower(), by_folded, n=1, cutoff=similarity)
    return by_folded[matches[0]] if matches else None
