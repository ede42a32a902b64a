"""The methods and options of UsageMock, and the arguments that they reject."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mock_server import Deployment, Key, UsageMock, load_deployment, load_fault, make_app
from mock_server.web.server import CertificateError
from tests.support.control_api import Api
from tests.support.wire import TIMEOUT, usage
from usage_contract import Contract


def test_a_created_key_is_not_affected_by_other_keys(hosted: UsageMock) -> None:
    mine = hosted.make_key()
    hosted.use("revoked", key=hosted.api_key)
    hosted.fail("connection-is-reset-in-the-body", key="demo-modest")
    hosted.record("shop.example", requests=4, failures=1, bytes=9, key=mine)
    metrics = usage(hosted.url, mine).json
    assert (metrics["total"], metrics["success_rate"], metrics["bytes_transferred"]) == (4, 75.0, 9)
    assert usage(hosted.url, hosted.api_key).status == 403
    assert [entry.status for entry in hosted.requests_of(mine)] == [200]


def test_a_fault_skips_and_then_changes_the_given_numbers_of_requests(hosted: UsageMock) -> None:
    hosted.fail("content-type-is-text", key="demo-modest", after=1, times=1)
    types = [usage(hosted.url, "demo-modest").headers["Content-Type"] for _ in range(3)]
    assert types == ["application/json", "text/plain; charset=utf-8", "application/json"]


def test_a_frozen_clock_advances_on_request(hosted: UsageMock) -> None:
    hosted.freeze()
    for _ in range(10):
        assert usage(hosted.url, hosted.api_key).status == 200
    assert usage(hosted.url, hosted.api_key).status == 429
    hosted.advance(0.1)
    assert usage(hosted.url, hosted.api_key).status == 200
    assert usage(hosted.url, hosted.api_key).status == 429
    hosted.resume()


@pytest.mark.skipif(not hasattr(time, "clock_gettime"), reason="needs a clock that no library replaces")
def test_the_mock_follows_the_real_clock_where_a_library_has_frozen_the_one_of_the_process(
    hosted: UsageMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage(hosted.url, hosted.api_key)
    for name in ("time", "monotonic", "perf_counter"):
        monkeypatch.setattr(time, name, lambda: 3e9)
    usage(hosted.url, hosted.api_key)
    before, after = hosted.requests
    assert 0 < after.at - before.at < TIMEOUT
    assert 0 < after.seconds < TIMEOUT
    assert after.response.values("Date") == ["Sat, 24 Jan 2065 05:20:00 GMT"]


def test_one_status_can_be_set_for_all_requests(hosted: UsageMock) -> None:
    hosted.answer(503)
    assert usage(hosted.url, hosted.api_key).status == 503
    with pytest.raises(ValueError, match="'777' is not a status code of the mock; expected 200, 401, "):
        hosted.answer(777)


def test_responses_can_be_delayed(contract: Contract) -> None:
    waited = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    with UsageMock(make_app(contract, sleep=sleep)) as mock:
        for delay in (0.25, "7", "none", 0.00001, None):
            mock.delay(delay)
            usage(mock.url, mock.api_key)
    assert waited == [0.25, 7.0, 0.00001]


@pytest.mark.parametrize(
    ("do", "hint"),
    [
        (lambda mock: mock.use("throtled"), "did you mean 'throttled'?"),
        (lambda mock: mock.fail("connection-is-rest"), "did you mean 'connection-is-reset-in-the-body'?"),
        (lambda mock: mock.record("d.example", "fetsch"), "did you mean 'fetch'?"),
        (lambda mock: mock.use("fresh", key="nobody"), "this key; it has demo-busy, demo-modest, demo-fresh; create"),
        (lambda mock: mock.use("fresh", key="demo-bsy"), "the mock does not have this key; did you mean demo-busy?"),
        (lambda mock: mock.record("d.example", key=""), "the mock does not have this key"),
        (lambda _: UsageMock(deployment="defualt"), "did you mean 'default'?"),
        (lambda _: UsageMock(fault="body-is-nul"), "did you mean 'body-is-null'?"),
        (lambda _: UsageMock(scenario="hevy"), "did you mean 'heavy'?"),
    ],
)
def test_an_unknown_name_is_reported_with_a_suggestion(
    hosted: UsageMock, do: Callable[[UsageMock], object], hint: str
) -> None:
    with pytest.raises(LookupError, match=re.escape(hint)):
        do(hosted)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 1e300])
def test_an_invalid_number_of_seconds_is_rejected(hosted: UsageMock, seconds: float) -> None:
    with pytest.raises(ValueError, match=r"seconds: .* is not valid; expected 0 to"):
        hosted.advance(seconds)


def test_the_clock_ends_at_the_last_date(hosted: UsageMock) -> None:
    api = Api(hosted.url)
    api.do("PATCH", "/clock", {"now": 10**11, "frozen": True})
    with pytest.raises(ValueError, match="the mock's time ends 100000000000 seconds after 1970"):
        hosted.advance(1)
    assert api.get("/clock")["now"] == 10**11


def test_usage_metrics_are_valid_after_any_advance(hosted: UsageMock) -> None:
    hosted.use("ageing")
    for _ in range(9):
        hosted.advance(10**10)
        assert usage(hosted.url, hosted.api_key).status == 200


def test_usage_metrics_that_would_not_be_exact_are_rejected(hosted: UsageMock) -> None:
    with pytest.raises(ValueError, match="would exceed 9007199254740991; reset the key"):
        hosted.record("d.example", requests=2**53 - 1)
    assert usage(hosted.url, hosted.api_key).status == 200


def test_traffic_of_a_revoked_key_is_rejected(hosted: UsageMock) -> None:
    hosted.use("revoked")
    with pytest.raises(LookupError, match="the key dem…0fd2c2 is revoked by its scenario"):
        hosted.record("d.example")


def test_none_removes_an_override(hosted: UsageMock) -> None:
    hosted.use("revoked")
    hosted.use("fresh", key="demo-busy")
    hosted.fail("body-is-null", key="demo-busy")
    assert usage(hosted.url, "demo-busy").body == b"null"
    hosted.fail(None, key="demo-busy")
    assert usage(hosted.url, "demo-busy").json["total"] == 0
    hosted.use(None, key="demo-busy")
    assert usage(hosted.url, "demo-busy").status == 403


@pytest.mark.parametrize("value", [True, [1]])
def test_seconds_are_a_number(hosted: UsageMock, value: Any) -> None:
    for do in (hosted.delay, hosted.advance):
        with pytest.raises(TypeError, match="is not a number of seconds"):
            do(value)
    with pytest.raises(TypeError, match="'1' is not a number of seconds"):
        hosted.advance("1")  # type: ignore[arg-type]  # the error under test


def test_a_fault_name_with_a_request_number_is_rejected_with_the_arguments(hosted: UsageMock) -> None:
    advice = re.escape("fail('body-is-sent-slowly', after=2, times=1) acts on request 3")
    with pytest.raises(ValueError, match=advice):
        hosted.fail("body-is-sent-slowly@3")
    with pytest.raises(ValueError, match="fault: 'body-is-sent-slowly@0' is not valid"):
        UsageMock(fault="body-is-sent-slowly@0")


def test_a_fault_acts_on_one_request_from_the_start() -> None:
    with UsageMock(fault="body-is-null@2") as mock:
        assert [usage(mock.url, mock.api_key).body == b"null" for _ in range(3)] == [False, True, False]


@pytest.mark.parametrize("arguments", [{"times": 3}, {"after": 1}, {"file_conditions": True}])
def test_no_fault_has_no_other_arguments(hosted: UsageMock, arguments: Any) -> None:
    with pytest.raises(ValueError, match="fail: None removes the override; it has no after, times and file_conditions"):
        hosted.fail(None, **arguments)


@pytest.mark.parametrize("counts", [{"after": -1}, {"times": 0}, {"after": 1.5}, {"times": True}])
def test_a_fault_with_invalid_counts_is_rejected(hosted: UsageMock, counts: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="is not a whole number from"):
        hosted.fail("body-is-null", **counts)


@pytest.mark.parametrize("name", ["use", "fail", "record"])
def test_a_name_is_a_text(hosted: UsageMock, name: str) -> None:
    with pytest.raises(TypeError, match="3 is not a text"):
        getattr(hosted, name)(3)


@pytest.mark.parametrize(("option", "value"), [("port", 99999), ("port", -1), ("grace", -1.0), ("grace", float("nan"))])
def test_an_invalid_port_or_time_is_rejected(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{option}: .* is not a"), UsageMock(**{option: value}):
        pass


def test_another_object_than_an_app_is_rejected_without_its_content(contract: Contract) -> None:
    for app in (Deployment("mine", "d", {"secret-key": Key()}), contract):
        with pytest.raises(TypeError, match=rf"^app: a {type(app).__name__} is not an application of make_app;"):
            UsageMock(app)  # type: ignore[arg-type]  # the error under test


def test_an_unknown_option_is_reported_with_a_suggestion() -> None:
    with pytest.raises(TypeError, match="is not an option; did you mean 'rate_limit'"):
        UsageMock(rate_limited=False)  # type: ignore[call-arg]  # the error under test


def test_paths_may_be_texts(tmp_path: Path) -> None:
    (tmp_path / "deployments").mkdir()
    (tmp_path / "deployments" / "default.yaml").write_text("description: d\nkeys: {only-key: {}}\n")
    with UsageMock(fixtures=str(tmp_path)) as mock:
        assert mock.keys == ("only-key",)
    assert list(load_deployment("default", str(tmp_path)).keys) == ["only-key"]
    assert load_fault("body-is-null", str(tmp_path)) == load_fault("body-is-null")
    with pytest.raises(CertificateError, match="cannot be read"):
        UsageMock(tls_cert=str(tmp_path / "no"), tls_key=str(tmp_path / "no"))


def test_impossible_traffic_is_rejected(hosted: UsageMock) -> None:
    with pytest.raises(ValueError, match="failures: 2 exceeds requests: 1"):
        hosted.record("d.example", requests=1, failures=2)
    with pytest.raises(TypeError, match=r"requests: 1\.5 is not a whole number"):
        hosted.record("d.example", requests=1.5)  # type: ignore[arg-type]  # the error under test
    with pytest.raises(ValueError, match=r"bytes: .* is not a whole number"):
        hosted.record("d.example", bytes=2**60)


def test_a_reset_clears_the_state_of_faults() -> None:
    with UsageMock(fault="total-is-a-text") as mock:  # changes one response in four
        made = mock.make_key()
        for _ in range(3):
            usage(mock.url, "demo-modest")
        mock.reset()
        assert (mock.requests, made in mock.keys) == ((), False)
        totals = [usage(mock.url, "demo-modest").json["total"] for _ in range(3)]
        assert [type(total) for total in totals] == [int, int, int]


def test_an_empty_host_is_not_every_address() -> None:
    with pytest.raises(ValueError, match="host: is empty; omit it for the default"):
        UsageMock(host="")


def kind(name: str, value: object) -> dict[str, Any]:
    return {name: value}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cors", "off"),
        ("rate_limit", "no"),
        ("port", "8080"),
        ("port", True),
        ("grace", "x"),
        ("tls_cert", 3),
        ("tls_key", ("cert.pem",)),
        ("seed", 1.5),
        ("scenario", 1),
        ("fault", [1]),
        ("deployment", 3),
        ("unknown_key_status", "401"),
    ],
)
def test_an_option_of_another_type_is_rejected(name: str, value: object) -> None:
    with pytest.raises(TypeError, match=rf"^{name}: .+ is not valid; expected "):
        UsageMock(**kind(name, value))


def test_a_delay_may_be_a_number_from_the_start() -> None:
    with UsageMock(delay=0.0) as mock:
        assert usage(mock.url, mock.api_key).status == 200


def test_a_status_can_be_removed(hosted: UsageMock) -> None:
    hosted.use("throttled")
    hosted.answer(503)
    hosted.answer(None)
    assert usage(hosted.url, hosted.api_key).status == 429


def test_the_domain_of_traffic_is_a_host_name(hosted: UsageMock) -> None:
    with pytest.raises(ValueError, match="is not a host name"):
        hosted.record("https://shop.example/")
