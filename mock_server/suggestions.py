"""Names that nothing has, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterable

# How many names are listed where none is near.
LISTED = 12


class UnknownNameError(LookupError):
    """Something was asked for by a name that nothing has.

    `kind` is what was meant ("scenario", "fault"), `names` are the valid ones.
    """

    def __init__(self, kind: str, name: str, names: Iterable[str]) -> None:
        self.kind, self.name, self.names = kind, name, list(names)
        super().__init__(f"{name!r} is no {kind}; {advice(name, self.names, _LISTS.get(kind, ''))}")


_LISTS = {kind: f"GET /__mock__/{kind}s lists them" for kind in ("scenario", "fault")}


def advice(name: str, names: Iterable[str], more: str = "") -> str:
    """Return `did you mean 'x'?` for the nearest of the names, or else some of them; `more` says where all are."""
    names = list(names)
    if found := nearest(name, names):
        return f"did you mean {found!r}?"
    listed = ", ".join(names[:LISTED]) or "none"
    if len(names) > LISTED:
        listed += f" and {len(names) - LISTED} more" + (f" ({more})" if more else "")
    return f"there {'is' if len(names) == 1 else 'are'} {listed}"


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the name that somebody may have meant."""
    import difflib  # only a mistake waits for it

    by_folded = {each.lower(): each for each in names}
    near = difflib.get_close_matches(name.lower(), by_folded, n=1)
    return by_folded[near[0]] if near else None
