"""A mock of the 55 Tech Scraping API's `GET /usage`: the OpenAPI document and a fixture, served.

The names below are imported when they are first used: `usage-mock --help` must not wait for aiohttp.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mock_server.app import make_app as make_app
    from mock_server.fixtures.delays import DelayError as DelayError
    from mock_server.fixtures.deployments import Calls as Calls
    from mock_server.fixtures.deployments import Deployment as Deployment
    from mock_server.fixtures.deployments import FactsError as FactsError
    from mock_server.fixtures.deployments import Key as Key
    from mock_server.fixtures.deployments import Rate as Rate
    from mock_server.fixtures.deployments import RateLimit as RateLimit
    from mock_server.fixtures.deployments import load_deployment as load_deployment
    from mock_server.fixtures.faults import Fault as Fault
    from mock_server.fixtures.faults import load_fault as load_fault
    from mock_server.fixtures.validation import FixtureError as FixtureError
    from mock_server.journal.entry import Entry as Entry
    from mock_server.journal.entry import Message as Message
    from mock_server.options import MockOptions as MockOptions
    from mock_server.options import OptionError as OptionError
    from mock_server.simulation.clock import ClockRangeError as ClockRangeError
    from mock_server.simulation.simulator import RevokedKeyError as RevokedKeyError
    from mock_server.simulation.simulator import TotalRangeError as TotalRangeError
    from mock_server.simulation.simulator import UnknownKeyError as UnknownKeyError
    from mock_server.simulation.state import StateUnavailableError as StateUnavailableError
    from mock_server.simulation.unused import UnusedOverrideWarning as UnusedOverrideWarning
    from mock_server.suggestions import UnknownNameError as UnknownNameError
    from mock_server.testing.async_usage_mock import AsyncUsageMock as AsyncUsageMock
    from mock_server.testing.usage_mock import UsageMock as UsageMock
    from mock_server.web.answers import ResponseError as ResponseError
    from mock_server.web.preferences import CodeError as CodeError
    from mock_server.web.server import CertificateError as CertificateError

# The public names by the module that defines them.
_NAMES = {
    "app": ("make_app",),
    "fixtures.delays": ("DelayError",),
    "fixtures.deployments": ("Calls", "Deployment", "FactsError", "Key", "Rate", "RateLimit", "load_deployment"),
    "fixtures.faults": ("Fault", "load_fault"),
    "fixtures.validation": ("FixtureError",),
    "journal.entry": ("Entry", "Message"),
    "options": ("MockOptions", "OptionError"),
    "simulation.clock": ("ClockRangeError",),
    "simulation.simulator": ("RevokedKeyError", "TotalRangeError", "UnknownKeyError"),
    "simulation.state": ("StateUnavailableError",),
    "simulation.unused": ("UnusedOverrideWarning",),
    "suggestions": ("UnknownNameError",),
    "testing.async_usage_mock": ("AsyncUsageMock",),
    "testing.usage_mock": ("UsageMock",),
    "web.answers": ("ResponseError",),
    "web.preferences": ("CodeError",),
    "web.server": ("CertificateError",),
}

_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = list(_HOME)


def _import_aiohttp_without_key_log(path: str) -> None:
    """Import aiohttp, which makes TLS contexts at once, where the file of SSLKEYLOGFILE cannot be written."""
    try:
        with open(path, "ab"):  # noqa: PTH123 - pathlib is slow to import
            return
    except OSError:
        del os.environ["SSLKEYLOGFILE"]
    try:
        import_module("aiohttp")
    finally:
        os.environ["SSLKEYLOGFILE"] = path


if "SSLKEYLOGFILE" in os.environ:
    _import_aiohttp_without_key_log(os.environ["SSLKEYLOGFILE"])


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
