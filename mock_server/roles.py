"""Roles of API keys: how a fault names the keys of any deployment."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from typing import Any

from mock_server.fixtures import Deployment, Key
from mock_server.names import advice

ROLES = ("first key", "busiest key", "second key", "unused key")

# Values that a careless server derives from a key, or accepts in place of it.
FORMS: Mapping[str, Callable[[str], str]] = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "SHA-256": lambda text: sha256(text.encode()).hexdigest(),
    "first half": lambda text: text[: len(text) // 2],
    "second half": lambda text: text[len(text) // 2 :],
    "all but the first character": lambda text: text[1:],
    "all but the last character": lambda text: text[:-1],
}

# {ROLE}, or {FORM of ROLE} with the role in braces of its own and any text around it.
PLACE = re.compile(
    r"(?:\{(?P<forms>[\w -]+ of )(?P<before>[^{}]*))?\{(?P<role>[a-z-]+ key)\}(?(forms)(?P<after>[^{}]*)\})"
)

# In a pattern, and in the text that replaces one, a key is not an expression.
QUOTES: Mapping[str, Callable[[str], str]] = {"pattern": re.escape, "with": lambda text: text.replace("\\", r"\\")}


def keys_by_role(deployment: Deployment) -> dict[str, str]:
    """Return the keys of a deployment by role, without the roles that no key has.

    The keys are ranked by their requests, then by their order in the file.
    """
    keys = list(deployment.keys)
    ranked = sorted(keys, key=lambda key: -_requests(deployment.keys[key]))
    found = {"first key": keys[0], "busiest key": ranked[0]}
    if len(ranked) > 1:
        found["second key"] = ranked[1]
    least = deployment.keys[ranked[-1]]
    if not _requests(least) and not least.growth:
        found["unused key"] = ranked[-1]
    return found


def with_keys(value: Any, keys: Mapping[str, str], quote: Callable[[str], str] = str) -> Any:
    """Return edits, or any part of them, with the key, or its form, in place of each role."""
    if isinstance(value, Mapping):
        return {name: with_keys(part, keys, QUOTES.get(name, quote)) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [with_keys(part, keys, quote) for part in value]
    return PLACE.sub(lambda place: quote(_text(place, keys)), value) if isinstance(value, str) else value


def placeholders(text: str) -> Iterator[tuple[str, str]]:
    """Yield the role of each placeholder of a text, and the problem with it: a role or a form that does not exist."""
    for place in PLACE.finditer(text):
        problems = [
            f"{form!r} is not a form of a key; {advice(form, FORMS)}" for form in _forms(place) if form not in FORMS
        ]
        if place["role"] not in ROLES:
            problems.append(f"{place['role']!r} is not a role of a key; {advice(place['role'], ROLES)}")
        yield place["role"], problems[0] if problems else ""


def _requests(key: Key) -> int:
    return sum(calls.requests for protocols in key.traffic.values() for calls in protocols.values())


def _forms(place: re.Match[str]) -> list[str]:
    return (place["forms"] or "").split(" of ")[:-1]


def _text(place: re.Match[str], keys: Mapping[str, str]) -> str:
    text = (place["before"] or "") + keys[place["role"]] + (place["after"] or "")
    for form in reversed(_forms(place)):
        text = FORMS[form](text)
    return text
