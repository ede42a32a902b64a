"""The command `usage-mock`: serve a deployment, or check a folder of fixtures."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from mock_server.options import OPTIONS, Config, Option, OptionError, configured
from mock_server.streams import prepare_streams
from mock_server.suggestions import advice

if TYPE_CHECKING:
    import ssl

    from aiohttp import web

    from mock_server.simulation.state import State

# What is slow to import is imported where it is used, so that `--help` and a wrong option answer at once.

FAILED = 4
COMMANDS = ("check",)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, or 4 when something kept it from its work."""
    prepare_streams()
    try:
        given = _parsed(sys.argv[1:] if arguments is None else arguments)
        config = configured(vars(given), os.environ)
    except OptionError as error:
        _complain(str(error))
        return FAILED
    return _guarded(lambda: _check(given.folder or config.fixtures) if given.command else _serve(config))


def _guarded(work: Callable[[], int]) -> int:
    try:
        return work()
    except KeyboardInterrupt:
        return 0
    except _expected() as error:
        from mock_server.fixtures.problems import text_of

        _complain(text_of(error))
        return FAILED


def _complain(text: str) -> None:
    for line in text.splitlines():
        sys.stderr.write(f"usage-mock: {line}\n")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise OptionError([f"{message}; `usage-mock --help` lists the options"])


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    known = ["--", "--help", *(flag for option in OPTIONS for flag in option.flags)]
    flags = [each.partition("=")[0] for each in arguments if each.startswith("--")]
    if unknown := [each for each in flags if each not in known]:
        more = "`usage-mock --help` lists them"
        raise OptionError(f"{each} is no option; {advice(each, known, more)}" for each in unknown)
    given = _parser().parse_intermixed_args(arguments)
    if given.command not in (None, *COMMANDS):
        raise OptionError([f"{given.command!r} is no command; {advice(given.command, COMMANDS)}"])
    return given


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="usage-mock",
        description="Serve a mock of GET /usage, or check a fixture folder.",
        epilog="Each option is also a variable USAGE_MOCK_NAME and a key of usage-mock.toml.",
        allow_abbrev=False,
    )
    for option in OPTIONS:
        _add(parser, option)
    parser.add_argument("command", nargs="?", metavar="check", help="validate every file of a fixture folder, and end")
    parser.add_argument("folder", nargs="?", type=Path, metavar="DIR", help="what to check instead of --fixtures")
    return parser


def _add(parser: argparse.ArgumentParser, option: Option) -> None:
    default = "" if option.default is None else f" (default: {option.default})"
    if option.is_switch:
        action = argparse.BooleanOptionalAction
        text = f"{option.help} (default: {'on' if option.default else 'off'})"
        parser.add_argument(f"--{option.name}", action=action, default=argparse.SUPPRESS, help=text)
    else:
        text = option.help + default
        parser.add_argument(f"--{option.name}", metavar=option.metavar, default=argparse.SUPPRESS, help=text)


def _expected() -> tuple[type[Exception], ...]:
    """Return the errors whose text is all that a user needs: no traceback."""
    from mock_server.command.reload import EXPECTED

    return OptionError, *EXPECTED


def _serve(config: Config) -> int:
    import signal

    # A supervisor may stop the process before the loop listens to signals.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return _serve_alone(config) if config.workers == 1 else _serve_with_others(config)


def _serve_with_others(config: Config) -> int:
    from mock_server import app  # noqa: F401 - once for all, before they part
    from mock_server.command import serve, workers  # noqa: F401

    if config.state is None:
        reason = "without a shared state each process would have tokens and figures of its own"
        raise OptionError([f"--workers needs --state redis://HOST: {reason}"])
    if not workers.IS_POSSIBLE:
        raise OptionError(["--workers needs a system with fork and SO_REUSEPORT, such as Linux; start one process"])
    return workers.supervise(
        config.host,
        config.port,
        config.workers,
        lambda port: _guarded(lambda: _serve_alone(replace(config, port=port))),
    )


def _serve_alone(config: Config) -> int:
    import asyncio

    from mock_server.command.serve import attended
    from mock_server.web.server import new_event_loop, serve_until_signalled

    app, tls = _app(config), _tls(config)

    async def serve() -> None:
        async with attended(app, config, lambda: _app(replace(config, state=None))):
            await serve_until_signalled(
                app, config.host, config.port, tls=tls, grace=config.grace, shares_port=config.workers > 1
            )

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve())
    return 0


def _tls(config: Config) -> ssl.SSLContext | None:
    if config.tls_cert is None and config.tls_key is None:
        return None
    if config.tls_cert is None or config.tls_key is None:
        raise OptionError(["--tls-cert and --tls-key go together; one of them is missing"])
    from mock_server.web.tls import CertificateError, server_context

    try:
        return server_context(config.tls_cert, config.tls_key)
    except CertificateError as error:
        raise OptionError([f"--tls-cert: {error}"]) from None


def _app(config: Config) -> web.Application:
    from mock_server.app import make_app
    from mock_server.fixtures.delays import DelayError
    from mock_server.fixtures.deployments import load_deployment
    from mock_server.fixtures.faults import load_fault
    from mock_server.simulation.journal import Journal
    from usage_contract import load

    name, nth = _fault_at(config.fault)
    try:
        return make_app(
            load("documented"),
            load_deployment(config.deployment, config.fixtures),
            rate_limited=config.rate_limit,
            unknown_key_status=config.unknown_key_status,
            fault=load_fault(name, config.fixtures) if name else None,
            fault_at=nth,
            scenario=config.scenario,
            delay=config.delay,
            seed=config.seed,
            fixtures=config.fixtures,
            journal=Journal(config.journal),
            cors=config.cors,
            state=_state(config),
            control_token=config.control_token,
        )
    except DelayError as error:
        raise OptionError([f"--delay: {error}"]) from None


def _state(config: Config) -> State | None:
    if config.state is None:
        return None
    from mock_server.simulation.state import StateUnavailableError

    try:
        from mock_server.shared_state.redis_state import RedisState

        return RedisState(config.state, config.deployment)
    except StateUnavailableError as error:
        raise OptionError([f"--state: {error}"]) from None


def _fault_at(text: str | None) -> tuple[str | None, int | None]:
    """Read `NAME` or `NAME@NTH`."""
    name, at, nth = (text or "").partition("@")
    if at and not (name and nth.isascii() and nth.isdecimal() and int(nth)):
        raise OptionError([f"--fault: {text!r} is no NAME@NTH, in which NTH is the number of a request, from 1"])
    return name or None, int(nth) if at else None


def _check(fixtures: Path | None) -> int:
    from mock_server.fixtures.deployments import deployment_names, load_deployment
    from mock_server.fixtures.faults import fault_names, load_fault
    from mock_server.fixtures.scenarios import load_scenario, scenario_names

    fine = [
        _all_fine("deployments", deployment_names(fixtures), lambda name: load_deployment(name, fixtures)),
        _all_fine("scenarios", scenario_names(fixtures), lambda name: load_scenario(name, fixtures)),
        _all_fine("faults", fault_names(fixtures), lambda name: load_fault(name, fixtures)),
    ]
    return 0 if all(fine) else FAILED


def _all_fine(what: str, names: Sequence[str], load: Callable[[str], object]) -> bool:
    from mock_server.fixtures.problems import text_of
    from mock_server.fixtures.validation import FixtureError

    fine = 0
    for name in names:
        try:
            load(name)
            fine += 1
        except FixtureError as error:
            _complain(text_of(error))
    if names:
        sys.stdout.write(f"{fine} of {len(names)} {what} are fine\n")
    return fine == len(names)
