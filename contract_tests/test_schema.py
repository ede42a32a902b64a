"""The body of a 200 response: one JSON text of the documented shape."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from copy import deepcopy
from decimal import Decimal
from functools import partial
from itertools import chain
from typing import Any

import schemathesis
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode

from contract_tests.metrics.members import (
    CURSOR,
    DATE,
    INTERNAL_MEMBERS,
    RFC_3339,
    SECRET_VALUE,
    is_list_of_parts,
    is_no_value,
    is_past_time,
    is_secret,
    is_time,
    is_time_of_expiry,
    named_objects,
    reset_of,
    seconds_of,
    without_noise,
)
from contract_tests.metrics.schema import contract, inexact_integers
from contract_tests.support.examples import examples
from contract_tests.support.facts import NEEDS_READABLE_BODY, READABLE_BODY, VALID_KEY
from contract_tests.support.findings import (
    Finding,
    Findings,
    body_findings,
    field_finding,
    incomplete_finding,
    status_finding,
)
from contract_tests.support.gate import OPERATION, Gate
from contract_tests.support.rules import DOCUMENT, advisory, documented, specified
from contract_tests.wire.dates import CLOCKS_DIFFER, is_imf_fixdate, made_at
from contract_tests.wire.messages import CLIENT_ERRORS, Exchange, Exchanges, kept_whole
from contract_tests.wire.not_tested import NotTested
from contract_tests.wire.schemathesis_adapter import as_response, body_of, fields_of, prepared_request
from contract_tests.wire.strict_json import objects
from usage_contract.levels import Level

SHAPE_RULES = (
    "schema/media-type-is-documented",
    "schema/body-has-the-specified-types",
    "schema/body-has-the-documented-ranges",
)
CHECK_NAMES = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
CAMEL_CASE = re.compile(r"[A-Z]?[a-z]+[0-9]*[A-Z][A-Za-z0-9]*")  # successRate
DIGITS_OF_A_DOUBLE = 17
LARGEST_EXACT_INTEGER = 2**53 - 1
TIMES_OF_METRICS = {"generated_at", "computed_at", "as_of"}
MOST_CASES = 3  # requests: without parameters in the document, all drawn cases are alike


@specified(f"{DOCUMENT}, 200: content application/json; RFC 8259")
def test_body_is_json(ok_responses: Exchanges) -> Findings:
    """A 200 response MUST have a body of one well-formed JSON text in UTF-8.

    A byte order mark, NaN, a repeated member, or anything after the text is not well-formed.
    """
    for exchange in kept_whole(_complete(ok_responses)):
        if exchange.json.problem and not exchange.coding_problem:
            yield Finding(f"the body {exchange.json.problem}", exchange)


@specified(f"{DOCUMENT}, 200: content; RFC 9110, section 8.3")
def test_media_type_is_documented(gate: Gate, ok_responses: Exchanges) -> Findings:
    """A 200 response MUST have one Content-Type, the documented one. Its charset, if any, MUST be that of the body."""
    yield from _media_type_findings(gate, _complete(ok_responses))


@advisory(
    "RFC 8259, section 11: JSON has no charset parameter; some clients decode the body by it",
    repeats=["schema/media-type-is-documented", "http/single-fields-are-not-repeated"],
)
def test_charset_is_utf_8(ok_responses: Exchanges, journal: Exchanges) -> Findings:
    """A JSON response SHOULD NOT state another charset than UTF-8, nor the name `utf8`, which is not registered."""
    for exchange in journal:
        if exchange.is_json and exchange.charsets not in ([], ["utf-8"]):
            yield field_finding(exchange, "Content-Type", "Content-Type has another charset than utf-8", "UTF-8")


@specified(f"{DOCUMENT}, components.schemas.UsageResponse")
def test_body_has_the_specified_types(ok_responses: Exchanges) -> Findings:
    """A 200 response MUST be valid against the schema of the vendor's document."""
    yield from _schema_findings(ok_responses, "specified")


@documented(f"{DOCUMENT}, the descriptions in UsageResponse; openapi/documented.overlay.yaml")
def test_body_has_the_documented_ranges(ok_responses: Exchanges) -> Findings:
    """A 200 response MUST contain usage metrics with values in the documented ranges."""
    yield from _schema_findings(ok_responses, "documented")


@advisory("openapi/advisory.overlay.yaml")
def test_body_has_every_documented_member(ok_responses: Exchanges) -> Findings:
    """A 200 response SHOULD have every documented member."""
    yield from _schema_findings(ok_responses, "advisory")


@advisory(f"{DOCUMENT}, integers in UsageResponse; many clients read 12.0 and 1.2e1 as numbers of another type")
def test_integers_are_written_as_integers(ok_responses: Exchanges) -> Findings:
    """A 200 response SHOULD have integers without a decimal point and without an exponent."""
    for exchange in kept_whole(_complete(ok_responses)):
        for place in inexact_integers(OPERATION, exchange):
            yield Finding(f"{place} is an integer with a decimal point or an exponent", exchange, pointer=place)
            break


@advisory("RFC 8259, section 6: integers up to 2^53 - 1 are interoperable; JavaScript rounds larger ones")
def test_integers_are_exact_in_javascript(ok_responses: Exchanges) -> Findings:
    """An integer in a 200 response SHOULD NOT exceed 9007199254740991."""
    for exchange, name, value in _members(ok_responses):
        if isinstance(value, int) and abs(value) > LARGEST_EXACT_INTEGER:
            yield Finding(f"{exchange.excerpt(name)} exceeds 2^53 - 1", exchange, actual=str(value))


@advisory(
    "RFC 8259, section 6: a number as it is meant; RFC 7493, section 2.2: no greater precision than that of a double"
)
def test_numbers_have_no_rounding_noise(ok_responses: Exchanges) -> Findings:
    """A number in a 200 response SHOULD NOT have rounding noise, such as 99.30000000000001.

    Nor SHOULD it have more than 17 significant digits, which most clients do not keep.
    """
    for exchange in kept_whole(_complete(ok_responses)):
        numbers = (value for each in objects(exchange.exact) for value in each.values() if isinstance(value, Decimal))
        for number in numbers:
            if (meant := without_noise(number)) != number:
                yield Finding("a number has rounding noise", exchange, expected=str(meant), actual=str(number))
                break
            if len(number.normalize().as_tuple().digits) > DIGITS_OF_A_DOUBLE:
                yield Finding("a number has more digits than a client keeps", exchange, actual=str(number))
                break


@advisory("OWASP API3, broken object property level authorization: a response has only what its client needs")
def test_undocumented_members_are_not_secrets(
    gate: Gate, ok_responses: Exchanges, other_ok_responses: Exchanges
) -> Findings:
    """A 200 response SHOULD NOT have undocumented members with the names of secrets or of personal data.

    Only texts and lists are reported. A JSON Web Token, a key of AWS and the hash of a password are secrets under any
    name, other than that of a cursor.
    """
    own = {key.text for key in gate.settings.keys}
    for exchange, name, value in _members((*ok_responses, *other_ok_responses)):
        if not isinstance(value, str | list) or name in gate.members:
            continue
        is_value = isinstance(value, str) and value not in own and SECRET_VALUE.fullmatch(value)
        if is_secret(name):
            problem = "an undocumented member has the name of a secret or of personal data"
            yield Finding(problem, exchange, actual=name)
        elif is_value and not CURSOR.search(name):
            yield Finding("the value of an undocumented member has the form of a secret", exchange, actual=name)


@advisory("OWASP API3, broken object property level authorization: a response has only what its client needs")
def test_members_are_not_internals(ok_responses: Exchanges) -> Findings:
    """A 200 response SHOULD NOT have members that a database or a serializer adds, such as `__v` or `$oid`.

    Nor does it have a `debug` or `_debug` of true, unless the request asks for that.
    """
    for exchange, name, value in _members(ok_responses):
        is_for_debugging = name in {"_debug", "debug"} and value is True and exchange.object.get(name) is True
        if name in INTERNAL_MEMBERS or is_for_debugging:
            yield Finding("a member is one of the database, the serializer or a debugger", exchange, actual=name)


@advisory(f"{DOCUMENT}, UsageResponse: names such as success_rate; API guidelines: one form for all names")
def test_member_names_have_one_form(ok_responses: Exchanges) -> Findings:
    """A 200 response SHOULD NOT have a member whose name is in camel case: the documented names have underscores.

    Names in undocumented objects are not judged, because they may be data, such as the name of a device.
    """
    for exchange in kept_whole(_complete(ok_responses)):
        rows = exchange.object.get("top_domains")
        documented_objects = (
            exchange.object,
            exchange.object.get("rate_limit"),
            *(rows if isinstance(rows, list) else ()),
        )
        names = (name for each in documented_objects if isinstance(each, dict) for name in each)
        for name in filter(CAMEL_CASE.fullmatch, names):
            yield Finding("the name of a member is in camel case", exchange, actual=name)


@advisory(f"{DOCUMENT}, UsageResponse: texts; JSON has null for a value that is missing")
def test_texts_are_not_placeholders(ok_responses: Exchanges) -> Findings:
    """A text in a 200 response SHOULD NOT stand for a missing value, or for a value of another type.

    Such texts are `null`, `None`, `undefined`, `NaN`, `N/A` and `[object Object]`, and a time such as 0001-01-01, also
    as a number. So are JSON of an object or a list, an object as a program prints it, and an unfilled template. So is a
    wrongly decoded text, and outside of a map of texts `true` or `False`. A count such as `requests_today` is not a
    text, and a name is neither empty nor `undefined`.
    """
    for exchange in kept_whole(_complete(ok_responses)):
        for place, members in named_objects(exchange.json.value):
            for name in filter(partial(is_no_value, place, members), members):
                problem = f"'{exchange.excerpt(name)}' is a text in place of another value"
                yield Finding(problem, exchange, actual=str(members[name]))


@advisory("RFC 3339, section 5.6: a date and a time that each client reads alike, with an offset from UTC")
def test_times_have_an_unambiguous_form(ok_responses: Exchanges, journal: Exchanges) -> Findings:
    """A date in a 200 response or in an error SHOULD have the form of RFC 3339, or be an HTTP date.

    It is a text, or a list of year, month and day, in a member named as a time. An error may have the offset +0000.
    """
    expected = "2026-11-29T13:20:07Z or the like"
    for exchange, name, value in _members(ok_responses, journal):
        if not is_time(name):
            continue
        if isinstance(value, str):
            text = value if exchange.status == 200 else re.sub(r"\+0000$", "Z", value)
            is_unclear = DATE.search(value) and not (RFC_3339.fullmatch(text) or is_imf_fixdate(value))
        else:
            is_unclear = is_list_of_parts(value)
        if is_unclear:
            problem = f"the form of the date in {exchange.excerpt(name)} is ambiguous"
            yield Finding(problem, exchange, expected=expected, actual=str(value))


@advisory("RFC 3339, section 4.3: Z is UTC; a time of another zone with Z is hours away")
def test_past_times_are_in_the_past(ok_responses: Exchanges, journal: Exchanges) -> Findings:
    """The time at which something happened SHOULD NOT be more than a minute after `Date`.

    It is a text of a member whose name states that, such as `updated_at`, or the `timestamp` of an error. The time of
    the metrics, such as `generated_at`, SHOULD NOT remain the same for more than a minute if `total` changes.
    """
    totals: dict[tuple[object, ...], Exchange] = {}
    for exchange, name, text in _members(ok_responses, journal):
        is_past = is_past_time(name) or (name == "timestamp" and exchange.status != 200)
        stated = seconds_of(text) if isinstance(text, str) and is_past else 0.0
        if not stated:
            continue
        age = made_at(exchange) - stated
        if age < -CLOCKS_DIFFER:
            yield Finding(f"{exchange.excerpt(name)} is in the future", exchange, actual=text)
        is_of_metrics = name in TIMES_OF_METRICS and exchange.status == 200 and exchange.object.get(name) == text
        if age > CLOCKS_DIFFER and is_of_metrics:
            first = totals.setdefault((name, text, exchange.request.credential), exchange)
            if first.object.get("total") != exchange.object.get("total"):
                problem = f"{exchange.excerpt(name)} remains the same, and total changes"
                yield Finding(problem, exchange, related=(first,), actual=text)
                return


@advisory("OWASP Secrets Management Cheat Sheet, lifecycle: a secret that has expired is refused")
def test_times_of_expiry_are_in_the_future(ok_responses: Exchanges) -> Findings:
    """The time at which something ends SHOULD NOT be more than a minute before `Date`.

    It is a text of a member of the body itself whose name states that, such as `expires_at`. The time at which
    `rate_limit` or `quota` is reset may be a number. A trial or a credit may have ended.
    """
    for exchange in kept_whole(_complete(ok_responses)):
        for place, members in named_objects(exchange.json.value):
            for name, value in members.items():
                is_own = not place and isinstance(value, str) and is_time_of_expiry(name)
                ended = seconds_of(value) if is_own else reset_of(place, name, value)
                if ended and ended < made_at(exchange) - CLOCKS_DIFFER:
                    yield Finding(f"{exchange.excerpt(name)} is in the past", exchange, actual=str(value))


@documented(
    f"{DOCUMENT}, 200: usage metrics, regardless of the rest of the request",
    needs=NEEDS_READABLE_BODY,
    repeats=(*SHAPE_RULES, "http/negotiated-encoding-matches-the-body", "robustness/accept-leads-to-json-or-4xx"),
)
def test_other_responses_are_usage_metrics(gate: Gate, other_ok_responses: Exchanges) -> Findings:
    """A 200 response to any other request with a valid key MUST be complete and contain usage metrics as well."""
    for exchange in kept_whole(other_ok_responses):
        if exchange.ending != "complete":
            yield incomplete_finding(exchange)
        elif problem := exchange.coding_problem or exchange.json.problem:
            yield Finding(f"the body {problem}", exchange)
        yield from _media_type_findings(gate, [exchange])
    yield from _schema_findings(other_ok_responses, "specified")
    yield from _schema_findings(other_ok_responses, "documented")


@specified(f"{DOCUMENT}, as Schemathesis reads it", needs=NEEDS_READABLE_BODY, repeats=SHAPE_RULES)
def test_generated_requests_match_the_document(client: Gate, first_ok: Exchange) -> Findings:
    """A response to a request that Schemathesis generates from the document MUST match the document.

    A request that does not conform to the document may be rejected with any 4xx.
    """
    first_ok.check_time()  # before Schemathesis takes seconds to read the document
    cases = _generated_cases()
    generated = [prepared_request(case, client.settings.target.url) for case in cases]
    exchanges = client.send_in_turn(
        client.request(
            client.main,
            "as Schemathesis generated it",
            method=request.method or "GET",
            target=request.path_url,
            fields=fields_of(request),
            body=body_of(request),
            is_baseline=not _is_negative(case),
        )
        for case, request in zip(cases, generated, strict=True)
    )
    load_all_checks()
    for case, request, exchange in zip(cases, generated, exchanges, strict=False):
        if exchange.status is None:
            yield status_finding(exchange, "a response")
        elif not _is_negative(case):
            yield from _failed_checks(case, as_response(exchange, request), exchange)
        # Schemathesis judges other cases by further requests, past the pace and the budget of the run.
        elif exchange.status not in {200, *CLIENT_ERRORS}:
            yield status_finding(exchange, "200 or 4xx")


def _failed_checks(case: schemathesis.Case[Any], response: schemathesis.Response, exchange: Exchange) -> Findings:
    checks: list[Any] = [CHECKS.get_one(name) for name in CHECK_NAMES]
    try:
        case.validate_response(response, checks=checks)
    except FailureGroup as group:
        titles = sorted({str(getattr(failure, "title", failure)) for failure in group.exceptions})
        yield Finding(f"Schemathesis: {', '.join(titles)}", exchange)


def _generated_cases() -> list[schemathesis.Case[Any]]:
    """Return drawn cases, and those of the coverage phase for header fields and the query.

    Other rules send the other cases of that phase: without a key, with an empty one, and with other methods.
    """
    config = SchemathesisConfig.from_dict(
        {"generation": {"with-security-parameters": False}, "phases": {"coverage": {"unexpected-methods": []}}}
    )
    schema = schemathesis.openapi.from_dict(deepcopy(contract("specified").document), config=config)
    operation = schema.find_operation_by_id(OPERATION)
    covering = schema.iter_coverage_cases(
        operation,
        generation_modes=[GenerationMode.NEGATIVE],
        generation_config=schema.config.generation_for(operation=operation),
    )
    return [*examples(operation.as_strategy(), MOST_CASES), *covering]


def _is_negative(case: schemathesis.Case[Any]) -> bool:
    """Whether a case does not conform to the document, so that it may also be rejected."""
    return case.meta is not None and case.meta.generation.mode == GenerationMode.NEGATIVE


def _complete(exchanges: Iterable[Exchange]) -> Exchanges:
    """Return the complete 200 responses; NotTested without one."""
    complete = [exchange for exchange in exchanges if exchange.is_complete_200]
    if not complete:
        raise NotTested("no 200 response is complete", because=VALID_KEY.reported_by)
    return complete


def _members(exchanges: Iterable[Exchange], journal: Exchanges = ()) -> Iterator[tuple[Exchange, str, Any]]:
    """Yield each member of each object in complete 200 bodies, with its exchange; NotTested without such a body.

    The members of errors follow.
    """
    errors = (each for each in journal if (each.status or 0) >= 400 and not each.abridged and each.is_json)
    for exchange in chain(kept_whole(_complete(exchanges)), errors):
        for members in objects(exchange.exact):
            yield from ((exchange, name, value) for name, value in members.items())


def _media_type_findings(gate: Gate, exchanges: Iterable[Exchange]) -> Findings:
    documented = gate.operation.responses["200"].media_type
    for exchange in exchanges:
        is_documented = len(exchange.values("Content-Type")) == 1 and exchange.media_type == documented
        if not is_documented:
            yield field_finding(exchange, "Content-Type", "Content-Type is not the documented one", documented)
        elif not exchange.has_true_charset:
            problem = "the body does not have the charset of Content-Type"
            yield field_finding(exchange, "Content-Type", problem, "UTF-8")


def _schema_findings(exchanges: Iterable[Exchange], level: Level) -> Findings:
    """Yield the findings of a level; NotTested without a body that is JSON."""
    is_readable = False
    for exchange in kept_whole(_complete(exchanges)):
        if not exchange.json.problem:
            is_readable = True
            yield from body_findings(OPERATION, exchange, level)
    if not is_readable:
        raise NotTested("no 200 body can be parsed", because=READABLE_BODY.reported_by)
