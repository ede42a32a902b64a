"""The log has one line for each request, discloses no key, and delays no response."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mock_server import make_app
from mock_server.command.request_log import (
    BATCH,
    MAX_WAITING,
    Format,
    RequestLog,
    Writer,
    as_coloured_text,
    as_json,
    as_text,
    format_for,
)
from mock_server.journal.entry import Outcome
from mock_server.masking import (
    has_key_in_target,
    keys_in,
    mask_field,
    mask_target,
    mask_text,
    printable_target,
)
from mock_server.options import MockOptions
from mock_server.simulation.overrides import NO_OVERRIDE, Override
from mock_server.web.mock import MOCK, Mock
from tests.support.command import serving
from tests.support.entries import Response, entry
from tests.support.wire import TIMEOUT, address
from usage_contract import Contract

KEYS = ("demo-busy", "k", "a/b&c-key")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Slow(io.StringIO):
    """A stream whose writes block until `resumed` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.resumed = threading.Event()

    def write(self, text: str) -> int:
        self.resumed.wait()
        return super().write(text)


@pytest.fixture
def mock(contract: Contract) -> Mock:
    app = make_app(contract, MockOptions(journal=250), clock=lambda: 1000.25)
    return app[MOCK]


def add(mock: Mock, target: str = "/usage", key: str = "demo-busy", status: int = 200) -> None:
    override = Override(scenario="heavy") if status == 403 else NO_OVERRIDE
    reason = "unknown-key" if status == 403 else ""
    recorded = entry(target, [key], status, at=1000.25, seconds=0.0012, reason=reason, override=override)
    mock.journal.add(recorded)


def logged_lines(mock: Mock, show: Format = as_text, count: int = 0) -> list[str]:
    """Return the lines that a log writes for `count` requests and one more with status 403."""
    stream = io.StringIO()
    writer = Writer(stream)
    log = RequestLog(mock, writer, show)
    for _ in range(count):
        add(mock)
    add(mock, status=403)
    log.finish()
    writer.close()
    return stream.getvalue().splitlines()


def run_log(log: RequestLog, mock: Mock, times: int, each: int = 1) -> None:
    """Run a log until it has read the journal `times` times, with `each` new requests before each time."""
    reads = iter(range(times))

    async def sleep(seconds: float) -> None:
        if seconds:
            if next(reads, None) is None:
                raise asyncio.CancelledError
            for _ in range(each):
                add(mock)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(log.run(sleep))


def test_a_log_line_contains_status_reason_and_override(mock: Mock) -> None:
    assert logged_lines(mock) == ["00:16:40 403 GET /usage 1.2 ms unknown-key scenario=heavy key=dem…0fd2c2"]


def test_json_has_one_object_per_line(mock: Mock) -> None:
    [line] = logged_lines(mock, as_json)
    assert json.loads(line) == {
        "time": "1970-01-01T00:16:40.250Z",
        "method": "GET",
        "target": "/usage",
        "status": 403,
        "ms": 1.2,
        "key": "dem…0fd2c2",
        "reason": "unknown-key",
        "applied": "scenario=heavy",
    }


@pytest.mark.parametrize("outcome", ["not-sent", "cut", "client-gone"])
def test_a_log_line_contains_the_outcome_of_a_response_that_was_not_sent(mock: Mock, outcome: Outcome) -> None:
    lines = []
    for show in (as_text, as_json):
        log = RequestLog(mock, writer := Writer(stream := io.StringIO()), show)
        recorded = entry(at=1000.25, seconds=0.0012)
        recorded.response_source = Response({}, outcome)
        mock.journal.add(recorded)
        log.finish()
        writer.close()
        lines.append(stream.getvalue())
    assert lines[0] == f"00:16:40 200 GET /usage 1.2 ms {outcome} key=dem…0fd2c2\n"
    assert json.loads(lines[1])["outcome"] == outcome


def test_the_log_counts_delayed_responses_that_the_stop_has_cut_off() -> None:
    with serving("--delay", "60", "--grace", "0") as (process, url), socket.create_connection(address(url)) as client:
        client.sendall(b"GET /usage HTTP/1.1\r\nHost: x\r\nX-API-Key: demo-busy\r\n\r\n")
        assert process.stderr
        lines = [process.stderr.readline() for _ in range(2)]
        process.terminate()
        lines.append(process.communicate(timeout=TIMEOUT)[1])
    assert lines[1].partition(" ")[2].startswith("200 GET /usage 60000")
    assert lines[2].partition(" ")[2] == "not sent: 1 delayed response, because the mock stopped\n"


def test_requests_before_the_start_of_the_log_are_not_logged(mock: Mock) -> None:
    add(mock)
    assert len(logged_lines(mock)) == 1


def test_every_request_is_logged_in_order(mock: Mock) -> None:
    assert [line.split()[1] for line in logged_lines(mock, count=240)] == ["200"] * 240 + ["403"]


def test_entries_that_the_journal_has_dropped_are_counted(mock: Mock) -> None:
    lines = logged_lines(mock, count=300)
    assert "51 requests are not shown" in lines[0]
    assert len(lines) == 1 + 250


@pytest.mark.parametrize(
    ("stream", "environment", "show"),
    [
        (Terminal(), {}, as_coloured_text),
        (Terminal(), {"NO_COLOR": ""}, as_coloured_text),
        (Terminal(), {"NO_COLOR": "1"}, as_text),
        (Terminal(), {"TERM": "dumb"}, as_text),
        (io.StringIO(), {}, as_text),
    ],
)
def test_a_terminal_gets_colours_unless_the_environment_forbids_them(
    stream: io.StringIO, environment: dict[str, str], show: Format
) -> None:
    assert format_for("text", stream, environment) is show


def test_a_coloured_line_has_the_same_text(mock: Mock) -> None:
    [coloured] = logged_lines(mock, as_coloured_text)
    assert "\x1b[33m403" in coloured
    assert [re.sub(r"\x1b\[\d+m", "", coloured)] == logged_lines(mock)


@pytest.mark.parametrize("show", [as_text, as_json])
def test_no_character_of_a_request_controls_the_terminal_or_ends_the_line(mock: Mock, show: Format) -> None:
    stream = io.StringIO()
    writer = Writer(stream)
    log = RequestLog(mock, writer, show)
    add(mock, "/\x1b[2J\r\n\x9b\u2028\udcff", "\x1b]0;\udcff")
    log.say("one\ntwo\x1b", is_error=True)
    log.finish()
    writer.close()
    lines = stream.getvalue().split("\n")
    assert len(lines) == 4
    assert all(line.isprintable() for line in lines)


def test_a_stalled_reader_delays_no_request_and_gets_the_number_of_skipped_lines(mock: Mock) -> None:
    reading, writing = os.pipe()
    with open(reading) as lines, open(writing, "w") as stream:  # noqa: PTH123 - file descriptors have no path
        writer = Writer(stream)
        log = RequestLog(mock, writer, as_text)
        run_log(log, mock, 300, BATCH)
        log.finish()
        with ThreadPoolExecutor() as pool:
            reader = pool.submit(lines.read)
            writer.close()
            stream.close()
    lines_read = reader.result().splitlines()
    missed = [int(line.split()[1]) for line in lines_read if "not shown" in line]
    assert sum(missed) + len(lines_read) - len(missed) == 300 * BATCH
    assert len(lines_read) > MAX_WAITING * BATCH


def test_lines_without_room_for_a_slow_reader_are_written_later(mock: Mock) -> None:
    stream = Slow()
    writer = Writer(stream)
    log = RequestLog(mock, writer, as_text)
    run_log(log, mock, MAX_WAITING + 10)
    stream.resumed.set()
    while writer.room < MAX_WAITING:
        pass
    log.finish()
    writer.close()
    assert len(re.findall("200 GET", stream.getvalue())) == len(stream.getvalue().splitlines()) == MAX_WAITING + 10


def test_remaining_lines_are_written_at_the_end(mock: Mock) -> None:
    stream = io.StringIO()
    writer = Writer(stream)
    log = RequestLog(mock, writer, as_text)
    for _ in range(240):
        add(mock)

    async def sleep(seconds: float) -> None:
        if not seconds:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(log.run(sleep))
    log.finish()
    writer.close()
    assert len(stream.getvalue().splitlines()) == 240


def test_an_unknown_key_is_never_shown(mock: Mock) -> None:
    stream = io.StringIO()
    writer = Writer(stream)
    log = RequestLog(mock, writer, as_text)
    for key in ("other", "prod-secret-77"):
        add(mock, "/usage/prod-secret-77?x=prod-secret-77", key)
    log.finish()
    writer.close()
    assert "GET /usage/prod…" in stream.getvalue().splitlines()[1]
    assert "prod-secret-77" not in stream.getvalue().splitlines()[1]


def test_a_closed_reader_is_not_an_error(mock: Mock) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as stream:  # noqa: PTH123 - file descriptors have no path
        writer = Writer(stream)
        writer.write("text\n")
        writer.write("more\n")
        writer.close()


def test_a_log_reads_the_journal_periodically(mock: Mock) -> None:
    stream = io.StringIO()
    writer = Writer(stream)
    log = RequestLog(mock, writer, as_text)
    pauses = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1:
            add(mock)
        if len(pauses) == 4:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(log.run(sleep))
    writer.close()
    assert len(stream.getvalue().splitlines()) == 1
    assert pauses == [0.15, 0, 0.15, 0.15]


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/usage", "/usage"),
        ("/usage?api_key=whatever&a=b", "/usage?api_key=wh…85738f&a=b"),
        ("/usage?X-API-Key=1", "/usage?X-API-Key=…6b86b2"),
        ("/usage?%74oken=1", "/usage?%74oken=…6b86b2"),
        ("/demo-busy/figures", "/dem…0fd2c2/figures"),
        ("/demo%2Dbusy", "/dem…0fd2c2"),
        ("/usage?demo-busy", "/usage?dem…0fd2c2"),
        ("/kiosk?q=k", "/kiosk?q=…8254c3"),
        ("/kiosk-k?q=kk&r=K", "/kiosk-k?q=kk&r=…8254c3"),
        ("/DEMO-busy/x", "/dem…0fd2c2/x"),
        ("/x-DEMO-busy-1/x", "/x-dem…0fd2c2-1/x"),
        ("/%44EMO-busy/x", "/dem…0fd2c2/x"),
        ("/%2564emo-busy/x", "/dem…0fd2c2/x"),
        ("/usage?api_key=DEMO%2Dbusy&a=b", "/usage?api_key=dem…0fd2c2&a=b"),
        ("/usage?api_key=demo-busy-2", "/usage?api_key=dem…3e62ad"),
        ("/usage?a=A%2fb%26c-key&a=b", "/usage?a=a/b…0d7eed&a=b"),
        ("/A/b&c-KEY/x", "a/b…0d7eed"),
        ("*", "*"),
    ],
)
def test_a_target_is_shown_without_keys(target: str, shown: str) -> None:
    assert mask_target(target, KEYS) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Bearer demo-busy", "Bearer dem…0fd2c2"),
        ("Bearer DEMO-BUSY.", "Bearer dem…0fd2c2."),
        ("demo-busy DEMO-Busy", "dem…0fd2c2 DEM…7dd8d1"),
        ("/usage/demo%2dbus%59?a", "dem…0fd2c2"),
        ("kk k-1 k2, k", "kk k-1 k2, …8254c3"),
        ("%6b", "…8254c3"),
        ("%6b-1", "%6b-1"),
        ("no key", "no key"),
        ("a%41+bcd b%41+BCD a%61 bcd", "a%…5f4079"),
    ],
)
def test_a_text_is_shown_without_keys_as_a_text_json_or_a_url_spells_them(text: str, shown: str) -> None:
    assert mask_text(text, [*KEYS, "DEMO-Busy", "a%41+bcd", "aa bcd"]) == shown


def test_masking_takes_time_in_proportion_to_the_text() -> None:
    key = "Bb" * 127
    for text in (f"{key}%2", f"{key[:-1]}%42c", f"{key.lower()}\\u004", "%25" * 5000 + key, key * 60 + "%"):
        shown = mask_text(text, [f"{key}Bc", "other%-key"])
        assert shown == text


def in_json(key: str) -> str:
    return json.dumps(key)[1:-1]


def percent_encoded(key: str) -> str:
    return "".join(f"%{byte:02X}" for byte in key.encode())


def twice_in_a_url(key: str) -> str:
    return quote(percent_encoded(key))


def json_in_a_url(key: str) -> str:
    return quote(in_json(key))


def in_foreign_json(key: str) -> str:
    return "".join(f"\\u{ord(char):04X}" for char in key).replace("\\u002F", "\\/")


@pytest.mark.parametrize("key", ["my-secret-key-77", "k 7", "a/b=c?d", "schlüssel", "straße-ΣΑΣ", 'a"b\\c+d%41'])
@pytest.mark.parametrize(
    "spell",
    [str.upper, quote, quote_plus, in_json, percent_encoded, twice_in_a_url, json_in_a_url, in_foreign_json],
)
def test_every_function_recognizes_a_key_in_any_spelling(key: str, spell: Callable[[str], str]) -> None:
    spelled = spell(key)
    assert keys_in(f"a, {spelled}", [key]) == [key]
    assert has_key_in_target(f"/usage/{spelled}", [key])
    for shown in (
        mask_target(f"/usage/{spelled}", [key]),
        mask_target(f"/usage?a={spelled}", [key]),
        printable_target(())(f"/usage/{spelled}", key),
        mask_text(f"a, {spelled}", [key]),
        mask_field("Accept", f"a, {spelled}", [key]),
    ):
        assert spelled not in shown
        assert keys_in(shown, [key]) == []


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=6), st.text(), st.text())
def test_a_known_key_is_masked_in_any_position(key: str, before: str, after: str) -> None:
    for target in (f"/{quote(before)}{quote(key, safe='')}{quote(after)}", f"/u?{quote(before)}={quote(key)}{after}"):
        assert key not in mask_target(target, [key])
