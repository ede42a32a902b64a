"""Words for numbers."""


def counted(number: int, thing: str) -> str:
    """Return `1 request`, `2 requests`."""
    return f"{number} {thing}" + ("" if number == 1 else "s")
