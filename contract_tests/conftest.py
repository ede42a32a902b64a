"""The exchanges that rules share: each is sent once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from contract_tests.metrics.schema import contract, invalid_members
from contract_tests.metrics.view import UsageMetrics
from contract_tests.run.baseline import BaselineSender
from contract_tests.run.first_request import first_response, try_further_keys
from contract_tests.run.plan import AUTH_ERROR_SAMPLE, MAIN_KEY_SAMPLE, OTHER_KEY_SAMPLE, shared_fixtures
from contract_tests.run.recorded import recorded_runner, recording_key
from contract_tests.run.runner import Runner, clock_key
from contract_tests.run.verdicts import verdicts_key
from contract_tests.support import wrong_keys
from contract_tests.support.facts import NEEDS_AUTH_ERRORS, READING, check_facts
from contract_tests.support.gate import OPERATION, Gate
from contract_tests.support.rules import rule_of
from contract_tests.wire.clock import REAL_TIME
from contract_tests.wire.messages import AUTH_ERRORS, Credential, Exchange, Exchanges, label_of
from contract_tests.wire.not_tested import NotTested, or_not_tested
from contract_tests.wire.transport import Transport

UNDOCUMENTED_QUERY = (
    "verbose=true&debug=1&admin=true&internal=1&all=1&include=all&expand=all&trace=1&details=true&show_keys=1&raw=1"
    "&fields=*"
)
HERE = Path(__file__).resolve().parent
AuthErrors = dict[Credential | None, list[Exchange]]


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to run the rules without the gate's plugin."""
    named = [(config.invocation_params.dir / argument.split("::")[0]).resolve() for argument in config.args]
    if any(path == HERE or HERE in path.parents for path in named):
        _refuse_without_plugin(config)


def pytest_collection_modifyitems(config: pytest.Config) -> None:
    """Check again after collection: with --pyargs, pytest loads this file too late for `pytest_configure`."""
    if config.option.pyargs and any(argument.split(".")[0].split("::")[0] == HERE.name for argument in config.args):
        _refuse_without_plugin(config)


def _refuse_without_plugin(config: pytest.Config) -> None:
    if not _is_loaded(config):
        raise pytest.UsageError(
            "the gate's plugin is not loaded. Leave pytest's plugin autoloading on, and install this copy of the gate"
        )


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Leave the rules out of a run that does not name the gate, such as `pytest .`."""
    return None if _is_loaded(config) else True


def _is_loaded(config: pytest.Config) -> bool:
    return config.pluginmanager.has_plugin("contract_tests.run.plugin")


@pytest.fixture(scope="session")
def runner(pytestconfig: pytest.Config) -> Iterator[Runner]:
    """The runner of all rules."""
    verdicts = pytestconfig.stash[verdicts_key]
    if verdicts.runner is None:  # a plugin that repeats the last rule sets this up once more
        settings = verdicts.settings
        if recording := pytestconfig.stash[recording_key]:
            verdicts.runner = recorded_runner(settings, recording)
        else:
            transport = Transport(settings, pytestconfig.stash.get(clock_key, REAL_TIME))
            verdicts.runner = Runner(BaselineSender(Gate(settings, contract(settings.level), transport)))
    yield verdicts.runner
    verdicts.runner.transport.close()


@pytest.fixture(scope="session")
def gate(runner: Runner) -> Gate:
    """The deployment under test."""
    return runner.gate


@pytest.fixture(scope="session")
def client(gate: Gate) -> Gate:
    """The deployment under test, for rules that send requests: they cannot be tested on recorded traffic."""
    return gate


@pytest.fixture(scope="session")
def first_ok(runner: Runner, request: pytest.FixtureRequest) -> Exchange:
    """The first 200 response to the main key; every rule of a run that sends requests needs it."""
    return first_response(runner.baseline, request.session)


@pytest.fixture(scope="session", autouse=True)
def baseline(request: pytest.FixtureRequest, runner: Runner) -> None:
    """Send the baseline requests that the selected rules need before the first rule runs."""
    if runner.transport.is_recorded:
        return
    needed = shared_fixtures(map(rule_of, request.session.items))
    for name in ("first_ok", "main_key_responses", "further_keys", "auth_errors", "other_key_responses"):
        if name in needed:
            request.getfixturevalue(name)
    runner.shared = runner.shared or len(runner.journal)


@pytest.fixture(autouse=True)
def needed_facts(request: pytest.FixtureRequest, gate: Gate, baseline: None) -> None:
    """Skip the rule where the deployment lacks a fact that it needs; set up before the rule's own fixtures."""
    check_facts(rule_of(request.node).needs, gate.baseline)


@pytest.fixture(scope="session")
def main_key_responses(runner: Runner, request: pytest.FixtureRequest) -> Exchanges:
    """Baseline exchanges with the main key; a recording may have none."""
    if runner.transport.is_recorded:
        return runner.baseline.sample(MAIN_KEY_SAMPLE, runner.gate.main) if runner.gate.keys else []
    first_ok = first_response(runner.baseline, request.session)
    return [first_ok, *runner.baseline.sample(MAIN_KEY_SAMPLE - 1, runner.gate.main)]


@pytest.fixture(scope="session")
def further_keys(runner: Runner) -> None:
    """The first exchange with each further key, whichever rules are selected."""
    try_further_keys(runner.baseline)


@pytest.fixture(scope="session")
def other_key_responses(runner: Runner, further_keys: None) -> Exchanges:
    """Baseline exchanges with each further key."""
    exchanges: list[Exchange] = []
    for key in runner.gate.keys[1:]:
        first_with = runner.baseline.first_with.get(key, [])
        exchanges += [*first_with, *runner.baseline.sample(OTHER_KEY_SAMPLE - len(first_with), key)]
    return exchanges


@pytest.fixture(scope="session")
def auth_errors(runner: Runner) -> AuthErrors:
    """Baseline exchanges without a key, and with an unknown key; there may be none where the run is short."""
    return {key: runner.baseline.sample(AUTH_ERROR_SAMPLE, key) for key in (None, wrong_keys.UNKNOWN)}


@pytest.fixture(scope="session")
def missing_key_responses(runner: Runner, auth_errors: AuthErrors) -> Exchanges:
    """Baseline exchanges without a key; NotTested if there are none."""
    return _not_empty(runner, auth_errors, None)


@pytest.fixture(scope="session")
def unknown_key_responses(runner: Runner, auth_errors: AuthErrors) -> Exchanges:
    """Baseline exchanges with an unknown key; NotTested if there are none."""
    return _not_empty(runner, auth_errors, wrong_keys.UNKNOWN)


def _not_empty(runner: Runner, auth_errors: AuthErrors, key: Credential | None) -> Exchanges:
    if not auth_errors[key]:
        reasons = (shortfall.reason for shortfall in runner.baseline.shortfalls if shortfall.key == key)
        raise NotTested(next(reasons, f"no recorded request with {label_of(key)} was refused"))
    return auth_errors[key]


@pytest.fixture(scope="session")
def baseline_responses(
    main_key_responses: Exchanges, other_key_responses: Exchanges, auth_errors: AuthErrors
) -> Exchanges:
    """All baseline exchanges; NotTested where a recording has none."""
    refused = (each for sample in auth_errors.values() for each in sample)
    exchanges = (*main_key_responses, *other_key_responses, *refused)
    if not exchanges:
        raise NotTested("the recording has no usual request that was accepted, and none that was refused")
    return exchanges


@pytest.fixture(scope="session")
def documented_errors(auth_errors: AuthErrors) -> Exchanges:
    """The complete baseline exchanges with status 401 or 403; NotTested without any."""
    complete = (each for each in chain.from_iterable(auth_errors.values()) if each.ending == "complete")
    exchanges = [exchange for exchange in complete if exchange.status in AUTH_ERRORS]
    if not exchanges:
        reported_by = [rule for fact in NEEDS_AUTH_ERRORS for rule in fact.reported_by]
        raise NotTested("no baseline request was refused with 401 or 403", because=reported_by)
    return exchanges


@pytest.fixture(scope="session")
def ok_responses(gate: Gate, baseline_responses: Exchanges) -> Exchanges:
    """The baseline exchanges whose response must be a 200 with usage metrics; NotTested if none is recorded."""
    return or_not_tested(filter(gate.must_be_ok, baseline_responses), "no request with a valid key is recorded")


@pytest.fixture(scope="session")
def usage_metrics(ok_responses: Exchanges) -> list[UsageMetrics]:
    """The usage metrics of every 200 response that can be read, without members that are not valid."""
    readable = [exchange for exchange in ok_responses if exchange.is_complete_200 and exchange.object]
    if not readable:
        raise NotTested("no 200 response has a body that can be read", because=READING)
    return [UsageMetrics(exchange, invalid_members(OPERATION, exchange)) for exchange in readable]


@pytest.fixture(scope="session")
def query_response(client: Gate) -> Exchange:
    """The exchange of a request with the main key and with query parameters that the document does not describe."""
    return client.send(client.main, "and undocumented query parameters", target=f"{client.path}?{UNDOCUMENTED_QUERY}")


@pytest.fixture
def journal(runner: Runner, main_key_responses: object, other_key_responses: object, auth_errors: object) -> Exchanges:
    """Every exchange of the run so far; rules that use it run last, and may send requests."""
    return tuple(runner.journal)


@pytest.fixture
def all_ok_responses(gate: Gate, ok_responses: object, journal: Exchanges) -> Exchanges:
    """Every exchange with a valid key whose response is a 200 to the operation; NotTested without a baseline one."""
    return list(filter(gate.is_ok, journal))


@pytest.fixture
def other_ok_responses(ok_responses: Exchanges, all_ok_responses: Exchanges) -> Exchanges:
    """The exchanges of `all_ok_responses` other than baseline ones, without zstd, which the gate does not decode."""
    known = {id(exchange) for exchange in ok_responses}
    return [each for each in all_ok_responses if id(each) not in known and not each.is_zstd]
