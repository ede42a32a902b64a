"""What the control API refuses, and why."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from mock_server.web.responses import refusal


class Refused(Exception):  # noqa: N818 - it is an answer, and nothing went wrong
    """A request that is answered with a status from 400 on.

    `reason` is a word for programs, which `Mock-Reason` tells.
    """

    def __init__(self, status: int, reason: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.reason, self.headers = status, reason, headers

    def response(self) -> web.Response:
        """Return the answer."""
        return refusal(self.status, str(self), self.reason, self.headers).response()
