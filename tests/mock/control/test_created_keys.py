"""Keys that are created at run time or by an option can have the same facts as keys of a deployment file."""

from __future__ import annotations

import json

import pytest

from mock_server import UsageMock
from mock_server.control.document import document
from mock_server.fixtures.deployments import FactsError, KeyFacts
from mock_server.fixtures.files import shipped_fixtures
from mock_server.masking import mask_key
from tests.support.command import serving
from tests.support.control_api import Api
from tests.support.wire import KEY, Clock, send_request, usage

FACTS: KeyFacts = {
    "label": "Billing",
    "rate_limit": {"rps": 2, "burst": 5},
    "tokens": 3,
    "traffic": {"shop.example": {"fetch": {"requests": 10, "failures": 1, "bytes": 700}, "ws": {"requests": 2}}},
    "growth": {"shop.example": {"fetch": {"requests": 4}}},
}

WRONG: dict[str, tuple[KeyFacts, str]] = {
    "more failures than requests": (
        {"traffic": {"a.example": {"ws": {"requests": 1, "failures": 2}}}},
        "/traffic/a.example/ws/failures: must not be above 'requests': 2 is more than 1",
    ),
    "usage metrics that JSON cannot hold": (
        {"traffic": {f"{number}.example": {"fetch": {"requests": 1, "bytes": 10**15}} for number in range(10)}},
        "/traffic: has 10000000000000000 bytes in all; must be at most 9007199254740991",
    ),
}


def test_the_document_has_the_facts_of_a_deployment_file() -> None:
    file = json.loads((shipped_fixtures() / "deployment.schema.json").read_text())["$defs"]["key"]["properties"]
    api = document()["components"]["schemas"]["NewKey"]["properties"]
    assert list(api) == ["key", "scenario", "fault", *file]
    assert api["tokens"] == file["tokens"]
    assert list(KeyFacts.__annotations__) == list(file)


def check_created(url: str, key: str, clock: Clock) -> None:
    """Check that a key has FACTS."""
    body = usage(url, key).json
    assert (body["total"], body["fail"], body["bytes_transferred"]) == (12, 1, 700)
    assert body["rate_limit"] == {"rps": 2.0, "burst": 5, "remaining": 2.0}
    clock.now += 0.5
    assert usage(url, key).json["total"] == 14
    [view] = [view for view in Api(url).get("/state")["keys"] if view["id"] == mask_key(key)]
    assert (view["label"], view["created"], view["rate_limit"]) == ("Billing", True, {"rps": 2.0, "burst": 5})


def test_the_control_api_creates_a_key_with_facts(api: Api, limited: UsageMock, clock: Clock) -> None:
    created = api.do("POST", "/keys", {"key": "my-key", **FACTS})
    assert created == {"key": "my-key", "id": mask_key("my-key")}
    check_created(limited.url, "my-key", clock)


def test_make_key_creates_a_key_with_facts(limited: UsageMock, clock: Clock) -> None:
    check_created(limited.url, limited.make_key(**FACTS), clock)


def test_a_reset_of_a_created_key_restores_its_facts(limited: UsageMock, clock: Clock) -> None:
    key = limited.make_key(**FACTS)
    limited.record("other.example", requests=5, key=key)
    limited.reset(key)
    check_created(limited.url, key, clock)
    limited.reset()
    assert usage(limited.url, key).status == 403


def test_facts_replace_those_of_a_key_of_the_deployment_until_a_reset(api: Api, limited: UsageMock) -> None:
    before = usage(limited.url, "demo-busy").json["total"]
    api.do("POST", "/keys", {"key": "demo-busy", "traffic": {"a.example": {"ws": {"requests": 7}}}})
    assert usage(limited.url, "demo-busy").json["total"] == 7
    api.do("POST", "/keys", {"key": "demo-busy"})
    assert usage(limited.url, "demo-busy").json["total"] == before
    api.do("POST", "/keys", {"key": "demo-busy", "traffic": {"a.example": {"ws": {"requests": 7}}}})
    api.do("POST", "/reset")
    assert usage(limited.url, "demo-busy").json["total"] == before


def test_a_key_is_created_with_a_scenario_or_faults(api: Api, limited: UsageMock) -> None:
    heavy = limited.make_key("heavy")
    broken = limited.make_key(fault=["total-is-a-text", "lower-case-fields"])
    created = api.do("POST", "/keys", {"fault": "total-is-a-text", "traffic": {"a.example": {"ws": {"requests": 7}}}})
    assert usage(limited.url, heavy).json["total"] > 10**9
    response = usage(limited.url, broken)
    assert (response.json["total"], "content-type" in list(response.headers)) == ("many", True)
    assert usage(limited.url, created["key"]).json["total"] == "many"
    assert isinstance(usage(limited.url, "demo-busy").json["total"], int)


@pytest.mark.parametrize("case", WRONG)
def test_invalid_facts_are_rejected(api: Api, limited: UsageMock, case: str) -> None:
    facts, problem = WRONG[case]
    status, detail = api.refused("POST", "/keys", {"key": "wrong", **facts})
    assert (status, problem in detail) == (409, True), detail
    with pytest.raises(ValueError, match=problem.replace(".", r"\.")):
        limited.make_key(**facts)
    assert usage(limited.url, "wrong").status == 403


def test_an_unknown_fact_is_rejected(api: Api, limited: UsageMock) -> None:
    status, detail = api.refused("POST", "/keys", {"trafic": {}})
    assert (status, "did you mean 'traffic'?" in detail) == (422, True)
    with pytest.raises(TypeError, match=r"'trafic' is not a fact of a key; did you mean 'traffic'\?"):
        limited.make_key(trafic={})  # type: ignore[call-arg]
    with pytest.raises(FactsError, match="/tokens: must be a number, not text"):
        limited.make_key(tokens="3")  # type: ignore[arg-type]


def test_the_option_key_adds_unused_keys() -> None:
    with serving("--key", "one", "--key", "demo-busy", "--key", "two") as (_, url):
        assert [usage(url, key).json["total"] for key in ("one", "two")] == [0, 0]
        assert usage(url, "demo-busy").json["total"] == 804982
        assert send_request(url, headers=[(KEY, "three")]).status == 403
    with UsageMock(key="one two") as mock:
        assert mock.keys == ("demo-busy", "demo-modest", "demo-fresh", "one", "two")
        mock.reset()
        assert usage(mock.url, "two").status == 200


def test_a_key_that_no_header_can_contain_is_rejected_without_being_quoted() -> None:
    with pytest.raises(ValueError, match=r"^key: a key is not valid; expected 1 to 256 visible ASCII char"):
        UsageMock(key=[" my key"])
