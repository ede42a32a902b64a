"""Changes by the control API; those of one key do not affect another key."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from mock_server import Deployment, Key, UsageMock
from mock_server.fixtures.files import shipped_fixtures
from mock_server.masking import mask_key
from tests.support.control_api import JSON, Api
from tests.support.wire import KEY, TIMEOUT, Clock, address, send_request, usage

BUSY, MODEST = "demo-busy", "demo-modest"
FAULT = "missing-user-agent-is-500"  # the tests send no User-Agent


def total(mock: UsageMock, key: str) -> int:
    figure = usage(mock.url, key).json["total"]
    assert isinstance(figure, int)
    return figure


@pytest.mark.parametrize("name", [BUSY, mask_key(BUSY)])
def test_the_key_of_a_scenario_is_named_by_its_value_or_its_id(api: Api, limited: UsageMock, name: str) -> None:
    api.do("PATCH", "/behaviour", {"key": name, "scenario": "revoked"})
    assert [usage(limited.url, key).status for key in (BUSY, MODEST)] == [403, 200]


def test_an_override_without_a_key_is_for_all_keys(api: Api, limited: UsageMock) -> None:
    api.do("PATCH", "/behaviour", {"code": 503})
    assert [usage(limited.url, key).status for key in (BUSY, MODEST)] == [503, 503]


def test_traffic_without_a_key_is_that_of_the_first_key(api: Api, limited: UsageMock) -> None:
    before = [total(limited, key) for key in (BUSY, MODEST)]
    api.do("POST", "/traffic", [{"domain": "shop.example", "requests": 2}, {"key": MODEST, "domain": "shop.example"}])
    assert [total(limited, key) for key in (BUSY, MODEST)] == [before[0] + 2, before[1] + 1]


def test_a_change_keeps_other_members_of_an_override(api: Api) -> None:
    api.do("PATCH", "/behaviour", {"scenario": "heavy", "delay": "0.001"})
    changed = api.do("PATCH", "/behaviour", {"delay": "0.002"})
    assert (changed["scenario"], changed["delay"]) == ("heavy", "0.002")


def test_null_removes_an_override_and_none_disables_that_of_all_keys(api: Api, limited: UsageMock) -> None:
    api.do("PATCH", "/behaviour", {"scenario": "revoked"})
    api.do("PATCH", "/behaviour", {"key": BUSY, "scenario": "none"})
    assert usage(limited.url, BUSY).status == 200
    api.do("PATCH", "/behaviour", {"key": BUSY, "scenario": None})
    assert usage(limited.url, BUSY).status == 403
    api.do("PATCH", "/behaviour", {"scenario": None})
    assert usage(limited.url, BUSY).status == 200


def test_a_fault_skips_and_then_changes_the_given_numbers_of_requests(api: Api, limited: UsageMock) -> None:
    api.do("PATCH", "/behaviour", {"key": BUSY, "fault": FAULT, "after": 1, "times": 1})
    assert [usage(limited.url, BUSY).status for _ in range(3)] == [200, 500, 200]


def test_switching_the_same_fault_on_again_restarts_it(api: Api, limited: UsageMock) -> None:
    for _ in range(2):
        api.do("PATCH", "/behaviour", {"key": BUSY, "fault": FAULT, "times": 1})
        assert [usage(limited.url, BUSY).status for _ in range(2)] == [500, 200]


def test_switching_the_same_scenario_on_again_restarts_the_account(api: Api, limited: UsageMock) -> None:
    for _ in range(2):
        api.do("PATCH", "/behaviour", {"key": BUSY, "scenario": "nearly-exhausted"})
        api.do("PATCH", "/behaviour", {"key": BUSY, "delay": "0.001"})
        assert [usage(limited.url, BUSY).status for _ in range(2)] == [200, 429]


def test_the_state_contains_the_effective_override_and_its_level(api: Api) -> None:
    api.do("PATCH", "/behaviour", {"delay": "0.001"})
    api.do("PATCH", "/behaviour", {"key": MODEST, "scenario": "down"})
    state = api.get("/state")
    assert state["everyone"]["delay"] == "0.001"
    assert (state["keys"][1]["override"]["scenario"], state["keys"][1]["override"]["delay"]) == ("down", None)
    assert (state["keys"][1]["effective"]["code"], state["keys"][1]["effective"]["delay"]) == (502, "0.001")
    assert state["keys"][0]["effective"]["scenario"] is None


def test_overrides_do_not_apply_to_the_control_api(api: Api) -> None:
    api.do("PATCH", "/behaviour", {"code": 503, "delay": "3600"})
    assert api.request("GET", "/state", headers={"Prefer": "code=500, delay=3600"}).status == 200


def test_faults_do_not_apply_to_the_control_api(api: Api) -> None:
    for name in [each["name"] for each in api.get("/faults")]:
        api.do("PATCH", "/behaviour", {"fault": name})
        assert api.get("/state")["everyone"]["fault"] == name


def test_a_fault_of_received_bytes_leaves_requests_to_the_control_api_unchanged(api: Api) -> None:
    api.do("PATCH", "/behaviour", {"fault": "request-in-pieces-is-400"})
    head = b"PATCH /__mock__/behaviour HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection(address(api.url), TIMEOUT) as connection:
        for _ in range(2):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
            connection.sendall(head + b"Content-Length: 15\r\nExpect: 100-continue\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
            connection.sendall(b'{"delay": null}')
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_a_created_key_is_unused_and_disclosed_once(api: Api, limited: UsageMock) -> None:
    made = api.do("POST", "/keys")
    assert total(limited, made["key"]) == 0
    assert (api.key(-1)["id"], api.key(-1)["created"]) == (made["id"], True)
    assert made["key"].encode() not in api.request("GET", "/state").body


def test_a_key_can_be_created_with_a_value_and_a_scenario(api: Api, limited: UsageMock) -> None:
    assert api.do("POST", "/keys", {"key": "mine", "scenario": "heavy"})["key"] == "mine"
    assert total(limited, "mine") > 1000


def test_creating_an_existing_key_restarts_it(api: Api, limited: UsageMock) -> None:
    changes = {"key": MODEST, "scenario": "heavy", "code": 503, "fault": FAULT, "delay": "0.001"}
    before = total(limited, MODEST)
    api.do("PATCH", "/behaviour", changes)
    api.do("POST", "/keys", {"key": MODEST})
    assert set(api.key(1)["override"].values()) == {None}
    assert total(limited, MODEST) == before


def test_traffic_changes_the_usage_metrics_of_its_key(api: Api, limited: UsageMock) -> None:
    before, other = usage(limited.url, MODEST).json, total(limited, BUSY)
    sent = {"key": MODEST, "domain": "shop.example", "protocol": "fetch", "requests": 5, "failures": 2, "bytes": 700}
    api.do("POST", "/traffic", sent)
    after = usage(limited.url, MODEST).json
    names = ("total", "success", "fail", "bytes_transferred")
    assert [after[name] - before[name] for name in names] == [5, 3, 2, 700]
    assert after["by_protocol"]["fetch"] - before["by_protocol"]["fetch"] == 5
    assert total(limited, BUSY) == other


def test_one_request_is_recorded_by_default(api: Api, limited: UsageMock) -> None:
    before = total(limited, BUSY)
    api.do("POST", "/traffic", {"key": BUSY, "domain": "shop.example"})
    assert total(limited, BUSY) == before + 1


def test_a_list_is_recorded_completely_or_not_at_all(api: Api, limited: UsageMock) -> None:
    before, entry = total(limited, BUSY), {"key": BUSY, "domain": "shop.example"}
    assert api.refused("POST", "/traffic", [entry, {"key": "nobody's", "domain": "shop.example"}])[0] == 404
    assert total(limited, BUSY) == before
    api.do("POST", "/traffic", [entry, entry])
    assert total(limited, BUSY) == before + 2


def test_a_revoked_key_records_nothing(api: Api) -> None:
    api.do("PATCH", "/behaviour", {"key": BUSY, "scenario": "revoked"})
    status, detail = api.refused("POST", "/traffic", {"key": BUSY, "domain": "shop.example"})
    assert (status, "revoked" in detail) == (409, True)


def test_usage_metrics_stay_exact(api: Api) -> None:
    entries = [{"key": BUSY, "domain": "shop.example", "bytes": 10**12}] * 1000
    for _ in range(9):
        api.do("POST", "/traffic", entries)
    before = api.key()["usage_metrics"]
    status, detail = api.refused("POST", "/traffic", entries)
    assert (status, detail) == (
        409,
        f"the usage metrics of the key {mask_key(BUSY)} would exceed {2**53 - 1}; reset the key",
    )
    assert api.key()["usage_metrics"] == before


def test_the_clock_is_frozen_advanced_and_resumed(api: Api, limited: UsageMock, clock: Clock) -> None:
    assert api.do("PATCH", "/clock", {"frozen": True}) == {
        "now": 1000.0,
        "time": "1970-01-01T00:16:40.000Z",
        "frozen": True,
    }
    clock.now += 5
    assert api.do("PATCH", "/clock", {"advance": 60})["now"] == 1060
    assert api.do("PATCH", "/clock", {"now": 5000, "advance": 1}) == {
        "now": 5001.0,
        "time": "1970-01-01T01:23:21.000Z",
        "frozen": True,
    }
    assert api.do("PATCH", "/clock", {"frozen": False})["frozen"] is False
    clock.now += 5
    assert api.get("/clock")["now"] == 5006


def test_an_advance_of_the_clock_fills_a_bucket(api: Api, limited: UsageMock) -> None:
    assert [usage(limited.url, BUSY).status for _ in range(11)][-1] == 429
    api.do("PATCH", "/clock", {"advance": 0.1})
    assert usage(limited.url, BUSY).status == 200


def test_the_clock_ends_at_the_last_date(api: Api) -> None:
    api.do("PATCH", "/clock", {"now": 100_000_000_000})
    assert api.refused("PATCH", "/clock", {"advance": 1})[0] == 409
    assert api.get("/clock")["now"] == 100_000_000_000


def test_a_reset_of_one_key_does_not_affect_other_keys(api: Api, limited: UsageMock) -> None:
    for key in (BUSY, MODEST):
        usage(limited.url, key)
        api.do("PATCH", "/behaviour", {"key": key, "code": 503})
    api.do("POST", "/reset", {"key": mask_key(BUSY)})
    assert [entry["key"] for entry in api.get("/journal")["entries"]] == [mask_key(MODEST)]
    assert [usage(limited.url, key).status for key in (BUSY, MODEST)] == [200, 503]
    assert api.key()["tokens"] == 9


def test_a_full_reset_restores_the_state_of_the_start(api: Api, limited: UsageMock) -> None:
    start = stable(api.get("/state"))
    api.do("POST", "/keys", {"key": "mine"})
    api.do("PATCH", "/behaviour", {"scenario": "heavy"})
    api.do("PATCH", "/clock", {"advance": 60, "frozen": True})
    usage(limited.url, BUSY)
    api.do("POST", "/reset")
    after = api.get("/state")
    assert after["journal"]["kept"] == 0
    assert stable(after) == start


def test_a_reset_restarts_a_server_that_a_fault_has_stopped(api: Api, limited: UsageMock) -> None:
    api.do("PATCH", "/behaviour", {"fault": "long-query-stops-the-server"})
    with contextlib.closing(http.client.HTTPConnection(*address(api.url), timeout=TIMEOUT)) as kept:
        kept.request("GET", "/__mock__/health")
        kept.getresponse().read()
        with pytest.raises(ConnectionResetError):
            send_request(limited.url, f"/usage?{'x' * 20_000}", [(KEY, BUSY)])
        with pytest.raises(ConnectionRefusedError):
            api.get("/health")
        kept.request("POST", "/__mock__/reset")
        assert kept.getresponse().status == 204
    assert usage(limited.url, BUSY).status == 200


def test_a_reset_of_a_key_restarts_its_preferred_fault(api: Api, limited: UsageMock) -> None:
    def drifting(key: str) -> object:
        return send_request(limited.url, headers=[(KEY, key), ("Prefer", "fault=usage-requests-count-in-total")]).json[
            "total"
        ]

    first = {key: [drifting(key), drifting(key)] for key in (BUSY, MODEST)}
    api.do("POST", "/reset", {"key": BUSY})
    assert [drifting(BUSY), drifting(BUSY)] == first[BUSY]
    assert drifting(MODEST) not in first[MODEST]


def test_an_empty_body_counts_as_missing_with_any_content_type(api: Api) -> None:
    assert api.request("POST", "/reset", headers=JSON).status == 204


def stable(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "uptime": 0, "journal": None}


WRONG: list[tuple[str, str, object, int, str]] = [
    ("PATCH", "/behaviour", {"scenario": "hevay"}, 404, "did you mean 'heavy'?"),
    ("PATCH", "/behaviour", {"fault": "nothing-like-it"}, 404, "is not a fault"),
    ("PATCH", "/behaviour", {"key": "nobody's"}, 404, f"it has {BUSY}, {MODEST}"),
    ("PATCH", "/behaviour", {"code": 250}, 404, "400 to 599"),
    ("PATCH", "/behaviour", {"code": 700}, 422, "body /code: must be at most 599"),
    ("PATCH", "/behaviour", {"delay": "soon"}, 409, "LOW..HIGH"),
    ("PATCH", "/behaviour", {"times": 2}, 422, "has times, which needs code or fault"),
    ("PATCH", "/behaviour", {"scenaro": "heavy"}, 422, "did you mean 'scenario'?"),
    ("POST", "/traffic", {"key": BUSY}, 422, "'domain' is missing"),
    ("POST", "/traffic", {"key": BUSY, "domain": "x", "requests": 1, "failures": 2}, 409, "failures"),
    (
        "POST",
        "/traffic",
        {"key": BUSY, "domain": "x", "failures": 2},
        409,
        "body /failures: must not be above 'requests'",
    ),
    ("POST", "/traffic", {"key": BUSY, "domain": "x", "protocol": "ws", "bytes": 1}, 422, "/bytes: must be at most 0"),
    ("POST", "/traffic", {"key": BUSY, "domain": "x", "protocol": "http"}, 422, "fetch, ws, amqp"),
    ("POST", "/traffic", {"key": BUSY, "domain": "x", "bytes": 1.5}, 422, "must be a whole number"),
    ("POST", "/traffic", [], 422, "must not be empty"),
    ("POST", "/traffic", "x", 422, "must be a mapping or a list"),
    ("POST", "/keys", {"key": "a "}, 422, "visible ASCII characters"),
    ("PATCH", "/clock", None, 400, "The body is empty; expected JSON."),
    ("PATCH", "/clock", {}, 422, "must not be empty"),
    ("PATCH", "/clock", {"frozen": "yes"}, 422, "must be true or false"),
    ("GET", "/journal?limit=lots", None, 422, "query /limit: must be a whole number"),
    ("GET", "/journal?statuss=200", None, 422, "did you mean 'status'?"),
    ("GET", "/journal?status=200&status=403", None, 422, "query /status: is given twice"),
    ("GET", "/journall", None, 404, "did you mean '/journal'?"),
    ("DELETE", "/state", None, 405, "GET, HEAD, OPTIONS"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "message"), WRONG)
def test_every_problem_of_a_body_is_reported(
    api: Api, method: str, path: str, body: object, status: int, message: str
) -> None:
    found, detail = api.refused(method, path, body)
    assert (found, message in detail) == (status, True), detail


@pytest.mark.parametrize("key", ["demo-bsy", mask_key("demo-busy")[:-1]])
@pytest.mark.parametrize(
    ("method", "path", "more"),
    [
        ("PATCH", "/behaviour", {"code": 503}),
        ("POST", "/reset", {}),
        ("POST", "/traffic", {"domain": "shop.example"}),
        ("POST", "/verify", {}),
    ],
)
def test_a_misspelled_key_has_one_message(api: Api, method: str, path: str, more: dict[str, Any], key: str) -> None:
    found = api.refused(method, path, {"key": key, **more})
    assert found == (404, "the mock does not have this key; did you mean demo-busy?")


def test_a_suggested_key_has_its_label() -> None:
    with UsageMock(deployment=Deployment("d", "d", {"secret-of-shop": Key(label="Shop")})) as mock:
        found = Api(mock.url).refused("POST", "/reset", {"key": "secret-of-shp"})
    assert found == (404, "the mock does not have this key; did you mean Shop?")


def test_a_fault_whose_file_was_removed_is_reported(tmp_path: Path) -> None:
    own = tmp_path / "faults" / "body-is-nil.yaml"
    own.parent.mkdir()
    shutil.copy(shipped_fixtures() / "faults" / "body-is-null.yaml", own)
    with UsageMock(fixtures=tmp_path) as mock:
        api = Api(mock.url)
        assert "body-is-nil" in [fault["name"] for fault in api.get("/faults")]
        own.unlink()
        status, detail = api.refused("PATCH", "/behaviour", {"fault": "body-is-nil"})
    assert (status, detail) == (404, "'body-is-nil' is not a fault; did you mean 'body-is-null'?")


BODIES = {
    "not JSON": (b"{", {"Content-Type": "application/json"}, 400),
    "not a number": (b'{"advance": NaN}', {"Content-Type": "application/json"}, 400),
    "not UTF-8": (b'{"now": "\xff"}', {"Content-Type": "application/json"}, 400),
    "too deep": (b"[" * 100_000, {"Content-Type": "application/json"}, 400),
    "a form": (b"advance=1", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    "plain text": (b'{"advance": 1}', {"Content-Type": "text/plain"}, 415),
    "without a type": (b'{"advance": 1}', {}, 415),
    "compressed": (b'{"advance": 1}', {"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415),
    "too long": (b" " * (1 << 20) + b'{"advance": 1}', {"Content-Type": "application/json"}, 413),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_body_that_cannot_be_read_changes_nothing(api: Api, case: str) -> None:
    raw, headers, status = BODIES[case]
    response = api.request("PATCH", "/clock", headers=headers, raw=raw)
    assert (response.status, bool(response.json["detail"])) == (status, True)
    assert api.get("/clock")["now"] == 1000


def test_a_body_after_100_continue_is_accepted(api: Api) -> None:
    response = api.request("PATCH", "/clock", {"advance": 1}, headers={"Expect": "100-continue"})
    assert response.json["now"] == 1001


def test_the_prefix_without_its_slash_redirects_to_the_page(api: Api) -> None:
    response = api.request("GET", "")
    assert (response.status, response.headers["Location"]) == (308, "/__mock__/")
