"""The application: the only place where options become objects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from mock_server.control.api import Control
from mock_server.fixtures.deployments import Deployment, Key, load_deployment
from mock_server.fixtures.faults import Fault
from mock_server.fixtures.files import NONE, check_folder, fixture_names
from mock_server.fixtures.library import Library
from mock_server.journal.journal import Journal
from mock_server.options import MockOptions, fault_names, texts
from mock_server.simulation.clock import MockClock, Sleep, wall_clock
from mock_server.simulation.overrides import FaultUse, Override
from mock_server.simulation.simulator import Simulator
from mock_server.simulation.state import State
from mock_server.suggestions import UnknownNameError
from mock_server.web.dispatcher import DISPATCHER, Dispatcher
from mock_server.web.mock import MOCK, Mock
from mock_server.web.routes import Routes, build_routes
from usage_contract import Contract

DEFAULT = MockOptions()


def make_app(
    contract: Contract,
    options: MockOptions = DEFAULT,
    *,
    deployment: Deployment | None = None,
    fault: Fault | None = None,
    clock: Callable[[], float] = wall_clock,
    sleep: Sleep = asyncio.sleep,
    state: State | None = None,
) -> web.Application:
    """Build the mock of a contract.

    Args:
        contract: The contract.
        options: The options.
        deployment: The deployment, instead of a file of the fixture folder.
        fault: A fault from the start beside those of the options, which can name it as NAME@N.
        clock: Returns seconds since the Unix epoch.
        sleep: Waits for a number of seconds.
        state: The shared state, instead of the one that the options name.

    Raises:
        ContractError: The mock cannot simulate the contract.
        UnknownNameError: The fixture folder does not have a deployment, scenario, fault or kind of server.
        FixtureError: A fixture file cannot be used.
        DelayError: The delay is not valid.
        StateUnavailableError: The URL of the state is not valid.
    """
    library = read_library(options, deployment)
    if fault:
        library.add(fault)
    dispatcher_class: type[Dispatcher] = Dispatcher
    if state is None and options.state is not None:
        from mock_server.shared_state.redis_state import RedisState

        state = RedisState(options.state, library.deployment.name)
    if state is not None:
        from mock_server.shared_state.dispatcher import SharedDispatcher

        dispatcher_class = SharedDispatcher
    start = _start_override(options, fault)
    simulator = Simulator(library, MockClock(clock), start=start, state=state, seed=options.seed)
    journal = Journal(options.journal, lambda: simulator.keys)
    mock = Mock(simulator, journal, build_routes(contract, simulator, options), sleep=sleep, cors=options.cors)
    control = Control(mock, options.control_token)
    app = web.Application()
    app[MOCK] = mock
    app[DISPATCHER] = dispatcher_class(mock, control)
    app.router.add_route("*", "/{path:.*}", app[DISPATCHER].__call__)  # for another server than the mock's own
    app.on_startup.append(lambda _: simulator.catch_up())
    app.on_cleanup.append(lambda _: simulator.state.close())
    app.on_shutdown.append(control.stop)
    return app


def _start_override(options: MockOptions, fault: Fault | None) -> Override:
    """Return the override of the options, with a fault beside theirs."""
    names = list(fault_names(options.fault))
    if fault and fault.name not in (name.partition("@")[0] for name in names):
        names = [*(name for name in names if name != NONE), fault.name]
    return Override(
        scenario=options.scenario,
        faults=() if names == [NONE] else tuple(map(_use_from_start, names)) or None,
        delay=options.delay_text,
        server=None if options.server is None else FaultUse(_server_name(options), use="the server"),
    )


def _server_name(options: MockOptions) -> str:
    """Return the name of the kind of server, which is a variant."""
    name, names = options.server or "", fixture_names(options.fixture_folder, "variants")
    if name not in names:
        other_kind = "fault" if name in fixture_names(options.fixture_folder, "faults") else ""
        raise UnknownNameError("server", name, names, other_kind)
    return name


def _use_from_start(text: str) -> FaultUse:
    """Return the use of `NAME` or `NAME@N`, where N is the number of a request."""
    name, _, number = text.partition("@")
    if not number:
        return FaultUse(name, use="the start")
    # A shared state outlives the start: another start must not continue the count.
    return FaultUse(name, after=int(number) - 1, times=1, use=f"the start {text}", is_unconditional=True)


def read_files(contract: Contract, options: MockOptions, simulator: Simulator) -> tuple[Library, Routes]:
    """Return the fixtures and routes of a running mock, as its files are now; see `Mock.swap_fixtures`.

    Raises what `make_app` raises.
    """
    library = read_library(options)
    simulator.check_library(library)
    return library, build_routes(contract, simulator, options)


def read_library(options: MockOptions, deployment: Deployment | None = None) -> Library:
    """Return the fixtures of a mock; a deployment replaces that of the fixture folder.

    Raises what `make_app` raises.
    """
    check_folder(options.fixture_folder)
    found = deployment or load_deployment(options.deployment, options.fixture_folder)
    if added := {key: Key() for key in texts(options.key) if key not in found.keys}:
        found = Deployment.validated(found.name, found.description, {**found.keys, **added}, found.public_keys)
    return Library(found, options.fixture_folder)
