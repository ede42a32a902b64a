"""Conditional requests and ranges: entity tags, responses with status 304, and parts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import pytest

from contract_tests.metrics.view import UsageMetrics, with_members
from contract_tests.reports.model import counted
from contract_tests.support.facts import MISSING_KEY_REFUSED, NEEDS_READABLE_BODY, NEEDS_VALID_KEY
from contract_tests.support.findings import Finding, Findings, field_finding, report, status_finding, unless_200
from contract_tests.support.gate import Gate
from contract_tests.support.lengths import other_length, states_a_length
from contract_tests.support.rules import advisory, documented, specified
from contract_tests.wire.dates import has_time, made_at, timestamp
from contract_tests.wire.messages import Credential, Exchange, Exchanges, kept_whole, with_field
from contract_tests.wire.not_tested import NotApplicable, or_not_applicable, or_not_tested

ENTITY_TAG = re.compile(r'(W/)?"[\x21\x23-\x7e\x80-\xff]*"')  # "v1" or W/"v1"
UNSATISFIED = re.compile(r"bytes \*/\d+")
CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)
FIRST_TEN_BYTES = b"bytes=0-9"
BODY_FIELDS = ("Content-Type", "Content-Encoding", "Content-Language")
VALIDATORS = ("ETag", "Last-Modified")
MOMENT = 2.0  # seconds: the content may change without another weak ETag, or within the second of Last-Modified
NO_STRONG_ETAG = "no 200 response has a strong ETag"


@specified("RFC 9110, sections 13.1.2, 13.1.3 and 15.4.5: conditions and 304", needs=NEEDS_VALID_KEY)
def test_unknown_validator_is_not_304(client: Gate, first_ok: Exchange) -> Findings:
    """A response to a condition with an unknown entity tag, or a date before HTTP existed, MUST have status 200.

    If the request has an entity tag, the date does not matter. A condition without a valid date is ignored.
    """
    # If-None-Match takes precedence (RFC 9110, section 13.1.3).
    recent = first_ok.header("Date") or "Thu, 01 Jan 2026 00:00:00 GMT"
    conditions: dict[str, list[tuple[str, str | bytes]]] = {
        "if its entity tag is not an unknown one": [
            ("If-None-Match", '"unknown-entity-tag"'),
            ("If-Modified-Since", recent.encode("latin-1")),
        ],
        "if modified since 1985": [("If-Modified-Since", "Tue, 01 Jan 1985 00:00:00 GMT")],
        "if modified since a word": [("If-Modified-Since", "yesterday")],
    }
    requests = [client.request(client.main, label, fields=fields) for label, fields in conditions.items()]
    yield from unless_200(client.send_in_turn(requests))


@specified("RFC 9110, section 8.8.3: ETag")
def test_etag_is_well_formed(ok_responses: Exchanges, other_ok_responses: Exchanges) -> Findings:
    """`ETag` MUST be in quotation marks, after `W/` if it is weak."""
    for exchange in with_field((*ok_responses, *other_ok_responses), "ETag"):
        for tag in exchange.values("ETag"):
            if not ENTITY_TAG.fullmatch(tag):
                yield Finding("ETag is not an entity tag", exchange, expected='"…" or W/"…"', actual=tag)


@specified("RFC 9110, section 8.8.1: a strong validator changes with the body")
def test_strong_etag_identifies_one_body(ok_responses: Exchanges) -> Findings:
    """A response MUST NOT have the strong `ETag` of a response with another body."""
    first_with: dict[str, Exchange] = {}
    complete = (exchange for exchange in ok_responses if exchange.is_complete_200)
    for exchange, tag in or_not_applicable(_strongly_tagged(complete), NO_STRONG_ETAG):
        first = first_with.setdefault(tag, exchange)
        if not _have_the_same_body(first, exchange):
            problem = f"two different bodies have the strong ETag {exchange.excerpt(tag)}"
            yield Finding(problem, exchange, related=(first,))
            return


def _strongly_tagged(exchanges: Iterable[Exchange]) -> Iterator[tuple[Exchange, str]]:
    """Yield the exchanges whose response has a strong entity tag, with that tag."""
    for exchange in exchanges:
        tag = exchange.header("ETag")
        if tag.startswith('"') and ENTITY_TAG.fullmatch(tag):
            yield exchange, tag


@advisory("RFC 9110, section 8.8.3.3: a strong entity tag distinguishes content codings", reads=["coding"])
def test_each_coding_has_its_own_etag(all_ok_responses: Exchanges) -> Findings:
    """A 200 response with a content coding SHOULD NOT have the strong `ETag` of a response with another coding."""
    first_with: dict[str, Exchange] = {}
    for exchange, tag in or_not_applicable(_strongly_tagged(all_ok_responses), NO_STRONG_ETAG):
        first = first_with.setdefault(tag, exchange)
        if first.codings != exchange.codings:
            problem = f"two content codings have the strong ETag {exchange.excerpt(tag)}"
            yield Finding(problem, exchange, related=(first,))
            return


@advisory(
    "RFC 9110, section 8.8.3.1: an entity tag is that of a representation, so that a client can keep its copy",
    repeats=["cache/etag-is-well-formed"],
)
def test_equal_bodies_have_one_etag(gate: Gate, journal: Exchanges) -> Findings:
    """200 responses to GET of one target and key, with the same body in the same form, SHOULD have the same `ETag`.

    The overview and the health check need no key. A tag may depend on the origin of a request, if `Vary` names it.
    """
    served = (each for each in journal if each.status == 200 and each.request.method == "GET")
    first_with: dict[object, Exchange] = {}
    for exchange in kept_whole(with_field(served, "ETag")):
        form = exchange.media_type, tuple(exchange.codings), exchange.header("Content-Language")
        request = exchange.request
        origin = tuple(request.values("Origin")) if "origin" in exchange.header("Vary").lower() else ()
        sent = request.target, None if gate.is_public(request) else request.credential, origin
        first = first_with.setdefault((sent, exchange.sha256, form), exchange)
        tag, earlier = (each.header("ETag").removeprefix("W/") for each in (exchange, first))
        if tag != earlier:
            yield Finding("an equal body has another ETag", exchange, related=(first,), expected=earlier, actual=tag)
            return


def _have_the_same_body(one: Exchange, other: Exchange) -> bool:
    """Whether two bodies are the same; of recorded texts, whose encoding may be another one, the JSON values count."""
    if "bytes" in one.lacks | other.lacks:
        return bool(one.json.value == other.json.value)
    return one.sha256 == other.sha256


@documented(
    "RFC 9110, section 13.2.1: conditions are evaluated after authorization",
    needs=(*NEEDS_VALID_KEY, MISSING_KEY_REFUSED),
    repeats=["cache/unknown-validator-is-not-304"],
)
def test_current_etag_is_200_or_304(client: Gate, first_ok: Exchange, other_key_responses: Exchanges) -> Findings:
    """A request whose `If-None-Match` is the current `ETag` MUST get 200 or 304, and 304 only with that tag's key.

    Without a key it is rejected.
    """
    tag = first_ok.header("ETag")
    if not ENTITY_TAG.fullmatch(tag):
        raise NotApplicable("the first 200 response has no ETag")
    label, fields = "if its entity tag is not that of the first response", [("If-None-Match", tag.encode("latin-1"))]
    exchange = client.send(client.main, label, fields=fields)
    if exchange.status not in {200, 304}:
        yield status_finding(exchange, "200 or 304")
        return
    if exchange.status == 304:  # matching-etag-is-304 judges the response
        listed = [("If-None-Match", f'"unknown-entity-tag", {tag}'.encode("latin-1"))]
        client.send(client.main, "if its entity tag is none of two", fields=listed)
    exchange = client.send(None, label, fields=fields)
    if (yield from report(client.wrongly_accepted([exchange], client.baseline.refusals(None)))):
        return
    tagged = [each for each in other_key_responses if each.status == 200 and each.header("ETag") not in {"", tag}]
    if tagged:
        exchange = client.send(tagged[0].request.credential, label, fields=fields)
        if exchange.status != 200:
            yield status_finding(exchange, "200, because the entity tag belongs to another key")


@advisory("RFC 9110, section 15.4.5: a 304 has no metadata of the body that its recipient has, such as Content-Type")
def test_304_has_no_metadata_of_a_body(journal: Exchanges) -> Findings:
    """A response with status 304 SHOULD NOT have Content-Type, Content-Encoding or Content-Language."""
    not_modified = (exchange for exchange in journal if exchange.status == 304)
    for exchange in or_not_applicable(not_modified, "no response has status 304"):
        for name in BODY_FIELDS:
            if exchange.values(name):
                yield field_finding(exchange, name, f"a response with status 304 has {name}")


@advisory(
    "RFC 9110, section 8.8: a validator changes with the content; a client keeps old usage metrics otherwise",
    repeats=["cache/strong-etag-identifies-one-body"],
    reads=["one run"],
)
def test_validators_change_with_the_metrics(ok_responses: Exchanges, other_ok_responses: Exchanges) -> Findings:
    """A 200 response SHOULD NOT have the weak `ETag` or the `Last-Modified` of another one with another `total`.

    A weak `ETag` may remain the same for two seconds. `Last-Modified` may be the same if it is less than two seconds
    before `Date`, because it has whole seconds.
    """
    first_with: dict[tuple[str, str, Credential | None], UsageMetrics] = {}
    responses = kept_whole((*ok_responses, *other_ok_responses))
    validated = with_members(map(UsageMetrics, responses), "total")
    stated = [(metrics, name) for metrics, _ in validated for name in VALIDATORS if metrics.exchange.values(name)]
    for metrics, name in or_not_applicable(stated, f"no 200 response with a total has {' or '.join(VALIDATORS)}"):
        exchange, value = metrics.exchange, metrics.exchange.header(name)
        if name == "Last-Modified" and _may_stay(value, exchange):
            continue
        first = first_with.setdefault((name, value, metrics.key), metrics)
        is_later = name != "ETag" or exchange.started - first.exchange.ended > MOMENT
        if is_later and first.total != metrics.total:
            problem = f"{name} remains the same, and total changes"
            yield Finding(problem, exchange, related=(first.exchange,), actual=exchange.excerpt(value))
            return


def _may_stay(modified: str, exchange: Exchange) -> bool:
    """Whether the metrics can change again within the second of Last-Modified, or the response has no known time."""
    return not has_time(exchange) or made_at(exchange) - (timestamp(modified) or 0.0) < MOMENT


@advisory(
    "RFC 9110, section 13.1.2: a server responds with 304 where an entity tag of If-None-Match is the current one",
    repeats=["cache/strong-etag-identifies-one-body", "cache/validators-change-with-the-metrics"],
    reads=["one run"],
)
def test_matching_etag_is_304(all_ok_responses: Exchanges) -> Findings:
    """A 200 response SHOULD NOT have an `ETag` that its request names in `If-None-Match`.

    A request with `Cache-Control: no-cache` may ask for the body.
    """
    tagged = (each for each in all_ok_responses if each.values("ETag") and each.request.values("If-None-Match"))
    for exchange in or_not_applicable(tagged, "no 200 response with an ETag is to a request with If-None-Match"):
        if any(b"no-cache" in value.lower() for value in exchange.request.values("Cache-Control")):
            continue
        tag = exchange.header("ETag").removeprefix("W/")  # the comparison is the weak one
        if ENTITY_TAG.fullmatch(tag) and tag.encode("latin-1") in b",".join(exchange.request.values("If-None-Match")):
            yield field_finding(exchange, "ETag", "the client has this body, and receives it again", "304")


@pytest.fixture
def not_modified(gate: Gate, journal: Exchanges) -> Exchanges:
    """The responses with status 304 to a valid key; NotApplicable without any."""
    not_modified = (each for each in journal if each.status == 304 and gate.is_authorized(each.request))
    return or_not_applicable(not_modified, "no response to a valid key has status 304")


@specified("RFC 9110, section 15.4.5: a 304 has the ETag that a 200 would have", repeats=["cache/etag-is-well-formed"])
def test_304_has_the_etag(ok_responses: Exchanges, not_modified: Exchanges) -> Findings:
    """A response with status 304 MUST have an `ETag`, if each 200 response to the same key has one."""
    tags = [(each.request.credential, each.header("ETag")) for each in ok_responses if each.status == 200]
    tagging = {key for key, tag in tags if tag} - {key for key, tag in tags if not tag}
    tagged = (exchange for exchange in not_modified if exchange.request.credential in tagging)
    missing = "no response with status 304 is to a key whose 200 responses have an ETag"
    for exchange in or_not_applicable(tagged, missing):
        if not exchange.header("ETag"):
            yield Finding("a response with status 304 has no ETag", exchange)


@specified("RFC 9110, section 15.4.5: a 304 has the Cache-Control and the Vary that a 200 would have")
def test_304_has_the_fields_for_caches(ok_responses: Exchanges, not_modified: Exchanges) -> Findings:
    """A response with status 304 MUST have `Cache-Control` and `Vary`, if each 200 to the same key has them.

    A `Vary` that names only Accept-Encoding may be missing: many servers add it to bodies that they may compress.
    """
    for exchange in not_modified:
        of_key = [each for each in ok_responses if each.request.credential == exchange.request.credential]
        modified = [each for each in of_key if each.status == 200]
        for name in ("Cache-Control", "Vary"):
            stated = [{item.lower() for item in each.items(name)} for each in modified]
            if modified and all(each - {"accept-encoding"} for each in stated) and not exchange.values(name):
                yield Finding(f"a response with status 304 has no {name}", exchange, related=(modified[0],))


@specified("RFC 9110, section 8.6: Content-Length in a response with status 304 is that of a 200", reads=["coding"])
def test_304_states_a_possible_length(ok_responses: Exchanges, not_modified: Exchanges) -> Findings:
    """`Content-Length` in a response with status 304 MUST be a possible length of a 200 response.

    Usage metrics change, so any length between half and twice the lengths of other responses is accepted.
    """
    stating = (each for each in not_modified if states_a_length(each, ok_responses))
    missing = "no response to a valid key has status 304 and a Content-Length to compare"
    for exchange in or_not_applicable(stating, missing):
        yield from other_length(exchange, ok_responses, times=2)


@specified("RFC 9110, section 13.1.1: If-Match with an asterisk holds for every resource that exists")
def test_any_entity_tag_matches(gate: Gate, ok_responses: object, journal: Exchanges) -> Findings:
    """A response to a request with `If-Match: *` MUST NOT have status 412."""
    authorized = (exchange for exchange in journal if gate.is_authorized(exchange.request))
    for_any_tag = (exchange for exchange in authorized if exchange.request.values("If-Match") == [b"*"])
    for exchange in or_not_tested(for_any_tag, "no request with a valid key has If-Match: *"):
        request = exchange.request
        has_other_condition = request.values("If-None-Match") or request.values("If-Unmodified-Since")
        if exchange.status == 412 and not has_other_condition:
            yield status_finding(exchange, "200")


@advisory("RFC 9110, section 14.2: a server MUST ignore a range unit that it does not know; some frameworks do not")
def test_unknown_range_unit_is_ignored(gate: Gate, ok_responses: object, journal: Exchanges) -> Findings:
    """A response to a request for a range of items, not of bytes, SHOULD NOT have status 416."""
    authorized = (exchange for exchange in journal if gate.is_authorized(exchange.request))
    of_items = (exchange for exchange in authorized if exchange.request.values("Range") == [b"items=0-9"])
    for exchange in or_not_tested(of_items, "no request with a valid key is for a range of items"):
        if exchange.status == 416:
            yield status_finding(exchange, "200")


@pytest.fixture(scope="session")
def first_bytes(client: Gate) -> Exchange:
    """The exchange of a request for the first ten bytes."""
    return client.send(client.main, "for its first ten bytes", fields=[("Range", FIRST_TEN_BYTES)])


@specified("RFC 9110, sections 14.1.2, 14.2 and 15.3.7: Range and 206", needs=NEEDS_READABLE_BODY)
def test_partial_response_is_206(client: Gate, first_bytes: Exchange) -> Findings:
    """A response to a request with `Range` MUST be the whole body with 200, the named part with 206, or 416.

    If a part gets 206, one whose last byte is beyond the end MUST NOT get 416.
    """
    exchange = first_bytes
    if exchange.status not in {200, 206, 416}:
        yield status_finding(exchange, "200, 206 or 416")
    elif exchange.status == 206:
        stated = exchange.header("Content-Range")
        part = CONTENT_RANGE.fullmatch(stated)
        if not part or part[1] != "0" or int(part[2]) > 9:
            yield Finding("Content-Range does not name the part", exchange, expected="bytes 0-9/…", actual=stated)
        longer = client.send(client.main, "for more bytes than it has", fields=[("Range", "bytes=0-99999999")])
        if longer.status == 416:
            yield status_finding(longer, "206 with the whole body, or 200")
    elif exchange.status == 200 and exchange.json.problem:
        yield Finding(f"the status is 200, and the body {exchange.json.problem}", exchange)


@specified(
    "RFC 9110, sections 14.4 and 15.3.7.1: Content-Range states the first and the last byte of a part, and the length",
    repeats=["cache/partial-response-is-206", "auth/valid-key-is-200"],
    reads=["coding", "bytes"],
)
def test_parts_have_their_stated_size(journal: Exchanges) -> Findings:
    """A response with status 206 and `Content-Range` MUST have the stated bytes, which are before the stated length."""
    whole = (each for each in journal if each.status == 206 and each.ending == "complete")
    parts = ((each, CONTENT_RANGE.fullmatch(each.header("Content-Range"))) for each in whole)
    stated = ((each, part) for each, part in parts if part and each.request.method == "GET")
    for exchange, part in or_not_applicable(stated, "no response is a part, with Content-Range"):
        first, last, length = int(part[1]), int(part[2]), part[3]
        if exchange.size != last - first + 1 or (length != "*" and last >= int(length)):
            actual = f"{part[0]}, and {counted(exchange.size, 'byte')}"
            yield Finding("Content-Range is not that of the part", exchange, actual=actual)


@specified(
    "RFC 9110, section 13.1.5: Range is ignored if the condition in If-Range is false",
    needs=NEEDS_READABLE_BODY,
    repeats=["cache/partial-response-is-206"],
)
def test_if_range_is_respected(client: Gate, first_bytes: Exchange) -> Findings:
    """A response to a request for a part of another version MUST be the whole body."""
    if first_bytes.status != 206:
        raise NotApplicable("a request for a part does not get status 206")
    fields = [("Range", FIRST_TEN_BYTES), ("If-Range", b'"unknown-entity-tag"')]
    yield from unless_200([client.send(client.main, "for its first ten bytes, of another version", fields=fields)])


@advisory(
    "RFC 9110, sections 14.3 and 14.4: Accept-Ranges, and Content-Range of a 416; two parts do not form one body",
    repeats=["cache/partial-response-is-206", "auth/valid-key-is-200"],
)
def test_parts_are_announced(ok_responses: Exchanges, journal: Exchanges) -> Findings:
    """A response SHOULD NOT have status 206 if the server does not announce parts by Accept-Ranges.

    One with status 416 to a request for bytes has Content-Range with the length, such as `bytes */1300`.
    """
    partial = (each for each in journal if each.request.values("Range") or each.status == 206)
    for exchange in or_not_tested(partial, "no request is for a part"):
        if exchange.status == 206 and not _announce_parts(exchange, *ok_responses):
            yield Finding("a part is sent, and Accept-Ranges does not announce parts", exchange)
        is_for_bytes = any(value.startswith(b"bytes=") for value in exchange.request.values("Range"))
        if exchange.status == 416 and is_for_bytes and not UNSATISFIED.fullmatch(exchange.header("Content-Range")):
            actual = exchange.header("Content-Range") or "no Content-Range"
            yield Finding("the response does not state the length", exchange, expected="bytes */1300", actual=actual)


@advisory("RFC 9110, section 14.3: a server that supports parts of the resource announces it by Accept-Ranges")
def test_announced_parts_are_sent(gate: Gate, ok_responses: Exchanges, journal: Exchanges) -> Findings:
    """A response to a request for the first ten bytes SHOULD NOT be a 200 if a response has `Accept-Ranges: bytes`."""
    if not _announce_parts(*ok_responses, *journal):
        raise NotApplicable("no response has Accept-Ranges: bytes")
    unconditional = (each for each in journal if not each.request.values("If-Range"))
    of_a_part = (exchange for exchange in unconditional if exchange.request.values("Range") == [FIRST_TEN_BYTES])
    for exchange in or_not_tested(of_a_part, "no request is for the first ten bytes"):
        if gate.is_ok(exchange) and _announce_parts(exchange, *ok_responses):
            actual = f"200, and {counted(exchange.size, 'byte')}"
            yield Finding("Accept-Ranges announces parts, and none is sent", exchange, expected="206", actual=actual)


def _announce_parts(*exchanges: Exchange) -> bool:
    return any(exchange.header("Accept-Ranges") == "bytes" for exchange in exchanges)
