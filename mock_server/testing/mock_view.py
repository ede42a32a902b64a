"""A view of a mock: its keys, and the requests that it has received."""

from __future__ import annotations

import warnings
from typing import Unpack, cast

from aiohttp import web

from mock_server.journal.client_verdict import judge_client
from mock_server.journal.criteria import Criteria, OtherCriteria, check_criteria, differences
from mock_server.journal.entry import Entry
from mock_server.journal.journal import Journal
from mock_server.journal.verification import Expectation, verify
from mock_server.testing.arguments import check_integers, check_seconds
from mock_server.web.mock import MOCK


class MockView:
    """The keys and the journal of a mock; both outlive the server."""

    def __init__(self, app: web.Application) -> None:
        self._app = app

    @property
    def keys(self) -> tuple[str, ...]:
        """The API keys: those of the deployment in the order of its file, then those created at run time."""
        return tuple(self._app[MOCK].simulator.keys)

    @property
    def api_key(self) -> str:
        """The first API key."""
        return self.keys[0]

    @property
    def requests(self) -> tuple[Entry, ...]:
        """The journal: the requests since the last reset, oldest first, as many as the option `journal` keeps."""
        return tuple(self._journal().entries)

    def requests_of(self, key: str | None = None, **criteria: Unpack[OtherCriteria]) -> tuple[Entry, ...]:
        """Return the requests of the journal that meet all criteria.

        Args:
            key: The API key; None for any.
            criteria: Members of Criteria, such as `headers={"X-Trace": "t-17"}`.

        Raises:
            TypeError: A name is not a criterion, or a value has another type.
            ValueError: No request can meet a criterion.
            UnknownKeyError: The mock neither has the key, nor has it received a request with it.
        """
        wanted = self._criteria(key, criteria)
        return tuple(entry for entry in self.requests if not differences(entry, wanted))

    def verify(
        self,
        key: str | None = None,
        *,
        exactly: int | None = None,
        at_least: int | None = None,
        at_most: int | None = None,
        min_gap: float | None = None,
        **criteria: Unpack[OtherCriteria],
    ) -> None:
        """Check how often the mock has received requests that meet all criteria; by default, at least once.

        Args:
            key: The API key; None for any.
            exactly: The number of requests.
            at_least: The lowest number of requests.
            at_most: The highest number of requests.
            min_gap: The lowest number of seconds from one of these requests to the next, by the mock's clock.
            criteria: Members of Criteria, such as `path="/usage"`.

        Raises:
            AssertionError: The requests are not as expected; the text lists the closest ones, without keys.
            TypeError: A name is not a criterion, or a value has another type.
            ValueError: No request can meet a criterion, or a number is not valid.
            UnknownKeyError: The mock neither has the key, nor has it received a request with it.
        """
        __tracebackhide__ = True
        counts = {"exactly": exactly, "at_least": at_least, "at_most": at_most}
        check_integers(0, **{name: number for name, number in counts.items() if number is not None})
        if min_gap is not None:
            check_seconds("min_gap", min_gap)
        expectation = Expectation(exactly=exactly, at_least=at_least, at_most=at_most, min_gap=min_gap)
        simulator = self._app[MOCK].simulator
        found = verify(self._journal(), simulator.keys, self._criteria(key, criteria), expectation)
        if not found.is_ok:
            raise AssertionError(found.detail)

    def assert_well_behaved(self, key: str | None = None) -> None:
        """Check that the client has waited, has backed off and has kept its key out of URLs.

        Args:
            key: The key of the client; None for all requests, each key as a client of its own.

        Raises:
            AssertionError: The journal shows a lapse, has no request, or has dropped requests.

        Warns:
            UserWarning: The client has always waited for Retry-After, but did not back off.
        """
        simulator = self._app[MOCK].simulator
        __tracebackhide__ = True
        verdict = judge_client(self._journal(), simulator.keys, key)
        if not verdict.is_well_behaved:
            raise AssertionError(verdict.text)
        if verdict.evidence:
            warnings.warn(verdict.text, stacklevel=2)

    def _journal(self) -> Journal:
        """Return the journal, whose readers all call this method.

        Raises:
            RuntimeError: The mock has not been started.
        """
        return self._app[MOCK].journal

    def _criteria(self, key: str | None, others: OtherCriteria) -> Criteria:
        wanted = cast(Criteria, others if key is None else {"key": key, **others})
        check_criteria(wanted)
        if key is not None:
            self._app[MOCK].check_requested(key)
        return wanted
