"""The header fields with dates: each is a date, and the current one."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from contract_tests.support.findings import Finding, Findings
from contract_tests.support.gate import Gate
from contract_tests.support.rules import advisory, specified
from contract_tests.wire.dates import has_obsolete_form, is_date, is_imf_fixdate, made_at
from contract_tests.wire.http_lint import DATES, OTHER_DATES
from contract_tests.wire.messages import AUTH_ERRORS, Exchange, Exchanges
from contract_tests.wire.not_tested import OWN_REQUESTS, NotApplicable, NotTested, or_not_applicable

LARGEST_CLOCK_OFFSET = 300  # seconds: between those of the server and of this machine
DATE_INTERVAL = 2.0  # seconds: Date has whole seconds, so two responses that far apart have different ones
ROUNDING = 0.1  # seconds: more than the inaccuracy of sums of times
LARGEST_SPREAD = 60  # seconds: between the clocks of the machines behind an address
FROZEN_INTERVAL = 5.0  # seconds: for one key and target, because a gateway may repeat a response for a moment


@pytest.fixture
def dated(client: Gate, first_ok: Exchange, journal: Exchanges) -> Exchanges:
    """200 responses with a Date of their own; two seconds or more pass between the first and the last one."""
    dated = [each for each in journal if client.is_ok(each) and _has_own_date(each)]
    if _duration(dated) < DATE_INTERVAL:
        first = dated[0] if dated else first_ok
        client.transport.pause(max(0.0, first.ended + DATE_INTERVAL + ROUNDING - journal[-1].ended))
        last = client.send(client.main, "two seconds or more after the first one")
        dated += [last] if client.is_ok(last) and _has_own_date(last) else []
    if not dated:
        raise NotApplicable("no 200 response has a Date of its own")
    if _duration(dated) < DATE_INTERVAL:
        raise NotTested("no two responses that are two seconds apart have a Date of their own")
    return dated


@specified("RFC 9110, section 6.6.1: Date is the time at which the message was made")
def test_date_advances(dated: Exchanges) -> Findings:
    """`Date` MUST advance: it MUST NOT be the same in all responses of two seconds.

    The same applies to all responses of five seconds to one key and target. A cache may repeat a response with its
    `Date`, if `Age` states that.
    """
    alike: dict[object, list[Exchange]] = {}
    for exchange in dated:
        alike.setdefault((exchange.request.credential, exchange.request.target), []).append(exchange)
    for exchanges, shortest in [(dated, DATE_INTERVAL), *((each, FROZEN_INTERVAL) for each in alike.values())]:
        seconds = _duration(exchanges)
        if seconds >= shortest and len({exchange.header("Date") for exchange in exchanges}) == 1:
            first, last = exchanges[0], exchanges[-1]
            yield Finding(f"Date is the same for {seconds:.0f} s", last, related=(first,), actual=last.header("Date"))
            return


def _has_own_date(exchange: Exchange) -> bool:
    """Whether a response has a Date that is a date, and is not the repeated one of a cache."""
    return is_date(exchange.header("Date")) and not exchange.values("Age")


def _duration(exchanges: Exchanges) -> float:
    """Return the seconds from the end of the first exchange to the start of the last one."""
    return exchanges[-1].started - exchanges[0].ended if exchanges else 0.0


@advisory(
    "RFC 9110, section 6.6.1: Date is the time at which the message was made; this machine's clock may be wrong",
    repeats=["http/date-advances"],
)
def test_date_is_the_current_time(gate: Gate, journal: Exchanges) -> Findings:
    """`Date` SHOULD be within five minutes of the time of this machine."""
    if gate.transport.is_recorded:
        raise NotTested("the exchanges were recorded at another time", wanted=OWN_REQUESTS)
    now = gate.transport.clock.now()
    dated = (each for each in journal if _has_own_date(each) and is_imf_fixdate(each.header("Date")))
    for exchange in or_not_applicable(dated, "no response has a valid Date of its own"):
        date = exchange.header("Date")
        ended = time.time() - (now - exchange.ended)
        if abs(made_at(exchange) - ended) > LARGEST_CLOCK_OFFSET:
            expected = formatdate(ended, usegmt=True)
            yield Finding("Date is not the current time", exchange, expected=expected, actual=date)


@advisory(
    "RFC 9110, section 6.6.1: Date is the best approximation of the time; one address may lead to several machines",
    repeats=["http/date-advances", "http/date-is-the-current-time"],
    reads=["time"],
)
def test_dates_are_of_one_clock(journal: Exchanges) -> Findings:
    """The values of `Date` SHOULD advance with the time, to within a minute; those of errors, too."""
    dated = [each for each in journal if _has_own_date(each) and is_imf_fixdate(each.header("Date"))]
    for exchange in or_not_applicable(dated, "no response has a valid Date of its own"):
        first, seconds = dated[0], exchange.ended - dated[0].ended
        if abs(made_at(exchange) - made_at(first) - seconds) > LARGEST_SPREAD:
            expected = formatdate(made_at(first) + seconds, usegmt=True)
            problem, actual = "Date is that of another clock", exchange.header("Date")
            yield Finding(problem, exchange, related=(first,), expected=expected, actual=actual)
            return


@specified(
    "RFC 9110, section 5.6.7: a sender generates dates in the IMF-fixdate form",
    repeats=["rate/retry-after-is-well-formed"],
)
def test_dates_are_imf_fixdates(journal: Exchanges) -> Findings:
    """`Date`, `Last-Modified`, and a date in `Expires` or `Retry-After` MUST be like `Sun, 06 Nov 1994 08:49:37 GMT`.

    The day of the week in `Expires` and `Retry-After` is not judged.
    """
    dates = ((each, name, value) for each in journal for name in DATES for value in each.values(name))
    others = ((each, name, value) for each in journal for name in OTHER_DATES for value in each.values(name))
    wrong = [each for each in others if has_obsolete_form(each[2])]
    for exchange, name, value in or_not_applicable((*dates, *wrong), f"no response has {' or '.join(DATES)}"):
        if not is_imf_fixdate(value):
            expected = "Sun, 06 Nov 1994 08:49:37 GMT or the like"
            yield Finding(f"{name} is not an IMF-fixdate", exchange, expected=expected, actual=value)


@specified("RFC 9110, section 6.6.1: a server with a clock sends Date in each response with status 2xx, 3xx or 4xx")
def test_every_response_has_a_date(baseline_responses: Exchanges) -> Findings:
    """A response with status 200, 401 or 403 MUST have `Date` if others have one, because the server has a clock."""
    documented = [exchange for exchange in baseline_responses if exchange.status in {200, *AUTH_ERRORS}]
    dated = or_not_applicable((each for each in documented if each.values("Date")), "no such response has Date")
    for exchange in documented:
        if not exchange.values("Date"):
            yield Finding("the response has no Date, and others have one", exchange, related=(dated[0],))


@advisory(
    "RFC 9110, section 6.6.1: a server with a clock sends Date in each response with status 2xx, 3xx or 4xx",
    repeats=["http/every-response-has-a-date"],
)
def test_responses_have_a_date(baseline_responses: Exchanges) -> Findings:
    """A response SHOULD have `Date`."""
    for exchange in baseline_responses:
        if 200 <= (exchange.status or 0) < 500 and not exchange.values("Date"):
            yield Finding("the response has no Date", exchange)
