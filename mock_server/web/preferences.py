"""The `Prefer` header (RFC 7240): overrides of a single request."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence

from mock_server.fixtures.delays import DelayError
from mock_server.fixtures.library import Library
from mock_server.fixtures.validation import FixtureError
from mock_server.simulation.overrides import Answer, ForcedResponse, Override, fault_uses
from mock_server.suggestions import UnknownNameError
from usage_contract.suggestions import closest_match

CODES = range(400, 600)

# The use of a fault that a single request prefers.
PREFERENCE_USE = "a preference"

# The quantifiers are possessive (`++`): with backtracking, a long header would take seconds.
_TOKEN = r"[!#$%&'*+.^_`|~\w-]++"  # noqa: S105 - RFC 9110's token
_PREFERENCE = re.compile(
    rf'(?:^|,)\s*+({_TOKEN})(?:\s*+=\s*+({_TOKEN}|"(?:[^"\\]|\\.)*+"|))?\s*+(?:;[^,]*+)?(?=,|$)', re.ASCII
)

# The maximum number of names in a request for which the mock looks for a similar preference.
MAX_CHECKED = 20

# The preferences that the mock knows, with a value for each.
_KNOWN = {"scenario": "heavy", "code": "503", "fault": "body-is-null", "delay": "0.2"}

# The preferences of other mock servers (Prism), with the one of this mock.
_FOREIGN = {"example": "scenario", "dynamic": "scenario", "status": "code"}

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?$)')
_NAMED = re.compile(r"(?:^|,)\s*([a-z-]{3,12})(?=\s*([=:;,]|$))", re.ASCII | re.IGNORECASE)


class CodeError(ValueError):
    """A text that is not a status code for a response."""


class PreferenceError(ValueError):
    """A preference with an unknown value; the text lists the valid ones."""


def parse_preferences(headers: Sequence[str]) -> dict[str, str]:
    """Return the known preferences in the Prefer headers of a request.

    The first of repeated preferences counts (RFC 7240, section 2); unknown and malformed ones are ignored.
    """
    found: dict[str, str] = {}
    for match in _PREFERENCE.finditer(", ".join(headers)):
        name, value = match[1].lower(), match[2] or ""
        if name in _KNOWN:
            found.setdefault(name, re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value)
    return found


def applied_preferences(preferences: Mapping[str, str], honoured: Container[str]) -> dict[str, str]:
    """Return the header that names the honoured preferences (RFC 7240, section 3), or nothing without any."""
    applied = [
        f'{name}="{value}"' if " " in value else f"{name}={value}"
        for name, value in preferences.items()
        if name in honoured
    ]
    return {"Preference-Applied": ", ".join(applied)} if applied else {}


def ignored_preferences(headers: Sequence[str]) -> str:
    """Return the preferences in Prefer headers that are misspelled or of other mock servers, each with a suggestion."""
    found = []
    for name, sign in _NAMED.findall(_QUOTED.sub('""', ", ".join(headers)))[:MAX_CHECKED]:
        known = name.lower()
        if known not in _KNOWN and (match := _FOREIGN.get(known) or closest_match(known, _KNOWN)):
            found.append(f"{name}; did you mean {match}?")
        elif known in _KNOWN and sign == ":":
            found.append(f"{name}; write {known}={_KNOWN[known]}")
    return ", ".join(found)


def preferred_override(preferences: dict[str, str], library: Library, documented: Sequence[int]) -> Override:
    """Return the override of a request with these preferences.

    Args:
        preferences: The preferences of the request.
        library: The scenarios and faults.
        documented: The documented status codes.

    Raises:
        PreferenceError: A name is unknown, or its file cannot be used.
    """
    for name, value in preferences.items():
        if not value.strip():
            raise PreferenceError(f"Prefer: {name} needs a value, such as {name}={_KNOWN[name]}")
    scenario, code, fault, text = (preferences.get(name) for name in ("scenario", "code", "fault", "delay"))
    faults = fault_uses(fault, use=PREFERENCE_USE, is_unconditional=True) if fault else None
    try:
        answer = Answer((ForcedResponse(parse_code(code, documented)),)) if code else None
        override = Override(scenario, answer, faults, text)
        override.check(library)
        for use in faults or ():
            if library.fault(use.name).received:
                raise PreferenceError(
                    f"Prefer: the fault {use.name!r} changes received bytes, before the preference is read; "
                    "switch it on with --fault or through the control API"
                )
    except (UnknownNameError, DelayError, CodeError) as error:
        raise PreferenceError(f"Prefer: {error}") from None
    except FixtureError as error:  # one line, without the folders of this machine
        first = error.errors[0]
        place = f"{first.path.name}{first.line_suffix}"
        raise PreferenceError(f"Prefer: {place} cannot be used here: {first.problem}") from None
    return override


def parse_code(text: str, documented: Sequence[int]) -> int:
    """Return the status code in a text: any error, or a documented status code.

    Raises:
        CodeError: The text is not such a status code.
    """
    if not re.fullmatch(r"\d{3}", text, re.ASCII) or (int(text) not in CODES and int(text) not in documented):
        codes = ", ".join(str(status) for status in documented)
        raise CodeError(f"{text!r} is not a status code of the mock; expected {codes} (documented) or 400 to 599")
    return int(text)
