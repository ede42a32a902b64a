"""The API keys of a run, from options, the environment or a file, and the names of their variables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

import pytest

from contract_tests.redaction.spellings import SHORTEST_SECRET
from contract_tests.wire.messages import Credential, name_of_key

MAIN_KEY = "CONTRACT_API_KEY"
KEY_FILE = "CONTRACT_API_KEY_FILE"
BASE_URL = "PYTEST_BASE_URL"  # pytest-base-url's
LIKE_KEY = re.compile(r"CONTRACT_?(API_?)?KEYS?_?(\d+|FILE)?")
LIKE_URL = re.compile("(CONTRACT|PYTEST)_?(BASE_?)?URL|BASE_URL")
KEY_VARIABLE = re.compile(rf"{MAIN_KEY}(_\d+)?|{KEY_FILE}")


def keys_from(options: Sequence[str], environment: Mapping[str, str], file: str | None) -> tuple[Credential, ...]:
    """Return the keys of the first source: --api-key, --api-key-file, the environment, the file that it names.

    The variables are CONTRACT_API_KEY, CONTRACT_API_KEY_2, CONTRACT_API_KEY_3 and so on. A key file contains one key a
    line, the main key first. A line that begins with # is a comment.
    """
    if options and file:
        raise pytest.UsageError("--api-key, --api-key-file: give one of them")
    values = dict(enumerate(_key_file(Path(file), "--api-key-file") if file else options, 1))
    values = values or _environment_keys(environment)
    if not values and (named := environment.get(KEY_FILE)):
        values = dict(enumerate(_key_file(Path(named), KEY_FILE), 1))
    for number, value in values.items():
        _check_key(number, value)
    if len(set(values.values())) < len(values):
        raise pytest.UsageError("the same key is given twice; each key must be different")
    return tuple(Credential(value.encode(), *name_of_key(number)) for number, value in values.items())


def _check_key(number: int, value: str) -> None:
    if not value or not value.isprintable() or not value.isascii() or " " in value:
        raise pytest.UsageError(
            f"key {number} is empty, or contains spaces or characters that a header cannot have; in a key file a "
            "comment is on its own line"
        )
    if len(value) < SHORTEST_SECRET:
        raise pytest.UsageError(
            f"key {number} has fewer than {SHORTEST_SECRET} characters: it cannot be distinguished from other "
            "text, and so cannot be redacted"
        )


def _environment_keys(environment: Mapping[str, str]) -> dict[int, str]:
    """Return the keys by their numbers; the main key is number 1, and numbers may be missing."""
    numbered = {match[1]: name for name in environment if (match := re.fullmatch(rf"{MAIN_KEY}_(\d+)", name))}
    further = {number: value for number, name in numbered.items() if (value := environment[name].strip())}
    if wrong := [numbered[number] for number in further if number != str(int(number)) or int(number) < 2]:
        raise pytest.UsageError(f"{wrong[0]}: the main key is {MAIN_KEY}, and further ones begin with {MAIN_KEY}_2")
    main = environment.get(MAIN_KEY, "").strip()  # a secret from a file often ends with a line end
    if further and not main:
        raise pytest.UsageError(f"{numbered[min(further, key=int)]} is set, and {MAIN_KEY}, the main key, is not")
    return {1: main, **{int(number): further[number] for number in sorted(further, key=int)}} if main else {}


def _key_file(path: Path, source: str) -> list[str]:
    try:
        return _lines(path)
    except (OSError, UnicodeDecodeError) as error:
        is_path = isinstance(error, PermissionError | IsADirectoryError | UnicodeDecodeError)
        shown = path if is_path else "the file (not shown here, because the value may be a key)"
        why = getattr(error, "strerror", None) or error
        raise pytest.UsageError(f"{source}: {shown} cannot be read: {why}") from None


def _lines(path: Path) -> list[str]:
    lines = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def keys_in_place_of(file: str) -> list[str]:
    """Return the keys in a regular file; the text itself if it is not the path of any file: it may be a key."""
    path = Path(file)
    try:
        is_regular = S_ISREG(path.stat().st_mode)  # a pipe can be read only once
    except OSError:
        return [file]
    with suppress(OSError, UnicodeDecodeError):
        return _lines(path) if is_regular else []
    return []


def refuse_key_without_base_url(environment: Mapping[str, str]) -> None:
    """Raise UsageError for a key in the environment without a base URL: the embedded mock has keys of its own."""
    if given := [name for name in environment if KEY_VARIABLE.fullmatch(name)]:
        raise pytest.UsageError(
            f"{given[0]}: a key needs a base URL. Give --base-url, or unset the variable to check the embedded mock"
        )


def refuse_misspelt_variable(environment: Mapping[str, str], *, is_remote: bool) -> None:
    """Raise UsageError for a variable that looks like one for a key or the base URL, and is not."""
    for name in environment:
        if not is_remote and name != BASE_URL and LIKE_URL.fullmatch(name):
            raise pytest.UsageError(
                f"{name} is not a variable of the gate; give --base-url, or {BASE_URL}. "
                "To check the embedded mock, unset it"
            )
        if is_remote and LIKE_KEY.fullmatch(name) and not KEY_VARIABLE.fullmatch(name):
            raise pytest.UsageError(
                f"{name} is not a variable of the gate; keys are in {MAIN_KEY}, {MAIN_KEY}_2 and so on, or {KEY_FILE}"
            )
