"""The application: the only place where options become objects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

from aiohttp import web

from mock_server.control.api import Control
from mock_server.fixtures.deployments import Deployment, load_deployment
from mock_server.fixtures.faults import Fault, load_fault
from mock_server.fixtures.library import Library
from mock_server.options import MockOptions
from mock_server.simulation.clock import MockClock, wall_clock
from mock_server.simulation.journal import Journal
from mock_server.simulation.overrides import FaultUse, Override
from mock_server.simulation.simulator import Simulator
from mock_server.simulation.state import MemoryState, State
from mock_server.web.cors import CROSS_ORIGIN
from mock_server.web.dispatcher import DISPATCHER, Dispatcher
from mock_server.web.mock import MOCK, Mock
from mock_server.web.routes import Routes, build_routes
from mock_server.web.usage import Usage
from usage_contract import Contract

DEFAULT = MockOptions()


def make_app(
    contract: Contract,
    options: MockOptions = DEFAULT,
    *,
    deployment: Deployment | None = None,
    fault: Fault | None = None,
    clock: Callable[[], float] = wall_clock,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    state: State | None = None,
) -> web.Application:
    """Build the mock of a contract.

    Args:
        contract: The contract.
        options: The options.
        deployment: The deployment, instead of a file of the fixture folder.
        fault: The fault from the start, instead of a file of the fixture folder.
        clock: Returns seconds since the Unix epoch.
        sleep: Waits for a number of seconds.
        state: The shared state, instead of the one that the options name.

    Raises:
        ContractError: The mock cannot simulate the contract.
        UnknownNameError: The fixture folder does not have a deployment, scenario or fault.
        FixtureError: A fixture file cannot be used.
        DelayError: The delay is not valid.
        StateUnavailableError: The URL of the state is not valid.
    """
    if fault is None and options.fault_name:
        fault = load_fault(options.fault_name, options.fixture_folder)
    library = _library(options, deployment, fault)
    dispatcher_class: type[Dispatcher] = Dispatcher
    if state is None and options.state is not None:
        from mock_server.shared_state.redis_state import RedisState

        state = RedisState(options.state, library.deployment.name)
    if state is not None and not isinstance(state, MemoryState):
        from mock_server.shared_state.dispatcher import SharedDispatcher

        dispatcher_class = SharedDispatcher
    start = Override(options.scenario, None, _start_use(fault, options.fault_number), options.delay_text)
    simulator = Simulator(
        library,
        MockClock(clock),
        start=start,
        state=state,
        journal=Journal(options.journal),
        seed=options.seed,
    )
    mock = Mock(simulator, _routes(contract, options, simulator), sleep=sleep, cors=options.cors)
    control = Control(mock, options.control_token)
    app = web.Application()
    app[MOCK] = mock
    app[DISPATCHER] = dispatcher_class(mock, control)
    app.router.add_route("*", "/{path:.*}", app[DISPATCHER].__call__)  # for another server than the mock's own
    app.cleanup_ctx.append(partial(_connected, simulator))
    app.on_shutdown.append(control.stop)
    return app


def read_files(contract: Contract, options: MockOptions, simulator: Simulator) -> tuple[Library, Routes]:
    """Return the fixtures and routes of a running mock, as its files are now; see `Mock.swap_fixtures`.

    Raises what `make_app` raises.
    """
    fault = load_fault(options.fault_name, options.fixture_folder) if options.fault_name else None
    library = _library(options, None, fault)
    simulator.check_library(library)
    return library, _routes(contract, options, simulator)


def _library(options: MockOptions, deployment: Deployment | None, fault: Fault | None) -> Library:
    library = Library(deployment or load_deployment(options.deployment, options.fixture_folder), options.fixture_folder)
    if fault:
        library.add(fault)
    return library


def _routes(contract: Contract, options: MockOptions, simulator: Simulator) -> Routes:
    usage = Usage(
        contract.operations["get_usage"],
        simulator,
        cost=int(options.rate_limit),
        unknown_key_status=options.unknown_key_status,
        headers=CROSS_ORIGIN if options.cors else {},
    )
    return build_routes(contract, usage)


def _start_use(fault: Fault | None, number: int | None) -> FaultUse | None:
    if fault is None:
        return None
    if number is None:
        return FaultUse(fault.name, use="the start")
    # A shared state outlives the start: another start must not continue its count.
    return FaultUse(fault.name, number - 1, 1, use=f"the start {fault.name}@{number}", is_unconditional=True)


async def _connected(simulator: Simulator, _: web.Application) -> AsyncIterator[None]:
    try:
        await simulator.catch_up()
        yield
    finally:
        await simulator.state.close()
