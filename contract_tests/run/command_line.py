"""The command line of a run as words: the values of options in it, and the command that repeats the run."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Sequence

from contract_tests.run.options import Settings
from usage_contract_pytest.arguments import OPTIONS, words

JUNIT = {"--junitxml", "--junit-xml"}
REPORTS = {*JUNIT, "--report-dir", "--compare"}
OF_THE_WHOLE_RUN = {*JUNIT, *(option.name for option in OPTIONS if option.of_the_whole_run)}


def values_of(arguments: Sequence[str], *names: str) -> Iterator[str]:
    """Yield the values of options that may have several names."""
    return (word.value or "" for word in words(arguments) if word.option in names)


def last_value(arguments: Sequence[str], *names: str) -> str:
    """Return the last value of an option; empty without one."""
    return ["", *values_of(arguments, *names)][-1]


def command_for_one_rule(rule: str, arguments: Sequence[str], settings: Settings) -> str:
    """Return the command that runs one rule of a run again; it leaves the reports of the whole run alone."""
    return repeating_command([*_without(OF_THE_WHOLE_RUN, arguments), "--rule", rule], settings)


def command_without_reports(arguments: Sequence[str], settings: Settings) -> str:
    """Return the command that repeats the run, and leaves its reports alone."""
    return repeating_command([*_without(REPORTS, arguments)], settings)


def repeating_command(arguments: Sequence[str], settings: Settings) -> str:
    """Return the command that repeats the run, without keys, and with the name alone of each --header."""
    shown = ["pytest", *_without({"--api-key"}, arguments)]
    if not settings.embedded and not any(word.startswith(("--base-url", "--traffic")) for word in shown):
        shown += ["--base-url", settings.target.url]
    return shlex.join(shown)


def _without(options: Collection[str], arguments: Sequence[str]) -> Iterator[str]:
    """Yield the arguments without some options and their values, and without the value of each header."""
    end = 0
    for word in words(arguments):
        if word.start < end:
            continue  # the value of the option before it
        if word.option == "--header":
            end = word.end
            yield from ("--header", (word.value or "").partition(":")[0] + ": …")
        elif word.option in options:
            end = word.end
        else:
            yield arguments[word.start]
