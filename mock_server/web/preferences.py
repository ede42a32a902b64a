"""The `Prefer` header (RFC 7240): how one single request wants to be answered."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mock_server.fixtures.delays import DelayError, delay
from mock_server.fixtures.library import Library
from mock_server.fixtures.validation import FixtureError
from mock_server.simulation.overrides import NONE, Behaviour, FaultUse
from mock_server.suggestions import UnknownNameError, nearest

CODES = range(400, 600)

# The use of a fault that one request asked for.
PREFERRED = "a preference"

# It takes back nothing that it has taken (`++`), or a long field would be read for seconds.
_TOKEN = r"[!#$%&'*+.^_`|~\w-]++"  # noqa: S105 - RFC 9110's token
_PREFERENCE = re.compile(
    rf'(?:^|,)\s*+({_TOKEN})(?:\s*+=\s*+({_TOKEN}|"(?:[^"\\]|\\.)*+"|))?\s*+(?:;[^,]*+)?(?=,|$)', re.ASCII
)

# How many names of a request are held against those that the mock knows.
LOOKED_AT = 20

# The preferences that the mock knows, with a value for each.
_KNOWN = {"scenario": "heavy", "code": "503", "fault": "body-is-null", "delay": "0.2"}

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?$)')
_NAMED = re.compile(r"(?:^|,)\s*([a-z-]{3,12})(?=\s*([=:;,]|$))", re.ASCII | re.IGNORECASE)


class CodeError(ValueError):
    """A text that is no status to answer with."""


class PreferenceError(ValueError):
    """A preference for something that does not exist; the text lists what does."""


def preferences(fields: Sequence[str]) -> dict[str, str]:
    """Return those preferences of a request's Prefer fields that the mock knows.

    Of a repeated one the first counts (RFC 7240, section 2); what is unknown or malformed is ignored.
    """
    found: dict[str, str] = {}
    for name, value in _parsed(", ".join(fields)):
        if name in _KNOWN:
            found.setdefault(name, value)
    return found


def ignored(fields: Sequence[str]) -> str:
    """Return what of a request's Prefer fields is nearly a preference that the mock knows, and what may be meant."""
    found = []
    for name, sign in _NAMED.findall(_QUOTED.sub('""', ", ".join(fields)))[:LOOKED_AT]:
        known = name.lower()
        if known not in _KNOWN and (near := nearest(known, _KNOWN)):
            found.append(f"{name}; did you mean {near}?")
        elif known in _KNOWN and sign == ":":
            found.append(f"{name}; write {known}={_KNOWN[known]}")
    return ", ".join(found)


def behaviour(wanted: dict[str, str], library: Library, documented: Sequence[int]) -> Behaviour:
    """Return how a request with these preferences is answered.

    Raises PreferenceError for an unknown name, and for a file that cannot be used.
    """
    for name, value in wanted.items():
        if not value:
            raise PreferenceError(f"Prefer: {name} needs a value, such as {name}={_KNOWN[name]}")
    try:
        return Behaviour(
            scenario=_scenario(wanted.get("scenario"), library),
            code=code_of(wanted["code"], documented) if "code" in wanted else None,
            fault=_fault(wanted.get("fault"), library),
            delay=_delay(wanted.get("delay")),
        )
    except (UnknownNameError, DelayError, CodeError) as error:
        raise PreferenceError(f"Prefer: {error}") from None
    except FixtureError as error:  # in one line, without the folders of this machine
        place = f"{error.errors[0].path.name}:{error.errors[0].line}"
        raise PreferenceError(f"Prefer: {place} cannot be used here: {error.errors[0].problem}") from None


def _parsed(text: str) -> Iterator[tuple[str, str]]:
    for found in _PREFERENCE.finditer(text):
        value = found[2] or ""
        yield found[1].lower(), re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _scenario(name: str | None, library: Library) -> str | None:
    if name not in (None, NONE):
        library.scenario(name)
    return name


def code_of(text: str, documented: Sequence[int]) -> int:
    """Read a status to answer with: any error, or one that the document has.

    Raises CodeError for any other.
    """
    if not re.fullmatch(r"\d{3}", text, re.ASCII) or (int(text) not in CODES and int(text) not in documented):
        codes = ", ".join(str(status) for status in documented)
        raise CodeError(f"{text!r} is no code; the codes are {codes} (documented) and 400 to 599")
    return int(text)


def _fault(name: str | None, library: Library) -> FaultUse | None:
    if name is None:
        return None
    if name != NONE and library.fault(name).received:
        raise PreferenceError(
            f"Prefer: the fault {name!r} changes what is received, which is over when this is read; "
            "switch it on with --fault or through the control API"
        )
    return FaultUse(name, use=PREFERRED, is_at_once=True)


def _delay(text: str | None) -> str | None:
    if text not in (None, NONE):
        delay(text)
    return text
