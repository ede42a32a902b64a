"""The command line of a run as words: the values of options in it, and the command that repeats the run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from contract_tests.run.options import Settings

OF_THE_WHOLE_RUN = {"--rule", "--report-dir", "--junitxml", "--junit-xml", "--compare"}  # each has a value


def values_of(arguments: Sequence[str], *names: str) -> Iterator[str]:
    """Yield the values of options that may have several names."""
    for index, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name in names:
            yield value if equals else "".join(arguments[index + 1 : index + 2])


def last_value(arguments: Sequence[str], *names: str) -> str:
    """Return the last value of an option; empty without one."""
    return ["", *values_of(arguments, *names)][-1]


def command_for_one_rule(rule: str, arguments: Sequence[str], settings: Settings) -> str:
    """Return the command that runs one rule of a run again; it leaves the reports of the whole run alone."""
    words, kept = iter(arguments), []
    for word in words:
        if word in OF_THE_WHOLE_RUN:
            next(words, "")
        elif word != "--require-complete" and word.partition("=")[0] not in OF_THE_WHOLE_RUN:
            kept.append(word)
    return repeating_command([*kept, "--rule", rule], settings)


def repeating_command(arguments: Sequence[str], settings: Settings) -> str:
    """Return the command that repeats the run, without keys, and with the name alone of each --header."""
    words = ["pytest", *_without_secrets(arguments)]
    if not settings.embedded and not any(word.startswith(("--base-url", "--traffic")) for word in words):
        words += ["--base-url", settings.target.url]
    return shlex.join(words)


def _without_secrets(arguments: Sequence[str]) -> Iterator[str]:
    words = iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        if option not in {"--api-key", "--header"}:
            yield word
            continue
        value = value if equals else next(words, "")
        if option == "--header":
            yield from (option, value.partition(":")[0] + ": …")
