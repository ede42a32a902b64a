"""What caches and conditional requests rest on: tags, dates, parts, and whom an answer is for."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

import pytest

from contract_tests.run.facts import MISSING_KEY_REFUSED, NEEDS_READABLE_BODY, NEEDS_VALID_KEY
from contract_tests.run.gate import Gate
from contract_tests.run.rules import DOCUMENT, holds
from contract_tests.wire.messages import AUTH_ERRORS, Exchange
from contract_tests.wire.pacing import is_date, made_at


@pytest.mark.needs(*NEEDS_VALID_KEY)
@pytest.mark.rule(level="specified", source="RFC 9110, sections 13.1.2, 13.1.3 and 15.4.5: conditions and 304")
def test_unknown_validator_is_not_304(gate: Gate) -> None:
    """A condition that names a tag that nobody issued, or a day before there was HTTP, MUST NOT be answered 304."""
    conditions = {
        "if its tag is not one nobody issued": ("If-None-Match", '"nobody-issued-this-tag"'),
        "if modified since 1985": ("If-Modified-Since", "Tue, 01 Jan 1985 00:00:00 GMT"),
    }
    exchanges = [gate.ask(gate.main, label, fields=[condition]) for label, condition in conditions.items()]
    holds(f"{exchange.status}\n{exchange.seen}" for exchange in exchanges if exchange.status != 200)


@pytest.mark.rule(level="specified", source="RFC 9110, section 8.8.3: ETag")
def test_etag_is_well_formed(good: list[Exchange]) -> None:
    """An entity tag MUST stand in quotation marks, after W/ where it is weak."""
    holds(
        f"ETag is {tag!r}\n{exchange.seen}"
        for exchange in good
        for tag in exchange.values("ETag")
        if not TAG.fullmatch(tag)
    )


@pytest.mark.rule(level="specified", source="RFC 9110, section 8.8.1: a strong validator changes with the body")
def test_strong_etag_identifies_one_body(good: list[Exchange]) -> None:
    """Two different bodies MUST NOT have the same strong entity tag."""
    bodies: dict[str, str] = {}
    for exchange in good:
        tag = exchange.header("ETag")
        if exchange.status == 200 and exchange.ending == "complete" and tag and TAG.fullmatch(tag) and tag[0] == '"':
            assert bodies.setdefault(tag, exchange.sha256) == exchange.sha256, (
                f"{tag} is on another body\n{exchange.seen}"
            )


TAG = re.compile(r'(W/)?"[\x21\x23-\x7e\x80-\xff]*"')


@pytest.mark.needs(*NEEDS_VALID_KEY, MISSING_KEY_REFUSED, "cache/unknown-validator-is-not-304")
@pytest.mark.rule(level="documented", source="RFC 9110, section 13.2.1: conditions come after authorization")
def test_current_etag_is_200_or_304(gate: Gate, first: Exchange, others: list[Exchange]) -> None:
    """Where an answer has an entity tag, a request that names it MUST be answered 200 or 304, and needs its key."""
    tag = first.header("ETag")
    if tag is None or not TAG.fullmatch(tag):
        return
    fields = [("If-None-Match", tag.encode("latin-1"))]
    exchange = gate.ask(gate.main, "if its tag is not that of the first answer", fields=fields)
    assert exchange.status in {200, 304}, f"{exchange.outcome}\n{exchange.seen}"
    refused = gate.ask(None, "if its tag is not that of the first answer", fields=fields)
    assert refused.status in gate.baseline.refusals(None), f"{refused.status} without a key\n{refused.seen}"
    tagged = [each for each in others if each.status == 200 and each.header("ETag") not in {None, tag}]
    if tagged:
        other = gate.ask(tagged[0].request.credential, "if its tag is not that of the main key's answer", fields=fields)
        assert other.status == 200, f"{other.outcome} to another key's tag\n{other.seen}"


@pytest.mark.needs(*NEEDS_READABLE_BODY)
@pytest.mark.rule(level="specified", source="RFC 9110, section 14.2 and 15.3.7: Range and 206")
def test_partial_response_is_206(gate: Gate) -> None:
    """A part MUST be answered to a Range only, as 206 with Content-Range; otherwise the whole is."""
    exchange = gate.ask(gate.main, "for its first ten bytes", fields=[("Range", "bytes=0-9")])
    assert exchange.status in {200, 206, 416}, f"{exchange.status}\n{exchange.seen}"
    if exchange.status == 206:
        assert re.fullmatch(r"bytes 0-\d+/(\d+|\*)", exchange.header("Content-Range") or ""), (
            f"Content-Range is {exchange.header('Content-Range')!r}\n{exchange.seen}"
        )
        last = int(re.findall(r"\d+", exchange.header("Content-Range") or "")[1])
        assert exchange.size == last + 1 <= 10, (
            f"{exchange.size} bytes, and Content-Range is {exchange.header('Content-Range')!r}\n{exchange.seen}"
        )
    elif exchange.status == 200:
        assert not exchange.json.problem, f"the whole was announced, the body {exchange.json.problem}\n{exchange.seen}"


@pytest.mark.rule(
    level="documented", source=f"{DOCUMENT}, 200: metrics for the authenticated key, tokens now; RFC 9111, section 3"
)
def test_responses_are_not_shared_by_caches(gate: Gate, shared: tuple[Exchange, ...], journal: tuple[Exchange, ...]) -> None:
    """Figures, and refusals, MUST NOT be labelled so that a shared cache may give them to another caller."""
    holds(
        f"Cache-Control: {exchange.header('Cache-Control')}, Vary: {exchange.header('Vary')}\n{exchange.seen}"
        for exchange in (*shared, *(exchange for exchange in journal if exchange.status == 429))
        if _is_shared(gate, exchange)
    )


def _is_shared(gate: Gate, exchange: Exchange) -> bool:
    control = (exchange.header("Cache-Control") or "").lower().replace(" ", "").split(",")
    vary = (exchange.header("Vary") or "").lower().replace(" ", "").split(",")
    if (
        exchange.status not in {200, 429, *AUTH_ERRORS}
        or {"private", "no-store", "no-cache"} & set(control)
        or {"*", gate.key_header.lower()} & set(vary)
    ):
        return False
    for_shared = [item for item in control if item.startswith("s-maxage")]  # it goes before max-age
    ages = [
        int(age)
        for item in for_shared or control
        if (age := item.partition("=")[2].strip('"')).isdecimal() and item.startswith(("max-age", "s-maxage"))
    ]
    if ages or "Expires" not in {name.title() for name, _ in exchange.fields}:
        return any(ages) or ("public" in control and not ages)
    return _expires_later(exchange)


def _expires_later(exchange: Exchange) -> bool:
    """Whether Expires names a later time than Date (RFC 9111, section 5.3); what is no date is over."""
    expires = exchange.header("Expires") or ""
    return is_date(expires) and parsedate_to_datetime(expires).timestamp() > made_at(exchange)
