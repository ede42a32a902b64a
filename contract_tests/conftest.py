"""The observations: each is asked for once, and every rule that needs it looks at the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract_tests import keys
from contract_tests.clock import REAL_TIME
from contract_tests.facts import NEEDS_AUTH_ERRORS
from contract_tests.figures import READING, Figures
from contract_tests.first_request import first_answer, try_further_keys
from contract_tests.gate import OPERATION, Gate
from contract_tests.message import Answer, Credential
from contract_tests.not_tested import NotTested
from contract_tests.rules import rule_of
from contract_tests.transport import Transport
from contract_tests.validation import contract, invalid_members

HERE = Path(__file__).resolve().parent
MAIN_SAMPLE = 24  # a deployment that errs once in eight answers escapes this many with 4 %
OTHER_SAMPLE = 9
REFUSED_SAMPLE = 5


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to run half a gate where its plugin was not loaded."""
    named = [(config.invocation_params.dir / argument.split("::")[0]).resolve() for argument in config.args]
    if any(path == HERE or HERE in path.parents for path in named):
        _refuse_without_plugin(config)


def pytest_collection_modifyitems(config: pytest.Config) -> None:
    """Refuse it also where the gate is named by its package: pytest reads this file while it collects."""
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
    return config.pluginmanager.has_plugin("contract_tests.plugin")


@pytest.fixture(scope="session")
def gate(pytestconfig: pytest.Config) -> Iterator[Gate]:
    """The deployment under test."""
    from contract_tests.plugin import clock_key, settings_key, verdicts_key

    settings, verdicts = pytestconfig.stash[settings_key], pytestconfig.stash[verdicts_key]
    if verdicts.gate is None:  # a plugin that repeats the last rule sets this up once more
        transport = Transport(settings, pytestconfig.stash.get(clock_key, REAL_TIME))
        verdicts.gate = Gate(settings, contract(settings.level), transport)
    yield verdicts.gate
    verdicts.gate.transport.close()


@pytest.fixture(scope="session", autouse=True)
def first(gate: Gate, request: pytest.FixtureRequest) -> Answer:
    """The first 200 to the main key: what stands behind every rule."""
    return first_answer(gate, request.session)


@pytest.fixture(scope="session", autouse=True)
def observations(request: pytest.FixtureRequest, gate: Gate, first: Answer) -> None:
    """Ask first for what several rules look at: it tells most, should the time run out."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    of_facts = {"refused"} if any(set(NEEDS_AUTH_ERRORS) & set(rule_of(item).facts) for item in items) else set()
    for name in ("sample", "further_keys", "refused", "others"):
        if name in {*of_facts, "further_keys"} or any(name in item.fixturenames for item in items):
            request.getfixturevalue(name)
    gate.shared = gate.shared or len(gate.transport.journal)


@pytest.fixture(autouse=True)
def needed_facts(request: pytest.FixtureRequest, gate: Gate, observations: None) -> None:
    """Skip the rule where the deployment lacks a fact that it needs; set up before the rule's own fixtures."""
    for fact in rule_of(request.node).facts:
        if not fact.holds(gate.baseline):
            raise NotTested(fact.missing, because=fact.reported_by)


@pytest.fixture(scope="session")
def sample(gate: Gate, first: Answer) -> list[Answer]:
    """Plain answers to the main key."""
    return [first, *gate.ask_often(MAIN_SAMPLE - 1, gate.main)]


@pytest.fixture(scope="session")
def further_keys(gate: Gate) -> None:
    """The first exchange with each further key, whichever rules are selected."""
    try_further_keys(gate)


@pytest.fixture(scope="session")
def others(gate: Gate, further_keys: None) -> list[Answer]:
    """Plain answers to each further key."""
    answers: list[Answer] = []
    for key in gate.keys[1:]:
        first_with = gate.first_with.get(key, [])
        answers += [*first_with, *gate.ask_often(OTHER_SAMPLE - len(first_with), key)]
    return answers


@pytest.fixture(scope="session")
def refused(gate: Gate) -> dict[Credential | None, list[Answer]]:
    """Plain answers to no key, and to a key that nobody issued; where the run is short there may be none."""
    return {key: gate.ask_often(REFUSED_SAMPLE, key) for key in (None, keys.UNKNOWN)}


@pytest.fixture(scope="session")
def missing(refused: dict[Credential | None, list[Answer]]) -> list[Answer]:
    """Plain answers to requests without a key; NotTested without any."""
    return _some(refused[None], "no key")


@pytest.fixture(scope="session")
def unknown(refused: dict[Credential | None, list[Answer]]) -> list[Answer]:
    """Plain answers to a key that nobody issued; NotTested without any."""
    return _some(refused[keys.UNKNOWN], keys.UNKNOWN.told)


def _some(answers: list[Answer], who: str) -> list[Answer]:
    if not answers:
        raise NotTested(f"no plain request with {who} was sent")
    return answers


@pytest.fixture(scope="session")
def shared(
    sample: list[Answer], others: list[Answer], refused: dict[Credential | None, list[Answer]]
) -> tuple[Answer, ...]:
    """The plain answers that most rules look at."""
    return (*sample, *others, *(answer for answers in refused.values() for answer in answers))


@pytest.fixture(scope="session")
def good(gate: Gate, shared: tuple[Answer, ...]) -> list[Answer]:
    """Those that must be a 200 with figures."""
    return [answer for answer in shared if gate.is_good(answer)]


@pytest.fixture(scope="session")
def figures(good: list[Answer]) -> list[Figures]:
    """The usage metrics of every 200 response that can be read, without members that are not valid."""
    readable = [answer for answer in good if answer.status == 200 and answer.ending == "complete" and answer.object]
    if not readable:
        raise NotTested("no 200 response has a body that can be read", because=READING)
    return [Figures(answer, invalid_members(OPERATION, answer)) for answer in readable]


@pytest.fixture(scope="session")
def journal(gate: Gate, shared: object) -> tuple[Answer, ...]:
    """Every answer of the run; rules that use it come last."""
    return tuple(gate.transport.journal)


@pytest.fixture(scope="session")
def later(gate: Gate, good: list[Answer], journal: tuple[Answer, ...]) -> list[Answer]:
    """All other answers that grant what was asked."""
    seen = {id(answer) for answer in good}
    return [answer for answer in journal if gate.is_granted(answer) and id(answer) not in seen]
