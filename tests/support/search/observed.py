"""The requests of a run against the sound mock: a mutation that none of them reaches needs no run of its own."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple, cast

from aiohttp import HttpVersion, web
from multidict import CIMultiDict

from mock_server.fixtures.deployments import Deployment
from mock_server.web.raw_response import RawMessage
from tests.support.forked_gate import Job
from tests.support.proof import run_job
from tests.support.search.mutations import Mutation
from tests.support.search.served import Behaviour, ConnectionMemory, Received, serve_with

FILE = "observed.pickle"  # in the folder of the run


class Observation(NamedTuple):
    """One request and its sound response, as data."""

    method: str
    target: str
    fields: list[tuple[bytes, bytes]]
    minor_version: int
    keep_alive: bool
    received: Received
    message: RawMessage

    def rebuilt(self) -> Received:
        """Return the request as a server reads it."""
        names = [(_text(name), _text(value)) for name, value in self.fields]
        request = SimpleNamespace(
            method=self.method,
            raw_path=self.target,
            raw_headers=self.fields,
            headers=CIMultiDict(names),
            version=HttpVersion(1, self.minor_version),
            keep_alive=self.keep_alive,
        )
        return replace(self.received, request=cast("web.Request", request))


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _write(message: RawMessage, received: Received) -> RawMessage:
    request = received.request
    observation = Observation(
        request.method,
        request.raw_path,
        list(request.raw_headers),
        request.version.minor,
        request.keep_alive,
        replace(received, request=None, connection=replace(received.connection)),  # type: ignore[arg-type]
        message,
    )
    with Path(FILE).open("ab") as file:
        pickle.dump(observation, file)
    return message


def observe(app: web.Application) -> None:
    """Let an application write each request and its response to a file."""
    serve_with(Behaviour(change=_write, reads_body=True), app)


def observed(deployment: Deployment, *arguments: str) -> Sequence[tuple[Received, RawMessage]]:
    """Return the requests of a run of the gate against a sound deployment, with their responses."""
    with tempfile.TemporaryDirectory() as folder:
        run_job(Job(Path(folder), None, deployment, writes_reports=False, adapt=observe), *arguments)
        found, file = [], (Path(folder) / FILE).open("rb")
        with file:
            while file.peek(1):
                observation: Observation = pickle.load(file)
                found.append((observation.rebuilt(), observation.message))
    return found


def is_reached(mutation: Mutation, seen: Sequence[tuple[Received, RawMessage]]) -> bool:
    """Whether a mutation admits a request, or changes a response, of a run against the sound deployment."""
    behaviour = mutation.build()
    memories: dict[int, ConnectionMemory] = {}
    for request, message in seen:
        number = request.connection.number
        memory = memories.setdefault(number, ConnectionMemory(number))
        memory.requests += 1
        received = replace(request, connection=memory)
        if behaviour.admit(received) is not None or behaviour.change(message, received) != message:
            return True
        if message.status == 200:
            memory.last_key = received.key
    return False
