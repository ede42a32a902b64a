"""Access to the control API: accepted and rejected clients."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest
from aiohttp import web

from mock_server import UsageMock, make_app
from mock_server.control.guard import is_loopback
from mock_server.options import MockOptions
from mock_server.web.server import listening
from tests.support.control_api import Api
from tests.support.wire import send
from usage_contract import Contract

TOKEN = "a token"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def with_token(contract: Contract) -> Iterator[Api]:
    with UsageMock(make_app(contract, MockOptions(control_token=TOKEN))) as mock:
        yield Api(mock.url)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "127.0.0.1", "127.9.9.9:8080", "[::1]:1", "[::ffff:127.0.0.1]"]
)
def test_a_loopback_host_is_accepted(api: Api, host: str) -> None:
    assert api.request("GET", "/state", headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    [
        *("", "rebound.example", "rebound.example:80", "localhost.rebound.example", "127.0.0.1.rebound.example"),
        *("127.1", "10.0.0.1", "0.0.0.0", "[::]", "[::1", "::1", "localhost:x", "127.0.0.1@rebound.example"),
    ],
)
def test_another_host_is_rejected(api: Api, host: str) -> None:
    for path in ("/", "/state", "/openapi.json", "/nowhere"):
        response = api.request("GET", path, headers={"Host": host})
        assert (response.status, response.headers["Mock-Reason"]) == (403, "foreign-host")


@pytest.mark.parametrize("hosts", [b"", b"Host: localhost\r\nHost: rebound.example\r\n"])
def test_a_missing_or_repeated_host_is_rejected(api: Api, hosts: bytes) -> None:
    assert send(api.url, b"GET /__mock__/state HTTP/1.0\r\n" + hosts + b"\r\n").status in (400, 403)


@pytest.mark.parametrize(
    ("name", "expected"), [("::1", True), ("::ffff:127.0.0.1", True), ("::ffff:10.0.0.1", False), ("", False)]
)
def test_loopback_addresses_are_recognized(name: str, expected: bool) -> None:
    assert is_loopback(name) is expected


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_a_page_of_another_origin_changes_nothing(api: Api, headers: dict[str, str]) -> None:
    for method, path, body in (
        ("PATCH", "/clock", {"advance": 1}),
        ("DELETE", "/journal", None),
        ("POST", "/reset", None),
    ):
        response = api.request(method, path, body, headers=headers)
        assert (response.status, response.headers["Mock-Reason"]) == (403, "foreign-origin")
    assert api.get("/clock")["now"] == 1000


def test_the_console_may_send_changes(api: Api) -> None:
    headers = {"Origin": api.url, "Sec-Fetch-Site": "same-origin"}
    assert api.request("PATCH", "/clock", {"advance": 1}, headers=headers).status == 200


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer a tokeñ"]
)
def test_a_configured_token_is_required(with_token: Api, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    for path in ("/state", "/events", "/nowhere"):
        response = with_token.request("GET", path, headers=headers)
        assert (response.status, response.headers["WWW-Authenticate"]) == (401, 'Bearer realm="control"')
        assert TOKEN.encode() not in response.body


def test_an_empty_token_is_rejected() -> None:
    with pytest.raises(ValueError, match="control_token: is empty"):
        MockOptions(control_token="")


def test_a_request_with_the_token_may_have_any_host(with_token: Api) -> None:
    assert with_token.request("GET", "/state", headers={"Host": "mock.internal", **AUTHORIZED}).status == 200


def test_the_page_and_the_document_are_public(with_token: Api) -> None:
    for path in ("/", "/openapi.yaml", "/openapi.json", "/health"):
        assert with_token.request("GET", path, headers={"Host": "mock.internal"}).status == 200


def test_a_request_of_another_origin_is_rejected_despite_the_token(with_token: Api) -> None:
    headers = {"Origin": "https://elsewhere.example", **AUTHORIZED}
    assert with_token.request("POST", "/reset", headers=headers).status == 403


def test_another_address_of_the_machine_needs_a_token(contract: Contract) -> None:
    own = own_address()
    assert asyncio.run(status_by(own, make_app(contract), {})) == 403
    assert asyncio.run(status_by(own, make_app(contract, MockOptions(control_token=TOKEN)), AUTHORIZED)) == 200


def own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        with contextlib.suppress(OSError):
            probe.connect(("192.0.2.1", 9))  # sends nothing, but selects a local address
        address = str(probe.getsockname()[0])
    if is_loopback(address) or address == "0.0.0.0":
        pytest.skip("this machine has loopback addresses only")
    return address


async def status_by(address: str, app: web.Application, headers: dict[str, str]) -> int:
    """Listen on all addresses, and return the status of a request by one address with the host localhost."""
    async with listening(app, MockOptions(host="0.0.0.0", port=0)) as listener:
        api = Api(listener.url.replace("0.0.0.0", address))
        response = await asyncio.to_thread(api.request, "GET", "/state", headers={"Host": "localhost", **headers})
    return response.status
