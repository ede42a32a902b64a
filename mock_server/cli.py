"""The command `usage-mock`: serve a deployment, or check a folder of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

# What is slow to import is imported where it is used, so that `--help` and a wrong option answer at once.

FAILED = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, or 4 when something kept it from its work."""
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except KeyboardInterrupt:
        return 0
    except _expected() as error:
        _complain(error)
        return FAILED


def _complain(error: Exception) -> None:
    for line in str(error).splitlines():
        sys.stderr.write(f"usage-mock: {line}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="usage-mock", description="Serve a mock of GET /usage.")
    parser.set_defaults(run=_serve)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=port_number, default=8080, help="0 picks a free one (default: %(default)s)")
    parser.add_argument("--fixtures", type=Path, metavar="DIR", help="fixture folder (default: the shipped one)")
    parser.add_argument("--deployment", default="default", metavar="NAME", help="fixture (default: %(default)s)")
    parser.add_argument("--fault", metavar="NAME", help="what it does wrong: a file of faults/ or variants/")
    parser.add_argument("--no-rate-limit", action="store_true", help="never answer 429")
    parser.add_argument("--unknown-key-status", type=int, choices=(401, 403), default=403, help="default: %(default)s")
    commands = parser.add_subparsers(title="commands", metavar="")
    check = commands.add_parser("check", help="validate every deployment and fault of a fixture folder")
    check.add_argument("folder", nargs="?", type=Path, metavar="DIR", help="default: that of --fixtures")
    check.set_defaults(run=_check)
    return parser


def port_number(text: str) -> int:
    """Parse a port; argparse names this function in its complaint about what is no number."""
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is not between 0 and 65535")
    return port


def _expected() -> tuple[type[Exception], ...]:
    """Return the errors whose text is all that a user needs: no traceback."""
    from mock_server.fixtures import FixtureError
    from usage_contract import ContractError, OverlayError, SourceError

    return (FixtureError, ContractError, OverlayError, SourceError, OSError, UnicodeError)


def _serve(options: argparse.Namespace) -> int:
    import asyncio
    import signal

    # A supervisor may stop the process before the loop listens to signals.
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    from mock_server.app import make_app
    from mock_server.faults import load_fault
    from mock_server.fixtures import load_deployment
    from mock_server.serving import new_event_loop, serve_until_signalled
    from usage_contract import load

    app = make_app(
        load("documented"),
        load_deployment(options.deployment, options.fixtures),
        rate_limited=not options.no_rate_limit,
        unknown_key_status=options.unknown_key_status,
        fault=load_fault(options.fault, options.fixtures) if options.fault else None,
    )
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve_until_signalled(app, options.host, options.port))
    return 0


def _check(options: argparse.Namespace) -> int:
    from mock_server.faults import fault_names, load_fault
    from mock_server.fixtures import deployment_names, load_deployment

    fixtures = options.folder or options.fixtures
    deployments = _all_fine("deployments", deployment_names(fixtures), lambda name: load_deployment(name, fixtures))
    faults = _all_fine("faults", fault_names(fixtures), lambda name: load_fault(name, fixtures))
    return 0 if deployments and faults else FAILED


def _all_fine(what: str, names: Sequence[str], load: Callable[[str], object]) -> bool:
    from mock_server.fixtures import FixtureError

    fine = 0
    for name in names:
        try:
            load(name)
            fine += 1
        except FixtureError as error:
            _complain(error)
    if names:
        sys.stdout.write(f"{fine} of {len(names)} {what} are fine\n")
    return fine == len(names)
