"""Records of the shared state that cannot be read cause 503 with the reason, until they are replaced."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest
import redis

from mock_server import UsageMock, load_deployment, make_app
from mock_server.shared_state.redis_state import RedisState
from mock_server.simulation.state import UnreadableStateError
from tests.support.control_api import Api
from tests.support.wire import Clock, Response, send_request, usage
from usage_contract import Contract

from .server import Redis

KEY = next(iter(load_deployment().keys))
VALID = {
    "everyone": {"scenario": None, "answer": None, "faults": None, "delay": None},
    "keys": {},
    "created_keys": {},
    "clock": {"seconds": 0.0, "frozen_at": None},
}


def changed(**members: object) -> bytes:
    """Return a settings record with changed members."""
    return orjson.dumps({**VALID, **members})


def with_overrides(**members: object) -> bytes:
    return changed(everyone={"scenario": None, "answer": None, "faults": None, "delay": None, **members})


UNREADABLE = {
    "not JSON": b"{",
    "not an object": b"[]",
    "a member is missing": orjson.dumps({"everyone": VALID["everyone"]}),
    "a member is unknown": with_overrides(mood="bad"),
    "a code is a text": with_overrides(answer={"responses": [{"code": "503"}]}),
    "a code is a truth value": with_overrides(answer={"responses": [{"code": True}]}),
    "a code is a number": with_overrides(answer=503),
    "an answer has no response": with_overrides(answer={"responses": []}),
    "a header field is a number": with_overrides(answer={"responses": [{"code": 503, "headers": {"X-A": 1}}]}),
    "a delay is not valid": with_overrides(delay="soon"),
    "a fault is a text": with_overrides(faults=["body-is-null"]),
    "a fault has an odd count": with_overrides(faults=[{"name": "body-is-null", "after": "1"}]),
    "created keys are a list": changed(created_keys=["made"]),
    "a fact is unknown": changed(created_keys={"made": {"trafic": {}}}),
    "a clock is a text": changed(clock={"seconds": "now", "frozen_at": None}),
}


@pytest.fixture
def mock(contract: Contract, clock: Clock, url: str) -> Iterator[UsageMock]:
    with UsageMock(make_app(contract, clock=clock, state=RedisState(url))) as mock:
        assert usage(mock.url, KEY).status == 200
        yield mock


def write(server: Redis, url: str, record: str, value: bytes) -> None:
    """Write a record of a state like another program does."""
    prefix = f"usage-mock:{{{url.partition('#')[2]}}}:"
    with client_of(server) as client:
        client.set(prefix + "version", "another")
        client.set(prefix + record, value)


def is_unreadable(response: Response) -> bool:
    assert response.json["detail"]
    return (response.status, response.headers["Mock-Reason"]) == (503, "state-unreadable")


@pytest.mark.parametrize("case", UNREADABLE)
def test_settings_that_cannot_be_read_are_a_503_with_the_reason_for_every_request(
    mock: UsageMock, redis: Redis, url: str, case: str
) -> None:
    write(redis, url, "settings", UNREADABLE[case])
    responses = [
        usage(mock.url, KEY),
        usage(mock.url, KEY),
        send_request(mock.url),
        Api(mock.url).request("GET", "/state"),
    ]
    assert [is_unreadable(response) for response in responses] == [True] * 4
    assert "The record of the overrides in the shared state cannot be read" in responses[0].json["detail"]
    assert Api(mock.url).request("GET", "/health").status == 200
    write(redis, url, "settings", with_overrides(answer={"responses": [{"code": 418}]}))
    assert usage(mock.url, KEY).status == 418


def test_a_reset_replaces_settings_that_cannot_be_read(mock: UsageMock, redis: Redis, url: str) -> None:
    write(redis, url, "settings", b"{")
    assert is_unreadable(Api(mock.url).request("POST", "/reset", {"key": KEY}))
    assert is_unreadable(Api(mock.url).request("PATCH", "/behaviour", {"code": 418}))
    Api(mock.url).do("POST", "/reset")
    assert usage(mock.url, KEY).status == 200


def test_a_mock_does_not_start_with_settings_that_cannot_be_read(
    mock: UsageMock, contract: Contract, redis: Redis, url: str
) -> None:
    write(redis, url, "settings", b"{")
    other = UsageMock(make_app(contract, state=RedisState(url)))
    with pytest.raises(UnreadableStateError, match="cannot be read"):
        other.start()


@pytest.mark.parametrize(("beginning", "path"), [("since", "/__mock__/state"), ("bucket", "/usage")])
def test_an_account_that_cannot_be_read_is_a_503_until_a_reset(
    mock: UsageMock, redis: Redis, url: str, beginning: str, path: str
) -> None:
    mock.record("new.example", key=KEY)
    assert usage(mock.url, KEY).status == 200
    account = f"usage-mock:{{{url.partition('#')[2]}}}:account:{KEY}"
    with client_of(redis) as client:
        [field] = [field for field in map(str, client.hkeys(account)) if field.startswith(beginning)]
        client.hset(account, mapping={field: "odd", "version": "another"})
    assert send_request(mock.url, path, [("X-API-Key", KEY)]).status == 503
    Api(mock.url).do("POST", "/reset")
    assert send_request(mock.url, path, [("X-API-Key", KEY)]).status == 200


def client_of(server: Redis) -> redis.Redis:
    return redis.Redis(unix_socket_path=f"{server.folder}/redis.sock", decode_responses=True)
