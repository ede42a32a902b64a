"""Errors of the control API, which are responses with a status code from 300 on."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from mock_server.web.responses import error_response


class ControlError(Exception):
    """A request that the control API rejects.

    Args:
        status: The status code.
        reason: A word for programs, the value of `Mock-Reason`.
        detail: The reason for people.
        headers: Further headers.
    """

    def __init__(self, status: int, reason: str, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.reason, self.headers = status, reason, headers

    def response(self) -> web.Response:
        """Return the response."""
        return error_response(self.status, str(self), self.reason, headers=self.headers).response()
