"""The verdict on a client: waiting, backing off, and keeping the key out of URLs."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Sequence
from contextlib import ExitStack, closing, nullcontext
from email.utils import formatdate
from http.client import HTTPConnection

import pytest

from mock_server import AsyncUsageMock, UsageMock
from mock_server.journal.client_verdict import judge_client
from mock_server.journal.entry import ClientConnection
from mock_server.journal.journal import MAX_DROPPED_KEYS, Journal
from mock_server.journal.verification import verify
from mock_server.masking import mask_key
from tests.support.control_api import Api
from tests.support.entries import entry
from tests.support.wire import Clock, address, send_request, usage

BUSY, MODEST = "demo-busy", "demo-modest"
NOW = 1_800_000_000.0
DATE = 1_700_000_000.0  # the mock's clock can differ from that of Date

# A request: its time, the status code, and Retry-After.
Sent = tuple[float, int, str]


def journal_of(sent: Sequence[Sent], key: str = BUSY, capacity: int = 1000) -> Journal:
    journal = Journal(capacity)
    for at, status, retry_after in sent:
        response = {"Date": formatdate(DATE), "Retry-After": retry_after} if retry_after else {}
        journal.add(entry(keys=[key], status=status, at=NOW + at, response=response))
    return journal


def lapses(*sent: Sent) -> list[tuple[int, str, bool]]:
    return [(each.number, each.lapse, each.is_warning) for each in judge_client(journal_of(sent), [BUSY]).evidence]


@pytest.mark.parametrize(
    "sent",
    [
        [(0, 200, ""), (0, 200, "")],
        [(0, 429, "1"), (1, 200, "")],
        [(0, 429, "1"), (1, 429, "1"), (3, 429, "1"), (7, 200, "")],
        [(0, 429, "1"), (3, 200, ""), (3, 429, "1"), (4, 200, "")],
        [(0, 429, formatdate(DATE + 5)), (5, 200, "")],
        [(0, 429, formatdate(DATE + 5)), (4, 200, "")],
        [(0, 429, formatdate(DATE - 5)), (0, 200, "")],
        [(0, 429, "soon"), (0.1, 200, "")],
        [(0, 401, "")],
        [(0, 500, ""), (0, 500, "")],
    ],
)
def test_a_client_that_waits_and_backs_off_is_well_behaved(sent: list[Sent]) -> None:
    assert lapses(*sent) == []


def test_a_request_before_the_end_of_retry_after_is_too_early() -> None:
    assert lapses((0, 429, "2"), (1.9, 200, "")) == [(2, "too-early", False)]
    assert lapses((0, 429, formatdate(DATE + 5)), (3.9, 200, "")) == [(2, "too-early", False)]
    assert lapses((0, 503, "2"), (1, 200, "")) == [(2, "too-early", False)]


def test_the_longest_retry_after_applies() -> None:
    sent = [(0.0, 429, "9"), (1.0, 429, "1"), (4.0, 200, "")]
    assert [number for number, lapse, _ in lapses(*sent) if lapse == "too-early"] == [2, 3]


def test_waits_between_consecutive_429s_must_grow() -> None:
    assert lapses((0, 429, ""), (2, 429, ""), (4, 429, "")) == [(3, "no-backoff", False)]
    assert lapses((0, 429, "2"), (2, 429, "2"), (4, 429, "2")) == [(3, "no-backoff", True)]


def test_a_refusal_must_not_be_retried_with_the_same_key() -> None:
    assert lapses((0, 401, ""), (9, 401, ""), (99, 200, ""), (99, 200, "")) == [
        (2, "retried-auth-error", False),
        (3, "retried-auth-error", False),
    ]


def test_each_key_counts_as_a_separate_client() -> None:
    journal = journal_of([(0, 403, "")])
    journal.add(entry(keys=[MODEST], status=403, at=NOW))
    assert judge_client(journal, [BUSY]).is_well_behaved


def test_refusals_count_for_their_path_only() -> None:
    journal = Journal()
    for target, status in (("/usage", 401), ("/healthz", 200), ("/usage?page=2", 401)):
        journal.add(entry(target, [], status, at=NOW))
    assert [each.number for each in judge_client(journal, [BUSY]).evidence] == [3]


def test_a_concurrent_request_is_not_a_retry() -> None:
    journal = Journal()
    for received, at in ((0.0, 2.0), (1.0, 3.0)):
        journal.add(entry(status=429, at=at, received=received, seconds=2.0, response={"Retry-After": "9"}))
    assert judge_client(journal, [BUSY]).is_well_behaved


# Requests by the number of their connection; each connection was opened before any of them, unless it is new.
CONCURRENT: list[tuple[list[tuple[float, int, int]], list[int]]] = [
    ([(0, 1, 429), (0.002, 2, 429), (0.004, 3, 429)], []),
    ([(0, 1, 429), (0.002, 2, 429), (1, 1, 200), (1.002, 2, 200)], []),
    ([(0, 1, 429), (0.002, 2, 429), (0.1, 1, 429), (0.2, 2, 200)], [3, 4]),
    ([(0, 1, 429), (0.1, 2, 200), (0.2, 2, 200)], [3]),
    ([(0, 1, 200), (0, 2, 429), (0.1, 1, 200)], []),
    ([(0, 1, 401), (0, 2, 401), (0, 1, 401)], [3]),
]


@pytest.mark.parametrize(("sent", "found"), CONCURRENT)
def test_a_request_on_another_connection_is_not_a_retry_until_it_has_had_a_response(
    sent: list[tuple[float, int, int]], found: list[int]
) -> None:
    journal, connections = Journal(), [ClientConnection(0) for _ in range(4)]
    for at, number, status in sent:
        response = {"Retry-After": "1"} if status == 429 else {}
        journal.add(entry(status=status, at=NOW + at, response=response, connection=connections[number]))
    assert [each.number for each in judge_client(journal, [BUSY]).evidence if each.lapse != "no-backoff"] == found


def test_a_request_on_a_new_connection_is_a_retry() -> None:
    journal = Journal()
    for at in (0.0, 0.1):
        connection = ClientConnection(journal.number)
        journal.add(entry(status=429, at=at, response={"Retry-After": "1"}, connection=connection))
    assert [each.lapse for each in judge_client(journal, [BUSY]).evidence] == ["too-early"]


@pytest.mark.parametrize(("waits", "passes"), [(True, True), (False, False)])
def test_a_concurrent_client_is_judged_by_what_each_connection_knows(waits: bool, passes: bool) -> None:
    with UsageMock() as mock, ExitStack() as exits:
        key = mock.make_key(rate_limit={"rps": 10, "burst": 4})
        mock.freeze()
        connections = [exits.enter_context(closing(HTTPConnection(*address(mock.url), timeout=9))) for _ in range(8)]

        def get(connection: HTTPConnection) -> int:
            connection.request("GET", "/usage", headers={"X-API-Key": key})
            response = connection.getresponse()
            response.read()
            return response.status

        for connection in connections:
            connection.connect()
        Api(mock.url).get("/state")  # the mock has accepted all of them
        found = list(map(get, connections))
        assert found == [200] * 4 + [429] * 4
        if waits:
            mock.advance(1)
        assert get(connections[-1]) == (200 if waits else 429)
        with nullcontext() if passes else pytest.raises(AssertionError, match=r"#9 with made….*before its Retry-After"):
            mock.assert_well_behaved(key)


@pytest.mark.parametrize(
    "target", [f"/usage?x={BUSY}", f"/{BUSY}", "/usage?api_key=x", "/usage?a=1&X-API-Key=", "/?token=x"]
)
def test_a_key_in_a_url_is_a_lapse(target: str) -> None:
    journal = Journal()
    journal.add(entry(target))
    [evidence] = judge_client(journal, [BUSY]).evidence
    assert (evidence.lapse, BUSY in evidence.problem) == ("key-in-url", False)


@pytest.mark.parametrize("target", ["/usage", "/usage?monkey=3", "/usage?page=2&tokens=5"])
def test_other_parameters_are_not_a_lapse(target: str) -> None:
    journal = Journal()
    journal.add(entry(target))
    assert judge_client(journal, [BUSY]).is_well_behaved


def test_an_empty_journal_has_no_good_verdict() -> None:
    verdict = judge_client(Journal(), [BUSY])
    assert (verdict.is_well_behaved, verdict.text) == (False, "The journal has no request to judge.")


def test_the_text_of_a_verdict_lists_the_first_pieces_of_evidence() -> None:
    verdict = judge_client(journal_of([(0, 403, "")] * 15), [BUSY])
    assert len(verdict.evidence) == 14
    assert verdict.text.splitlines()[1].startswith("#2 with dem…0fd2c2: #1 received 403")
    assert verdict.text.splitlines()[-2:] == [str(verdict.evidence[9]), "… and 4 more"]


def test_dropped_requests_prevent_a_good_verdict() -> None:
    verdict = judge_client(journal_of([(0, 200, "")] * 5, capacity=3), [BUSY])
    assert not verdict.is_well_behaved
    assert "The journal has dropped 2 requests" in verdict.text
    verdict = judge_client(journal_of([(0, 200, "")] * 4, capacity=3), [BUSY])
    assert "The journal has dropped 1 request, which" in verdict.text


def test_cleared_requests_are_not_dropped() -> None:
    journal = journal_of([(0, 200, "")] * 5, capacity=3)
    journal.clear()
    assert journal.dropped().number == 0
    for _ in range(4):
        journal.add(entry())
    assert journal.dropped().number == 1
    journal.clear(MODEST)
    assert journal.dropped().number == 1


def test_dropped_requests_of_another_key_do_not_matter() -> None:
    journal = journal_of([(0, 200, "")] * 5, capacity=3)
    journal.add(entry(keys=[MODEST]))
    for key, dropped in [(MODEST, 0), (mask_key(MODEST), 0), (BUSY, 3), (mask_key(BUSY), 3), (None, 3)]:
        verdict = judge_client(journal, [BUSY, MODEST], key)
        assert (verdict.dropped.number, verdict.is_well_behaved) == (dropped, not dropped)
    journal.clear(BUSY)
    assert judge_client(journal, [BUSY, MODEST]).is_well_behaved


def test_the_number_of_dropped_keys_is_bounded() -> None:
    journal = Journal(1)
    for number in range(MAX_DROPPED_KEYS + 3):
        journal.add(entry(keys=[f"k{number}"]))
    assert journal.dropped().number == MAX_DROPPED_KEYS + 2
    assert (journal.dropped("k0"), journal.dropped("another")) == ((1, True), (2, False))
    assert "The journal has dropped up to 2 requests" in judge_client(journal, [BUSY], "another").text
    detail = verify(journal, [BUSY], {"key": "another"}, {"exactly": 0}).detail
    assert detail.endswith("The journal has dropped up to 2 earlier requests.")


def test_a_key_that_may_be_counted_with_others_does_not_get_a_count_of_its_own() -> None:
    journal = Journal(1)
    for number in range(MAX_DROPPED_KEYS + 2):
        journal.add(entry(keys=[f"k{number}"]))
    journal.clear("k0")
    for _ in range(2):
        journal.add(entry(keys=[f"k{MAX_DROPPED_KEYS}"]))
    assert journal.dropped("k0") == journal.dropped(f"k{MAX_DROPPED_KEYS}") == (3, False)


@pytest.mark.parametrize("key", [BUSY, mask_key(BUSY)])
def test_a_key_can_be_cleared_after_all_its_requests_were_dropped(key: str) -> None:
    journal = journal_of([(0, 200, "")] * 5, capacity=3)
    for _ in range(3):
        journal.add(entry(keys=[MODEST]))
    assert journal.dropped(BUSY).number == 5
    journal.clear(key)
    assert (journal.dropped(BUSY), journal.dropped(), journal.kept) == ((0, True), (0, True), 3)


def throttle(mock: UsageMock) -> None:
    """Send one request more than the bucket of a key has tokens."""
    for _ in range(11):
        usage(mock.url, BUSY)


def test_a_patient_client_passes(limited: UsageMock, clock: Clock) -> None:
    throttle(limited)
    clock.now += 1
    usage(limited.url, BUSY)
    limited.assert_well_behaved()
    limited.assert_well_behaved(BUSY)


def test_an_impatient_client_fails_with_the_evidence(limited: UsageMock, clock: Clock) -> None:
    throttle(limited)
    clock.now += 0.25
    usage(limited.url, BUSY)
    with pytest.raises(AssertionError, match=r"0\.250 s after #11, 0\.750 s before its Retry-After is over") as failure:
        limited.assert_well_behaved()
    assert f"#12 with {mask_key(BUSY)}" in str(failure.value)


@pytest.mark.parametrize(
    ("variant", "wait", "found"),
    [
        ("retry-after-is-a-date", 2, []),
        ("retry-after-is-a-date", 0.5, ["too-early"]),
        ("clock-is-two-hours-ahead", 1, []),
    ],
)
def test_a_date_in_retry_after_counts_from_the_date_of_its_response(
    limited: UsageMock, clock: Clock, variant: str, wait: float, found: list[str]
) -> None:
    limited.fail(variant)
    limited.advance(86400)
    throttle(limited)
    clock.now += wait
    usage(limited.url, BUSY)
    assert [each["lapse"] for each in Api(limited.url).get("/verdict")["evidence"]] == found


def test_a_date_without_the_date_of_its_response_is_not_judged() -> None:
    journal = Journal()
    for _ in range(2):
        journal.add(entry(status=503, at=NOW, response={"Retry-After": formatdate(NOW + 9)}))
    assert judge_client(journal, [BUSY]).is_well_behaved


def test_constant_waits_are_a_warning(limited: UsageMock, clock: Clock) -> None:
    limited.answer(429)
    for _ in range(3):
        usage(limited.url, BUSY)
        clock.now += 1
    with pytest.warns(UserWarning, match="The wait does not grow"):
        limited.assert_well_behaved()


@pytest.mark.parametrize("scenario", ["throttled", "nearly-exhausted"])
def test_a_client_that_honours_a_scenario_at_the_limit_is_well_behaved(
    scenario: str, limited: UsageMock, clock: Clock
) -> None:
    limited.use(scenario)
    while (response := usage(limited.url, BUSY)).status == 200:
        pass
    assert int(response.headers["X-RateLimit-Limit"]) > int(response.headers["X-RateLimit-Remaining"]) == 0
    for factor in (1, 2, 4):
        clock.now += factor * int(response.headers["Retry-After"] or 0)
        response = usage(limited.url, BUSY)
    assert response.status == (429 if scenario == "throttled" else 200)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        limited.assert_well_behaved()
    if scenario == "throttled":
        clock.now += 0.9
        usage(limited.url, BUSY)
        with pytest.raises(AssertionError, match=r"0.100 s before its Retry-After is over"):
            limited.assert_well_behaved()


def test_a_wait_lasts_from_a_response_to_the_next_request(limited: UsageMock) -> None:
    limited.delay("0.01")
    limited.answer(429)
    usage(limited.url, BUSY)
    entry = limited.requests[-1]
    assert entry.received <= entry.at


def test_the_async_mock_has_the_same_verdict() -> None:
    async def verdict() -> None:
        async with AsyncUsageMock() as mock:
            for _ in range(2):
                await asyncio.to_thread(send_request, mock.url)
            mock.assert_well_behaved()

    with pytest.raises(AssertionError, match="#2 without a key: #1 received 401, and the client tries again"):
        asyncio.run(verdict())


def test_the_control_api_reports_the_verdict(limited: UsageMock) -> None:
    api = Api(limited.url)
    usage(limited.url, MODEST)
    for _ in range(2):
        usage(limited.url, "nobody")
    refused = api.request("POST", "/verify", {"client": "well-behaved"})
    assert (refused.status, refused.json["ok"], refused.json["judged"]) == (409, False, 3)
    assert [each["lapse"] for each in refused.json["evidence"]] == ["retried-auth-error"]
    assert b"nobody" not in refused.body
    assert api.get("/verdict") == refused.json
    assert api.do("POST", "/verify", {"client": "well-behaved", "key": MODEST})["ok"] is True
    assert api.get(f"/verdict?key={mask_key(MODEST).replace('…', '%E2%80%A6')}")["judged"] == 1


def test_a_verdict_accepts_a_key_as_its_only_criterion(limited: UsageMock) -> None:
    status, detail = Api(limited.url).refused("POST", "/verify", {"client": "well-behaved", "exactly": 1})
    assert (status, detail) == (422, "body /exactly: is not a known name; valid: client, key")


def test_a_good_verdict_emits_no_warning(limited: UsageMock) -> None:
    usage(limited.url, BUSY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        limited.assert_well_behaved()
