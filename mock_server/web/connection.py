"""One connection of a client to the mock."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress

from aiohttp import web
from aiohttp.http import HttpProcessingError, HttpVersion10, HttpVersion11
from aiohttp.http_exceptions import LineTooLong

from mock_server.fixtures.edits import Edit, EditError, edited
from mock_server.journal.entry import ClientConnection
from mock_server.web.aiohttp_adapter import TOO_MANY_FIELDS, ServerConnection, cause_of, force_version
from mock_server.web.dispatcher import EVENT_STREAM, Dispatcher, is_control_path
from mock_server.web.fast_path import FastPath
from mock_server.web.raw_response import RawResponse
from mock_server.web.recording import SENT
from mock_server.web.responses import SERVER, error_response

# A client can send a long text as its key: such a key is unknown, not malformed.
MAX_FIELD_BYTES = 64 * 1024
MAX_FIELDS = 128

# The limit of the request target differs, because aiohttp's error states the limit and not the part of the request.
MAX_TARGET_BYTES = MAX_FIELD_BYTES - 1

# aiohttp quotes an unknown Expect, and raises UnicodeEncodeError if its bytes are not UTF-8.
MALFORMED = (HttpProcessingError, web.RequestPayloadError, UnicodeEncodeError)

# The method and the path of a request.
REQUEST_START = re.compile(rb"[A-Z]+ (?:http://[^/ ]*)?(/[^? ]*)")


class Connection(ServerConnection):
    """A connection whose errors have a JSON body, with a fast path for repeated requests.

    Args:
        server: aiohttp's server.
        dispatcher: Receives the requests.
        loop: The event loop.
    """

    def __init__(self, server: web.Server, dispatcher: Dispatcher, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # None switches it off
            auto_decompress=False,  # no operation reads a body
            max_field_size=MAX_FIELD_BYTES,
            max_headers=MAX_FIELDS,
            max_line_size=MAX_TARGET_BYTES,
        )
        self._dispatcher = dispatcher
        #: The connection as the journal knows it.
        self.client = ClientConnection(dispatcher.mock.journal.number)
        self._fast_path = FastPath(dispatcher.answer_repeat, self.client)
        self._responses = 0
        self._is_unending = False
        self._is_control_request = False

    def data_received(self, data: bytes) -> None:
        """Handle received bytes, on the fast path if they repeat a request."""
        edits, transport = self._dispatcher.received_edits, self.transport
        if not edits and transport is not None and not self.writing_paused:
            response = self._fast_path.respond(data)
            if response is not None:
                transport.write(response)
                self.restart_keepalive()
                return
        self._fast_path.observe(data, is_idle=not edits and self._responses == self.requests_received)
        super().data_received(self._edit(data, edits) if edits else data)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio evaluates it, and aiohttp returns nothing
        """Keep the connection for the responses to complete requests: the client can have closed its own side only.

        A client that has gone looks the same, so the connection is not kept for a response without an end.
        TLS has no such state.
        """
        if self._is_unending or self.transport is None or self.transport.get_extra_info("sslcontext"):
            return False
        target = self.last_target
        if target is None or self._responses == self.requests_received:
            return False
        self.is_half_closed = target.partition("?")[0] != EVENT_STREAM
        return self.is_half_closed

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Respond to a malformed request; any other exception is a defect of the mock, which aiohttp logs."""
        if isinstance(exc, ConnectionError) and self.transport is None:
            raise exc
        if isinstance(exc, MALFORMED):  # its text quotes the request, which can contain a key
            if not HttpVersion10 <= request.version <= HttpVersion11:
                force_version(request)
            status, detail, reason = _refusal(exc)
        else:
            super().handle_error(request, status, exc, message)
            detail, reason = "The mock failed; its log has the reason.", "internal-error"
        response = error_response(status, detail, reason, headers=self._dispatcher.mock.headers).response()
        response.force_close()
        self._dispatcher.record_error(request, response, reason)
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send a response."""
        if isinstance(resp, web.Response):
            resp.headers.setdefault("Server", SERVER)
        self._is_unending = isinstance(resp, RawResponse) and resp.is_unending
        if self.is_half_closed and self._is_unending and self.transport is not None:
            asyncio.get_running_loop().call_soon(self.transport.close)  # after the beginning of the response
        if self.is_half_closed and not self.has_waiting_requests:
            self.close()
        sent, is_client_gone = request.get(SENT), self.is_client_gone
        finished = await super().finish_response(request, resp, start_time)
        if sent is not None and (is_client_gone or finished[1]):
            sent.outcome = "client-gone"
        self._responses += 1
        self.forget_last_message()
        self._fast_path.learn(resp)
        return finished

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the name is aiohttp's
        """Close the connection after the response in flight, or after `timeout` seconds.

        Closing does not wait for a client that has gone, or for a response that never ends.
        """
        await self.finish_and_close(timeout, wait=not (self._is_unending or self.is_half_closed))

    def _edit(self, data: bytes, edits: Sequence[Edit]) -> bytes:
        """Return received bytes as a fault changes them; requests to the control API stay as they are."""
        if start := REQUEST_START.match(data):
            self._is_control_request = is_control_path(start[1].decode("latin-1"))
        if self._is_control_request:
            return data
        received = data
        for edit in edits:
            with suppress(EditError):  # the edits of a fault apply to few requests
                data = edited(data, [edit])
        if data != received:
            self._dispatcher.edited.add(self)
        return data


def _refusal(error: Exception) -> tuple[int, str, str]:
    """Return the status code, the detail and the reason for a request that the parser has rejected."""
    if isinstance(error, LineTooLong) and error.args[1] == MAX_TARGET_BYTES:
        return 414, f"The request target is longer than {MAX_TARGET_BYTES} bytes.", "target-is-too-long"
    if isinstance(error, LineTooLong):
        return 431, f"A header field is longer than {MAX_FIELD_BYTES} bytes.", "field-is-too-long"
    if isinstance(error, HttpProcessingError) and error.message == TOO_MANY_FIELDS:
        return 431, f"The request has more than {MAX_FIELDS} header fields.", "too-many-fields"
    cause = cause_of(error)
    return 400, f"The request is not valid HTTP{cause and ': '}{cause}.", "malformed-request"
