"""The challenges of a 401 response (RFC 9110, section 11.6.1)."""

from __future__ import annotations

import re

QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
EQUALS_SIGN = re.compile(r"\s*=\s*")


def schemes(challenge: str) -> set[str]:
    """Return the authentication schemes that a WWW-Authenticate field names, in lower case.

    An item of the list is a challenge, or a further parameter of the challenge before it.
    """
    items = EQUALS_SIGN.sub("=", QUOTED.sub("", challenge)).split(",")
    first_words = (item.split()[0] for item in items if item.strip())
    return {word.lower() for word in first_words if "=" not in word}
