"""What somebody may have meant by a name that nothing has."""

from __future__ import annotations

from collections.abc import Iterable


def suggestion(name: str, names: Iterable[str]) -> str:
    """Return `did you mean 'x'?` for the nearest of the names, or an empty text."""
    import difflib  # only a mistake waits for it

    by_folded = {each.lower(): each for each in names}
    near = difflib.get_close_matches(name.lower(), by_folded, n=1)
    return f"did you mean {by_folded[near[0]]!r}?" if near else ""
