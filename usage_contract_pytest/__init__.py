"""The pytest11 entry point, which loads the gate only if the command line names it.

pytest loads this module in every project of an environment, so it imports nothing of the gate itself.
It is a separate package, so that a project's own folder `contract_tests` cannot hide it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path

import pytest

from usage_contract_pytest.arguments import FLAGS, OPTION_NAMES, REPORT_FILES, SECRET_OPTIONS, expanded, words

GATE = Path(__file__).resolve().parents[1] / "contract_tests"
NEEDED = ("brotli", "h11", "httplint", "hypothesis", "jinja2", "pytest_base_url", "requests", "schemathesis")
HIDDEN = f"another package contract_tests hides the gate in {GATE}; start pytest in another folder"
WITH_VALUE = OPTION_NAMES - FLAGS | {"--junitxml"}
UNRECOGNIZED = re.compile(r"(?s)(?:.*error: )?unrecognized arguments: (?P<words>[^\n]*).*")
OPTION = re.compile(r"--[a-zA-Z][\w-]*|-[a-zA-Z]")


def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Load the gate's plugin if one of the arguments is the gate's package, or a part of it."""
    known = early_config.known_args_namespace
    folder = early_config.invocation_params.dir
    if not any(_is_of_the_gate(place, folder, pyargs=known.pyargs) for place in known.file_or_dir):
        # pytest runs this while the error that ended the run passes through it.
        early_config.add_cleanup(lambda: _explain_unknown_options(sys.exception(), known.file_or_dir))
        _refuse_another_copy(known.file_or_dir, folder)
        if known.pyargs:
            _refuse_a_hidden_gate(known.file_or_dir, args, folder)
        return
    args[:] = expanded(args)
    if not _is_importable():
        _remove_earlier_reports(args, folder)
        raise pytest.UsageError(HIDDEN)
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        _remove_earlier_reports(args, folder)
        raise pytest.UsageError(f"the gate needs {', '.join(missing)}: pip install 'usage-contract[gate]'")
    _open_closed_streams(early_config)
    _load(early_config, args)
    _refuse_mistyped_secret_option(args)
    _refuse_empty_value(args)
    _refuse_second_value(args, folder, pyargs=known.pyargs)
    _refuse_unredacted_output(early_config)
    if known.pyargs:
        known.file_or_dir[:] = map(_located, known.file_or_dir)


def _open_closed_streams(config: pytest.Config) -> None:
    """Replace a standard stream that is closed, as by `>&-`, by the null device: pytest itself fails without it."""
    if sys.__stdout__ and sys.__stderr__:
        return
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture:
        capture.stop_global_capturing()  # it would put the closed stream back
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 - it is open as long as the process runs
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    if capture:
        capture.start_global_capturing()


def _load(config: pytest.Config, args: list[str]) -> None:
    """Load the gate's plugin, and call its hook: pytest has already collected the implementations."""
    config.pluginmanager.import_plugin("contract_tests.run.plugin")
    from contract_tests.run.plugin import pytest_load_initial_conftests

    pytest_load_initial_conftests(config, args)


def _remove_earlier_reports(args: Sequence[str], folder: Path) -> None:
    """Remove the reports of an earlier run if the gate cannot be imported to replace them."""
    for word in words(args):
        if word.option == "--report-dir":
            for report in REPORT_FILES:
                path = folder / (word.value or "") / report
                if path.is_file():  # and not a device
                    path.unlink()


def _is_of_the_gate(argument: str, folder: Path, *, pyargs: bool) -> bool:
    place = argument.split("::")[0]
    if pyargs and place.split(".")[0] == GATE.name:
        return _is_importable()
    path = (folder / place).resolve()
    return path == GATE or GATE in path.parents


def _located(argument: str) -> str:
    """Return the gate's path for its name: pytest would also read the conftest.py of a folder with this name."""
    name, colons, rule = argument.partition("::")
    return f"{GATE}{colons}{rule}" if name == GATE.name else argument


def _is_importable() -> bool:
    """Whether the gate's name imports the gate, and not a package of the project."""
    spec = find_spec(GATE.name)
    return spec is not None and Path(spec.origin or "").resolve() == GATE / "__init__.py"


def unknown_options(message: str) -> list[str]:
    """Return the names of the options that pytest's message calls unknown; a word after them may be a key."""
    unknown = UNRECOGNIZED.fullmatch(message)
    words = unknown["words"].split() if unknown else []
    return [name for word in words if OPTION.fullmatch(name := word.partition("=")[0])]


def _explain_unknown_options(error: BaseException | None, places: Sequence[str]) -> None:
    """Replace pytest's message about the gate's options in a run that does not name the gate.

    pytest's own message would print their values, which may be keys.
    """
    if not isinstance(error, pytest.UsageError) or not (options := unknown_options(str(error))):
        return
    names_gate = any(re.split("[/.:]", place)[0] == GATE.name for place in places)
    if names_gate or OPTION_NAMES.intersection(options):
        error.args = (
            f"unrecognized arguments: {' '.join(options)}. To run the contract gate, name it by --pyargs "
            f"{GATE.name}, or a part of it by --pyargs {GATE.name}.test_auth",
        )


def _refuse_another_copy(places: Sequence[str], folder: Path) -> None:
    """Reject a checkout if the installed gate is another copy, because the options would be unknown."""
    for place in places:
        path = (folder / place.split("::")[0]).resolve()
        copies = [each for each in (path, *path.parents) if each.name == GATE.name and _has_rules(each)]
        if copies:
            raise pytest.UsageError(
                f"{copies[0]} is not the installed gate, which is {GATE}. Install this checkout with pip install -e, "
                "or name the installed gate with --pyargs contract_tests"
            )


def _refuse_a_hidden_gate(names: Sequence[str], args: Sequence[str], folder: Path) -> None:
    """Reject the name of the gate if it is another package, and the run has a deployment or keys for the gate."""
    is_named = any(re.split("[.:]", name)[0] == GATE.name for name in names)
    has_base_url = "PYTEST_BASE_URL" in os.environ or any(word.option == "--base-url" for word in words(args))
    if is_named and (has_base_url or any(name.startswith("CONTRACT_API_KEY") for name in os.environ)):
        _remove_earlier_reports(args, folder)
        raise pytest.UsageError(HIDDEN)


def _has_rules(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("run/plugin.py", "run/verdicts.py", "test_auth.py"))


def _refuse_mistyped_secret_option(args: Sequence[str]) -> None:
    """Reject a misspelled secret option before argparse prints the command line, which contains a key."""
    from difflib import get_close_matches

    for word in words(args):
        option = word.option.split(" ")[0]
        if option in SECRET_OPTIONS | {"--no-header"} or option[:2] not in {"--", "-a", "-h"}:
            continue
        if near := get_close_matches("--" + option.lstrip("-"), SECRET_OPTIONS, cutoff=0.7):
            raise pytest.UsageError(f"unknown option {option}; did you mean {' or '.join(sorted(near))}?")


def _refuse_empty_value(args: Sequence[str]) -> None:
    """Reject an empty value, as from an unset variable, which would be ignored, or be a path to collect."""
    for word in words(args):
        if word.option in WITH_VALUE and word.value == "":
            raise pytest.UsageError(f"{word.option}: the value is empty. Is a variable not set?")


def _refuse_second_value(args: Sequence[str], folder: Path, *, pyargs: bool) -> None:
    """Reject a second key after an option that takes one, before pytest prints it as a path that it cannot find."""
    for word in words(args):
        further = args[word.end :] if word.option in SECRET_OPTIONS else ()
        for argument in takewhile(lambda each: not each.startswith("-"), further):
            path = folder / argument.split("::")[0]
            if not (_is_of_the_gate(argument, folder, pyargs=pyargs) or os.path.lexists(path)):
                raise pytest.UsageError(
                    f"{word.option}: the word after its value is not a file or folder. Repeat the option for each value"
                )


def _refuse_unredacted_output(config: pytest.Config) -> None:
    """Reject options whose output the gate cannot redact."""
    known = config.known_args_namespace
    if known.debug or "PYTEST_DEBUG" in os.environ:
        raise pytest.UsageError("--debug, PYTEST_DEBUG: pytest's own trace would show the keys. Leave them out")
    if getattr(known, "pastebin", None):
        raise pytest.UsageError("--pastebin: it publishes the output before keys are redacted. Leave the option out")
