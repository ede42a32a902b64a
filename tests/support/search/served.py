"""A mock with a behaviour of its own: it admits requests, and changes responses."""

from __future__ import annotations

import base64
import json
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from aiohttp import web
from multidict import CIMultiDict

from mock_server.fixtures.edits import Edit
from mock_server.web.cors import preflight
from mock_server.web.dispatcher import DISPATCHER, Dispatcher, normalize
from mock_server.web.fast_path import RequestTemplate
from mock_server.web.mock import MOCK
from mock_server.web.raw_response import RawMessage, RawResponse, serialize_message
from mock_server.web.responses import reason_phrase
from mock_server.web.usage import Unmodified

PATH = "/usage"
DEFECT = "defect-of-the-behaviour.txt"  # in the folder of the run
# Methods that aiohttp's parser rejects reach a behaviour as POST, with the method in a header.
METHOD = "X-Search-Method"
PARSED = (
    "GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH UNLOCK BIND REBIND "
    "UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PATCH PURGE MKCALENDAR LINK "
    "UNLINK SOURCE QUERY"
).replace(" ", "|")
UNPARSED: Edit = {
    "op": "replace",
    "pattern": rf"\A(?-i:(?!(?:{PARSED}) )([A-Za-z]+) (\S+) HTTP/1\.1)\r$",
    "with": rf"POST \2 HTTP/1.1\r\n{METHOD}: \1\r",
}


@dataclass
class ConnectionMemory:
    """The history of one connection: its number, the requests on it, and the last valid key."""

    number: int
    requests: int = 0
    last_key: str = ""


@dataclass(frozen=True)
class Received:
    """One request as the server reads it.

    `key` is the value of the key header, "" without one. `keys` are the valid keys, the main key first.
    """

    request: web.Request
    key: str
    keys: tuple[str, ...]
    now: float
    connection: ConnectionMemory
    body: bytes = b""

    @property
    def method(self) -> str:
        return self.request.headers.get(METHOD, self.request.method)

    @property
    def path(self) -> str:
        return self.request.raw_path.partition("?")[0]

    @property
    def query(self) -> str:
        return self.request.raw_path.partition("?")[2]

    @property
    def is_valid(self) -> bool:
        return self.key in self.keys

    def header(self, name: str) -> str:
        """Return the combined value of a header, "" without one."""
        return ", ".join(self.request.headers.getall(name, ()))


# Returns the key that the server uses in place of the received one, or None.
Admit = Callable[[Received], str | None]
# Returns the response in place of the sound one.
Change = Callable[[RawMessage, Received], RawMessage]


def as_sent(_: Received) -> str | None:
    """Use the key of the request."""
    return None


def as_it_is(message: RawMessage, _: Received) -> RawMessage:
    """Send the sound response."""
    return message


@dataclass(frozen=True)
class Behaviour:
    """The behaviour of one deployment; it may keep a memory, so each run has its own."""

    admit: Admit = as_sent
    change: Change = as_it_is
    reads_body: bool = False


class SearchDispatcher(Dispatcher):
    """Responds as the mock does, with a behaviour."""

    def __init__(self, sound: Dispatcher, behaviour: Behaviour) -> None:
        super().__init__(sound.mock, sound.control)
        self._behaviour = behaviour
        self._keys = tuple(self.simulator.keys)
        self._connections: WeakKeyDictionary[object, ConnectionMemory] = WeakKeyDictionary()

    @property
    def received_edits(self) -> tuple[Edit, ...]:
        """The edits of received bytes."""
        return (UNPARSED,)

    def answer_repeat(self, template: RequestTemplate, data: bytes) -> bytes | None:  # noqa: ARG002
        """Use no prepared response."""
        return None

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        """Respond to one request; a defect of the behaviour is written to a file, or it would look like a 500."""
        try:
            return await self._respond(normalize(request))
        except Exception:
            _report(traceback.format_exc())
            raise

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        memory = self._connections.setdefault(request.protocol, ConnectionMemory(len(self._connections) + 1))
        memory.requests += 1
        clone = request.clone()  # a request cannot be cloned after its body was read
        usage = self.mock.routes.usage
        key = ", ".join(request.headers.getall(usage.key_header, ()))
        received = Received(clone, key, self._keys, self.simulator.clock(), memory)
        if self._behaviour.reads_body and "Expect" not in request.headers:
            received = replace(received, body=await request.read())
        admitted = self._behaviour.admit(received)
        if admitted is None:
            prepared = preflight(request)
            handled = Unmodified(prepared.response()) if prepared else await self.handle_unmodified(clone)
        else:
            handled = await usage.handle(clone.clone(headers=CIMultiDict({usage.key_header: admitted})))
        message = self._behaviour.change(RawMessage.of(handled.response, {}), received)
        if message.status == 200:
            memory.last_key = admitted or key
        return RawResponse(message, request, sleep=self.mock.sleep, stop=self.mock.stop_listening)


def _report(defect: str) -> None:
    Path(DEFECT).write_text(defect)


def serve_with(behaviour: Behaviour, app: web.Application) -> None:
    """Let an application of `make_app` behave in another way."""
    app[DISPATCHER] = SearchDispatcher(Dispatcher(app[MOCK], app[DISPATCHER].control), behaviour)


def with_fields(message: RawMessage, fields: Mapping[str, str | None]) -> RawMessage:
    """Return a message with header fields set, or removed (None)."""
    names = {name.lower() for name in fields}
    kept = [(name, value) for name, value in message.headers if name.lower() not in names]
    new = [(name, value) for name, value in fields.items() if value is not None]
    return replace(message, headers=(*kept, *new))


def named(**fields: str | None) -> Mapping[str, str | None]:
    """Return header fields by their names, in which an underscore stands for a hyphen."""
    return {name.replace("_", "-"): value for name, value in fields.items()}


def setting(fields: Mapping[str, str | None]) -> Change:
    """Return a change of every response by `with_fields`."""
    return lambda message, _: with_fields(message, fields)


def with_json(message: RawMessage, body: Any) -> RawMessage:
    """Return a message with another JSON body."""
    return replace(message, body=json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode())


def with_status(message: RawMessage, status: int, detail: str = "Refused.") -> RawMessage:
    """Return a message with another status and a body for it."""
    fields = {"Content-Type": "application/json", "WWW-Authenticate": None}
    changed = replace(message, status=status, reason=reason_phrase(status))
    return with_json(with_fields(changed, fields), {"detail": detail})


def with_bytes(message: RawMessage, received: Received, change: Callable[[bytes, bytes], bytes]) -> RawMessage:
    """Return a message whose bytes a function makes of those of the head and of the body."""
    head, data = serialize_message(message, received.request)
    changed = base64.b64encode(change(head, data[len(head) :])).decode()
    return replace(message, message=({"op": "set", "base64": changed},))
