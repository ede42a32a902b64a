"""What caches and conditional requests rest on: tags, dates, parts, and whom an answer is for."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

import pytest

from contract_tests.facts import MISSING_KEY_REFUSED, NEEDS_READABLE_BODY, NEEDS_VALID_KEY
from contract_tests.gate import Gate
from contract_tests.message import REFUSED, Answer
from contract_tests.rules import DOCUMENT, holds
from contract_tests.transport import is_date, made_at


@pytest.mark.needs(*NEEDS_VALID_KEY)
@pytest.mark.rule(level="specified", source="RFC 9110, sections 13.1.2, 13.1.3 and 15.4.5: conditions and 304")
def test_unknown_condition_is_not_met(gate: Gate) -> None:
    """A condition that names a tag that nobody issued, or a day before there was HTTP, MUST NOT be answered 304."""
    conditions = {
        "if its tag is not one nobody issued": ("If-None-Match", '"nobody-issued-this-tag"'),
        "if modified since 1985": ("If-Modified-Since", "Tue, 01 Jan 1985 00:00:00 GMT"),
    }
    answers = [gate.ask(gate.main, told, fields=[condition]) for told, condition in conditions.items()]
    holds(f"{answer.status}\n{answer.seen}" for answer in answers if answer.status != 200)


@pytest.mark.rule(level="specified", source="RFC 9110, section 8.8.3: ETag")
def test_entity_tag_is_well_formed(good: list[Answer]) -> None:
    """An entity tag MUST stand in quotation marks, after W/ where it is weak."""
    holds(
        f"ETag is {tag!r}\n{answer.seen}" for answer in good for tag in answer.values("ETag") if not TAG.fullmatch(tag)
    )


@pytest.mark.rule(level="specified", source="RFC 9110, section 8.8.1: a strong validator changes with the body")
def test_strong_tag_stands_for_one_body(good: list[Answer]) -> None:
    """Two different bodies MUST NOT have the same strong entity tag."""
    bodies: dict[str, str] = {}
    for answer in good:
        tag = answer.header("ETag")
        if answer.status == 200 and answer.ending == "complete" and tag and TAG.fullmatch(tag) and tag[0] == '"':
            assert bodies.setdefault(tag, answer.sha256) == answer.sha256, f"{tag} is on another body\n{answer.seen}"


TAG = re.compile(r'(W/)?"[\x21\x23-\x7e\x80-\xff]*"')


@pytest.mark.needs(*NEEDS_VALID_KEY, MISSING_KEY_REFUSED, "cache/unknown-condition-is-not-met")
@pytest.mark.rule(level="documented", source="RFC 9110, section 13.2.1: conditions come after authorization")
def test_current_tag_is_a_condition(gate: Gate, first: Answer, others: list[Answer]) -> None:
    """Where an answer has an entity tag, a request that names it MUST be answered 200 or 304, and needs its key."""
    tag = first.header("ETag")
    if tag is None or not TAG.fullmatch(tag):
        return
    fields = [("If-None-Match", tag.encode("latin-1"))]
    answer = gate.ask(gate.main, "if its tag is not that of the first answer", fields=fields)
    assert answer.status in {200, 304}, f"{answer.outcome}\n{answer.seen}"
    refused = gate.ask(None, "if its tag is not that of the first answer", fields=fields)
    assert refused.status in gate.baseline.refusals(None), f"{refused.status} without a key\n{refused.seen}"
    tagged = [each for each in others if each.status == 200 and each.header("ETag") not in {None, tag}]
    if tagged:
        other = gate.ask(tagged[0].request.credential, "if its tag is not that of the main key's answer", fields=fields)
        assert other.status == 200, f"{other.outcome} to another key's tag\n{other.seen}"


@pytest.mark.needs(*NEEDS_READABLE_BODY)
@pytest.mark.rule(level="specified", source="RFC 9110, section 14.2 and 15.3.7: Range and 206")
def test_part_is_labelled_as_one(gate: Gate) -> None:
    """A part MUST be answered to a Range only, as 206 with Content-Range; otherwise the whole is."""
    answer = gate.ask(gate.main, "for its first ten bytes", fields=[("Range", "bytes=0-9")])
    assert answer.status in {200, 206, 416}, f"{answer.status}\n{answer.seen}"
    if answer.status == 206:
        assert re.fullmatch(r"bytes 0-\d+/(\d+|\*)", answer.header("Content-Range") or ""), (
            f"Content-Range is {answer.header('Content-Range')!r}\n{answer.seen}"
        )
        last = int(re.findall(r"\d+", answer.header("Content-Range") or "")[1])
        assert answer.size == last + 1 <= 10, (
            f"{answer.size} bytes, and Content-Range is {answer.header('Content-Range')!r}\n{answer.seen}"
        )
    elif answer.status == 200:
        assert not answer.json.problem, f"the whole was announced, the body {answer.json.problem}\n{answer.seen}"


@pytest.mark.rule(
    level="documented", source=f"{DOCUMENT}, 200: metrics for the authenticated key, tokens now; RFC 9111, section 3"
)
def test_no_cache_may_share_an_answer(gate: Gate, shared: tuple[Answer, ...], journal: tuple[Answer, ...]) -> None:
    """Figures, and refusals, MUST NOT be labelled so that a shared cache may give them to another caller."""
    holds(
        f"Cache-Control: {answer.header('Cache-Control')}, Vary: {answer.header('Vary')}\n{answer.seen}"
        for answer in (*shared, *(answer for answer in journal if answer.status == 429))
        if _is_shared(gate, answer)
    )


def _is_shared(gate: Gate, answer: Answer) -> bool:
    control = (answer.header("Cache-Control") or "").lower().replace(" ", "").split(",")
    vary = (answer.header("Vary") or "").lower().replace(" ", "").split(",")
    if (
        answer.status not in {200, 429, *REFUSED}
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
    if ages or "Expires" not in {name.title() for name, _ in answer.fields}:
        return any(ages) or ("public" in control and not ages)
    return _expires_later(answer)


def _expires_later(answer: Answer) -> bool:
    """Whether Expires names a later time than Date (RFC 9111, section 5.3); what is no date is over."""
    expires = answer.header("Expires") or ""
    return is_date(expires) and parsedate_to_datetime(expires).timestamp() > made_at(answer)
