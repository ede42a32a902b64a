"""The subject of a run: a deployment, the embedded mock, or recorded traffic."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contract_tests.metrics.schema import contract
from contract_tests.redaction.escaping import escaped
from contract_tests.run.key_sources import (
    BASE_URL,
    MAIN_KEY,
    keys_from,
    refuse_key_without_base_url,
    refuse_misspelt_variable,
)
from contract_tests.run.options import Settings, destination, deviations_from, settings_from
from contract_tests.run.recorded import settings_of
from contract_tests.support.examples import PROFILES
from contract_tests.support.gate import OPERATION
from contract_tests.traffic.har import read_har
from contract_tests.traffic.recording import Recording, TrafficError, recording_of
from contract_tests.wire.target import Target
from usage_contract import ContractError, SourceError
from usage_contract.levels import LEVELS
from usage_contract_pytest.arguments import OPTIONS, words

LISTS_OF_PYTEST = ("collectonly", "showfixtures", "show_fixtures_per_test", "cacheshow")


def sends_nothing(option: Any) -> bool:
    """Whether the options request a list, and not a run."""
    own = (destination(each.name) for each in OPTIONS if each.is_list)
    return any(getattr(option, name, None) for name in (*own, *LISTS_OF_PYTEST))


def subject_of(config: pytest.Config) -> tuple[Settings, Recording | None]:
    """Return the settings of a run, and the recorded traffic if it judges that.

    Raises:
        UsageError: An option, the contract or the traffic cannot be used.
    """
    option = config.option
    if not sends_nothing(option):
        with _contract_errors_as_usage_errors():
            for level in LEVELS:  # rules of a level above that of the run are reported as well
                contract(level)
    if not option.base_url and (name := _emptied(config.invocation_params.args)):
        raise pytest.UsageError(f"{name} is empty; leave it out to check the embedded mock")
    if option.contract_traffic:
        _refuse_options_for_requests(option)
        if not sends_nothing(option):
            return _recorded(option)
    return _settings(config), None


def _settings(config: pytest.Config) -> Settings:
    option, base_url = config.option, config.option.base_url
    refuse_misspelt_variable(os.environ, is_remote=bool(base_url))
    keys = keys_from(option.contract_api_key, os.environ if base_url else {}, option.contract_api_key_file)
    if base_url and not (keys or sends_nothing(option)):
        raise pytest.UsageError(f"no key: set {MAIN_KEY}, or give --api-key-file or --api-key")
    if base_url:
        return settings_from(config, _target(base_url), keys, embedded=False)
    if keys:
        raise pytest.UsageError("a key without --base-url: the embedded mock has its own keys")
    if sends_nothing(option):
        return settings_from(config, Target.parse("the mock's URL", "http://localhost"), (), embedded=True)
    refuse_key_without_base_url(os.environ)
    from contract_tests.run.embedded_mock import start  # imports the mock

    with _contract_errors_as_usage_errors():
        mock = start()
    config.add_cleanup(mock.close)
    keys = keys_from(mock.keys, {}, None)
    return settings_from(config, Target.parse("the mock's URL", mock.url), keys, embedded=True)


def _refuse_options_for_requests(option: Any) -> None:
    """Raise UsageError for an option that has no effect on a run over recorded traffic."""
    given = [each.name for each in OPTIONS if each.for_requests and getattr(option, destination(each.name))]
    if option.hypothesis_profile != PROFILES[0]:
        given.append("--hypothesis-profile")
    if given:
        raise pytest.UsageError(f"{given[0]}: it is for runs that send requests, and --traffic sends none")


def _recorded(option: Any) -> tuple[Settings, Recording]:
    refuse_misspelt_variable(os.environ, is_remote=True)
    base = _target(option.base_url) if option.base_url else None
    keys = keys_from(option.contract_api_key, os.environ, option.contract_api_key_file)
    operation = contract(option.contract_level).operation(OPERATION)
    try:
        recorded = [each for path in option.contract_traffic for each in read_har(Path(path))]
        recording = recording_of(recorded, operation, keys=keys, base=base)
    except TrafficError as error:
        raise pytest.UsageError(escaped(f"--traffic: {error}")) from None
    settings = settings_of(recording, option.contract_level)
    return replace(settings, deviations=deviations_from(option)), recording


@contextmanager
def _contract_errors_as_usage_errors() -> Iterator[None]:
    try:
        yield
    except (ContractError, SourceError) as error:
        raise pytest.UsageError(str(error)) from None


def _target(base_url: str) -> Target:
    """Read the base URL; an error names the variable if that has it."""
    return Target.parse(BASE_URL if os.environ.get(BASE_URL) == base_url else "--base-url", base_url)


def _emptied(arguments: Sequence[str | os.PathLike[str]]) -> str:
    """Return the option or the variable that gives an empty base URL, as from a variable that is not set."""
    given = any(word.option == "--base-url" and word.value == "" for word in words([*map(str, arguments)]))
    return "--base-url" if given else BASE_URL if os.environ.get(BASE_URL) == "" else ""
