"""The pytest11 entry point: silent unless the command line names `contract_tests`."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent
KEY_OPTIONS = ("--api-key", "--api-key-file")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Load the gate's plugin when one of the arguments is this package, or lies in it."""
    if not any(_names_the_gate(argument, early_config.invocation_params.dir) for argument in args):
        return
    _refuse_mistyped_key_option(args)
    early_config.pluginmanager.import_plugin("contract_tests.plugin")


def _names_the_gate(argument: str, folder: Path) -> bool:
    place = argument.split("::")[0]
    if place.split(".")[0] == PACKAGE.name:
        return True
    path = (folder / place).resolve()
    return path == PACKAGE or PACKAGE in path.parents


def _refuse_mistyped_key_option(args: list[str]) -> None:
    """Stop before argparse would repeat the command line, key and all, in its own message."""
    for argument in args:
        option = argument.split("=")[0]
        is_near = difflib.get_close_matches(option, KEY_OPTIONS, cutoff=0.7)
        if option.startswith("--") and is_near and option not in KEY_OPTIONS:
            raise pytest.UsageError(f"unknown option {option}; did you mean --api-key or --api-key-file?")
