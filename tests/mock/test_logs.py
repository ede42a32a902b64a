"""The log: one line a request, no key in it, and nobody waits for it."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import threading
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mock_server import load_deployment, make_app
from mock_server.journal import Journal
from mock_server.logs import RequestLog, Show, Writer, as_coloured_text, as_json, as_text, show_for
from mock_server.masking import masked_target
from mock_server.serving import FRONT
from mock_server.settings import NOTHING, Behaviour
from mock_server.simulator import Simulator
from usage_contract import Contract

KEYS = ("demo-busy", "k", "a/b&c-key")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def simulator(contract: Contract) -> Simulator:
    app = make_app(contract, load_deployment(), clock=lambda: 1000.25, journal=Journal(250))
    return app[FRONT].simulator


def add(simulator: Simulator, target: str = "/usage", key: str = "demo-busy", status: int = 200) -> None:
    applied = Behaviour(scenario="heavy") if status == 403 else NOTHING
    simulator.journal.add(
        1000.25, "GET", target, [key], status, 0.0012, "unknown-key" if status == 403 else "", applied
    )


def told(simulator: Simulator, show: Show = as_text, count: int = 0) -> list[str]:
    """Return what a log says of what is added now, and of `count` more requests."""
    stream = io.StringIO()
    writer = Writer(stream)
    log = RequestLog(simulator, writer, show)
    for _ in range(count):
        add(simulator)
    add(simulator, status=403)
    log.finish()
    writer.close()
    return stream.getvalue().splitlines()


def test_a_request_is_a_line_with_what_was_answered_why_and_what_was_at_work(simulator: Simulator) -> None:
    assert told(simulator) == ["00:16:40 403 GET /usage 1.2 ms unknown-key scenario=heavy key=dem…0fd2c2"]


def test_json_is_an_object_a_line(simulator: Simulator) -> None:
    [line] = told(simulator, as_json)
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


def test_what_was_asked_before_the_log_began_is_not_told(simulator: Simulator) -> None:
    add(simulator)
    assert len(told(simulator)) == 1


def test_every_request_is_told_in_its_order(simulator: Simulator) -> None:
    assert [line.split()[1] for line in told(simulator, count=240)] == ["200"] * 240 + ["403"]


def test_what_the_journal_has_lost_is_counted(simulator: Simulator) -> None:
    lines = told(simulator, count=300)
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
def test_there_is_colour_on_a_terminal_that_wants_it(
    stream: io.StringIO, environment: dict[str, str], show: Show
) -> None:
    assert show_for("text", stream, environment) is show


def test_colour_changes_nothing_but_the_colour(simulator: Simulator) -> None:
    [coloured] = told(simulator, as_coloured_text)
    assert "\x1b[33m403" in coloured
    assert [re.sub(r"\x1b\[\d+m", "", coloured)] == told(simulator)


@pytest.mark.parametrize("show", [as_text, as_json])
def test_no_character_of_a_request_steers_the_terminal_or_ends_the_line(simulator: Simulator, show: Show) -> None:
    stream = io.StringIO()
    writer = Writer(stream)
    log = RequestLog(simulator, writer, show)
    add(simulator, "/\x1b[2J\r\n\x9b\u2028\udcff", "\x1b]0;\udcff")
    log.say("one\ntwo\x1b", is_error=True)
    log.finish()
    writer.close()
    lines = stream.getvalue().split("\n")
    assert len(lines) == 4
    assert all(line.isprintable() for line in lines)


def test_a_time_that_no_calendar_has_is_told(simulator: Simulator) -> None:
    simulator.clock.set(1e18)
    stream = io.StringIO()
    writer = Writer(stream)
    RequestLog(simulator, writer, as_json).say("text")
    writer.close()
    assert json.loads(stream.getvalue())["time"] == "no-date"


def test_a_reader_that_stands_still_stops_nobody(simulator: Simulator) -> None:
    reading, writing = os.pipe()
    with open(reading) as lines, open(writing, "w") as stream:  # noqa: PTH123 - they have no path
        writer = Writer(stream)
        log = RequestLog(simulator, writer, as_text)
        for _ in range(300):
            for _ in range(100):
                add(simulator)
            log.finish()
        reader = threading.Thread(target=lines.read)
        reader.start()
        writer.close()
        stream.close()
        reader.join()


def test_a_reader_that_has_gone_is_no_problem(simulator: Simulator) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = open(writing, "w")  # noqa: PTH123, SIM115 - it is closed below
    writer = Writer(stream)
    writer.write("text\n")
    writer.close()
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_it_looks_into_the_journal_now_and_then(simulator: Simulator) -> None:
    stream = io.StringIO()
    writer = Writer(stream)
    log = RequestLog(simulator, writer, as_text)
    pauses = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1:
            add(simulator)
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
        ("*", "*"),
    ],
)
def test_a_target_is_shown_without_keys(target: str, shown: str) -> None:
    assert masked_target(target, KEYS) == shown


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=6), st.text(), st.text())
def test_a_known_key_is_found_wherever_it_stands(key: str, before: str, after: str) -> None:
    for target in (f"/{quote(before)}{quote(key, safe='')}{quote(after)}", f"/u?{quote(before)}={quote(key)}{after}"):
        assert key not in masked_target(target, [key])
