"""Errors that a user can repair: a command reports their text, and no traceback."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from mock_server.command.errors import report
from mock_server.fixtures.problems import text_of
from mock_server.fixtures.validation import FixtureError
from mock_server.options import OptionError
from mock_server.suggestions import UnknownNameError
from usage_contract import ContractError, SourceError

USER_ERRORS = (FixtureError, UnknownNameError, ContractError, SourceError, OSError, UnicodeError)

P = ParamSpec("P")


def reporting(work: Callable[P, int]) -> Callable[P, int]:
    """Return work that reports the errors of a user, and returns the exit code."""

    @wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return work(*args, **kwargs)
        except KeyboardInterrupt:
            return 0
        except (OptionError, *USER_ERRORS) as error:
            return report(text_of(error))

    return run
