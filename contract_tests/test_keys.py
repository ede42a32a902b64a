"""Several keys: a response contains the usage metrics of its own key, and of no other."""

from __future__ import annotations

import operator
import re
from collections import Counter
from collections.abc import Iterable
from itertools import chain, combinations

import pytest

from contract_tests.metrics import attribution
from contract_tests.metrics.attribution import Profiles
from contract_tests.metrics.view import Stated, UsageMetrics, by_key, check_several, with_members
from contract_tests.support import wrong_keys
from contract_tests.support.disclosure import disclosed, is_masked, may_show, texts_named
from contract_tests.support.facts import (
    NEEDS_AUTH_ERRORS,
    NEEDS_READABLE_BODY,
    NEEDS_VALID_KEY,
    NO_SECOND_KEY,
    TWO_KEYS,
    having,
)
from contract_tests.support.findings import Finding, Findings, member_finding, report, status_finding
from contract_tests.support.gate import Gate, RequestOptions
from contract_tests.support.rules import AUTHENTICATION_GUIDE, DOCUMENT, HEADER_ONLY, advisory, documented
from contract_tests.wire.messages import (
    CLIENT_ERRORS_OR_REDIRECTS,
    Credential,
    Exchange,
    Exchanges,
    cookies_set,
    kept_whole,
)
from contract_tests.wire.not_tested import NotTested, or_not_applicable
from usage_contract.pointers import pointer

OWN = f"{DOCUMENT}, 200: usage metrics for the authenticated API key"
KEY_LIKE = re.compile(r"(?!(?i:x-api-key)$)(?=.*[0-9_-])[!-~]{8,}")  # not a word, such as a state
PREFIX = 4  # characters: the keys of one vendor often begin alike
LONG_KEY = 16  # characters: shorter texts have equal lengths by chance
STEADY_RESPONSES = 4  # later responses that must agree before the first one counts as unlike them
OSCILLATIONS = 3  # a sliding window over uneven traffic may swing twice by chance


@pytest.fixture(scope="session")
def used_keys(gate: Gate, usage_metrics: list[UsageMetrics]) -> Profiles:
    """The usual metrics of each key that was ever used; NotTested where fewer than two were."""
    used = attribution.profiles(usage_metrics, gate.keys)
    if len(used) < 2:
        raise NotTested("it needs two keys of this deployment that were both used", wanted=TWO_KEYS)
    return used


@documented(OWN, reads=["one run"])
def test_metrics_differ_between_keys(used_keys: Profiles, usage_metrics: list[UsageMetrics]) -> Findings:
    """A response to one used key MUST NOT have a large count, or a list of domains, in common with another key's."""
    of_each = by_key(usage_metrics)
    for keys in combinations(used_keys, 2):
        one, another = (of_each[key] for key in keys)
        if names := attribution.shared_metrics(one, another):
            problem = f"{keys[0].label} and {keys[1].label} have the same {', '.join(names)}"
            yield Finding(problem, another[0].exchange, related=(one[0].exchange,), pointer=pointer(names[0]))


@documented(OWN, repeats=["keys/metrics-differ-between-keys"], reads=["one run"])
def test_responses_are_not_mixed_up(used_keys: Profiles, usage_metrics: list[UsageMetrics]) -> Findings:
    """A response to one key MUST NOT contain the usage metrics of another key."""
    for metrics in usage_metrics:
        yield from _mixed_up(metrics, used_keys)


@advisory(
    "RFC 9110, section 8.8.1: one entity tag is for responses of which each may replace the other",
    repeats=["cache/strong-etag-identifies-one-body"],
    reads=["one run"],
)
def test_each_key_has_its_own_etags(used_keys: object, usage_metrics: list[UsageMetrics]) -> Findings:
    """Responses to two keys with different usage metrics SHOULD NOT have the same `ETag`."""
    first_with: dict[str, UsageMetrics] = {}
    tagged = ((metrics, tag) for metrics in usage_metrics if (tag := metrics.exchange.header("ETag")))
    for metrics, tag in or_not_applicable(tagged, "no 200 response has an ETag"):
        first = first_with.setdefault(tag, metrics)
        if first.key != metrics.key and attribution.identity(first) != attribution.identity(metrics):
            problem = f"two keys have the entity tag {metrics.exchange.excerpt(tag)}"
            yield Finding(problem, metrics.exchange, related=(first.exchange,))
            return


@documented(OWN, repeats=["keys/responses-are-not-mixed-up"], reads=["one run"])
def test_metrics_of_a_key_are_steady(gate: Gate, usage_metrics: list[UsageMetrics]) -> Findings:
    """A response MUST NOT contain a counter or a limit that changes and then changes back.

    A counter changes if it halves, doubles or swings. A new window changes it once, and a new limit remains.
    """
    check_several(usage_metrics, 3)
    of_each = by_key(usage_metrics)
    for key in gate.keys:
        of_key = of_each[key]
        for name, values in attribution.counters(of_key).items():
            member = pointer(*name.split(".", 1))
            yield from _unsteady(member, attribution.transient_changes(values, attribution.is_implausible_jump))
            yield from _unsteady(member, attribution.oscillations(values), OSCILLATIONS)
        for name in ("rps", "burst"):
            limits = [(metrics, value) for metrics in of_key if (value := getattr(metrics, name)) is not None]
            yield from _unsteady(pointer("rate_limit", name), attribution.transient_changes(limits, operator.ne))


@documented(OWN, repeats=["keys/metrics-of-a-key-are-steady"], reads=["one run"])
def test_first_response_is_like_later_ones(gate: Gate, usage_metrics: list[UsageMetrics]) -> Findings:
    """The first response for each key MUST NOT report a much smaller or larger `total` than all later responses.

    One such key is accepted, because its use, or a new window of its counters, may explain the difference.
    """
    check_several(usage_metrics, STEADY_RESPONSES + 1)
    findings, of_each = [], by_key(usage_metrics)
    totals = {key: attribution.counters(of_each[key])["total"] for key in gate.keys}
    judged = {key: values for key, values in totals.items() if len(values) > STEADY_RESPONSES}
    if len(gate.keys) < 2:
        raise NotTested(NO_SECOND_KEY, wanted=TWO_KEYS)
    if len(judged) < 2:
        raise NotTested(f"fewer than two keys have {STEADY_RESPONSES + 1} responses that can be compared")
    for key, ((first, total), (second, usual), *later) in judged.items():
        is_steady = not any(attribution.is_implausible_jump(usual, value) for _, value in later)
        if is_steady and attribution.is_implausible_jump(total, usual):
            size = "smaller" if total < usual else "larger"
            problem = f"/total is much {size} than in all later responses to {key.label}"
            findings.append(member_finding(first, "total", problem, f"about {usual}", total, second.exchange))
    if len(findings) > 1:
        yield from findings


def _unsteady(member: str, changes: Iterable[attribution.Change], least: int = 1) -> Findings:
    """Yield a finding for each change of a member, if it has at least as many changes as `least`."""
    findings = []
    for metrics, before, value, after in changes:
        place = metrics.exchange.excerpt(member)
        expected, problem = f"{before} as before, or {after} as afterwards", f"{place} changes and then changes back"
        findings.append(Finding(problem, metrics.exchange, pointer=place, expected=expected, actual=str(value)))
    if len(findings) >= least:
        yield from findings


def _mixed_up(metrics: UsageMetrics, used_keys: Profiles) -> Findings:
    """Yield a finding if these are the usage metrics of another key than that of their request."""
    own = used_keys.get(metrics.key) if metrics.key else None
    for profile in used_keys.values():
        is_of_an_unused_key = metrics.key is not None and own is None
        is_anothers = is_of_an_unused_key and profile.identity == attribution.identity(metrics)
        if is_anothers or (own and profile != own and profile.explains(metrics, own)):
            yield Finding(f"the usage metrics are those of {profile.key.label}", metrics.exchange)
            return


@documented(
    OWN,
    needs=[*NEEDS_READABLE_BODY, *NEEDS_AUTH_ERRORS],
    repeats=["keys/api-key-is-the-one-sent", "keys/metrics-differ-between-keys", "keys/responses-are-not-mixed-up"],
)
def test_concurrent_clients_are_kept_apart(client: Gate, used_keys: Profiles) -> Findings:
    """A response to one of several concurrent requests MUST be the one for the key of its own request."""
    label = "at the same time as six other requests"
    gzip: RequestOptions = {"fields": [("Accept-Encoding", "gzip")]}  # compressed responses may be stored separately
    keys = (client.main, client.second, client.keys[-1])
    requests = [
        *(client.request(key, label) for key in (*keys, None)),
        *(client.request(key, label, **gzip) for key in keys),
    ]
    for exchange in client.transport.send_concurrently(requests):
        key = exchange.request.credential
        if key not in client.keys:
            yield from client.wrongly_accepted([exchange], {429, *client.baseline.refusals(key)})
        elif exchange.status not in {200, 429}:
            yield status_finding(exchange, "200 or 429")
        else:
            metrics = UsageMetrics(exchange)
            yield from _mixed_up(metrics, used_keys)
            yield from _shown_keys(client, metrics)


@documented(
    HEADER_ONLY,
    needs=NEEDS_READABLE_BODY,
    repeats=["keys/metrics-differ-between-keys", "keys/responses-are-not-mixed-up"],
)
def test_only_the_header_selects_the_key(client: Gate, ok_responses: Exchanges, used_keys: Profiles) -> Findings:
    """A response MUST contain the usage metrics of the key in the key header, regardless of a key elsewhere.

    Another key may be in the query, in Authorization, in a cookie or in another header field.
    """
    second = client.second.value
    names = (b"api_key", b"key", b"apikey", b"X-API-Key", b"token", b"account", b"user")
    query = b"&".join(name + b"=" + second for name in names)
    credentials = [("Authorization", b"Bearer " + second), ("Cookie", b"api_key=" + second)]
    fields = [*credentials, ("X-User", second), ("X-Account", second)]
    if cookies := cookies_set(exchange for exchange in ok_responses if exchange.request.credential == client.second):
        label = "and the cookies that responses to another key have set"
        exchange = client.send(client.main, label, fields=[("Cookie", cookies)])
        yield from _mixed_up(UsageMetrics(exchange), used_keys)
    target = client.path.encode() + b"?" + query
    label = "and another key in the query and in other fields"
    combined = client.send(client.main, label, target=target, fields=fields)
    if combined.status == 200:
        yield from _mixed_up(UsageMetrics(combined), used_keys)
        return
    requests = [
        client.request(client.main, "and another key in the query", target=target),
        client.request(client.main, "and another key in other fields", fields=fields),
    ]
    for exchange in client.send_in_turn(requests):
        yield from _mixed_up(UsageMetrics(exchange), used_keys)


@documented(f"{DOCUMENT}, UsageResponse.api_key; whole or masked is open")
def test_api_key_is_the_one_sent(gate: Gate, usage_metrics: list[UsageMetrics]) -> Findings:
    """`api_key` MUST NOT show another key than that of the request, valid or not, or the same text for two keys.

    A masked text may be the same for two keys.
    """
    first_with: dict[str, UsageMetrics] = {}
    stated = having(usage_metrics, "api_key")
    for metrics, text in stated:
        own = metrics.key
        yield from _shown_keys(gate, metrics)
        is_start = all(key.value.startswith(text.encode()) for key in gate.keys)
        if own and text and not (is_start or is_masked(text)):
            first = first_with.setdefault(text, metrics).exchange
            if first.request.credential != own:
                problem = "api_key is the same for two keys"
                yield Finding(problem, metrics.exchange, related=(first,), pointer="/api_key")
    _check_further_keys(gate, stated)


def _check_further_keys(gate: Gate, stated: Iterable[Stated]) -> None:
    """Raise NotTested where `api_key` does not show the only key of the run: it may be a label, or another key."""
    if len(gate.keys) == 1 and any(each.key and not may_show(text, each.key) for each, text in stated):
        raise NotTested("api_key does not show the only key of the run, and may be a label", wanted=TWO_KEYS)


def _shown_keys(gate: Gate, metrics: UsageMetrics) -> Findings:
    """Yield a finding for each key that `api_key` may show, if it cannot show the key of the request."""
    text, own = metrics.api_key or "", metrics.key
    if text and not (own is not None and may_show(text, own)):
        for key in gate.keys:
            if key != own and may_show(text, key):
                yield Finding(f"api_key shows {key.label}", metrics.exchange, pointer="/api_key")
        if text == wrong_keys.UNKNOWN.text:  # of an earlier request
            yield Finding(f"api_key shows {wrong_keys.UNKNOWN.label}", metrics.exchange, pointer="/api_key")


@documented(
    f"{AUTHENTICATION_GUIDE}: the key is a secret of its owner",
    needs=NEEDS_READABLE_BODY,
    repeats=["keys/api-key-is-the-one-sent", "errors/responses-do-not-disclose-keys"],
)
def test_query_does_not_disclose_keys(
    client: Gate, ok_responses: Exchanges, query_response: Exchange, journal: object
) -> Findings:
    """A response to a request with undocumented query parameters MUST NOT contain an API key of another customer.

    An `api_key` member, at any depth, shows the key of the request.
    """
    keys = disclosed(client.settings.keys, query_response)
    if (yield from report(Finding(f"the response discloses {key.label}", query_response) for key in keys)):
        return
    usual = {text for exchange in ok_responses for text in texts_named("api_key", exchange)}
    others = {text for text in texts_named("api_key", query_response) if _may_be_another_key(text, client.main)} - usual
    if len(others) > 1 or any(_is_alike(text, key) for text in others for key in client.keys):
        yield Finding("an api_key member shows another key", query_response)


def _may_be_another_key(text: str, own: Credential) -> bool:
    value = own.text
    is_own = may_show(text, own) or value.startswith(text) or value.endswith(text) or is_masked(text)
    return bool(KEY_LIKE.fullmatch(text)) and not is_own


def _is_alike(text: str, key: Credential) -> bool:
    """Whether a text begins like a key, or is as long as a long one; otherwise it may be a name of the account."""
    value = key.text
    return text[:PREFIX] == value[:PREFIX] or len(text) == len(value) >= LONG_KEY


@documented(
    OWN,
    needs=NEEDS_READABLE_BODY,
    repeats=[
        "keys/metrics-differ-between-keys",
        "keys/responses-are-not-mixed-up",
        "keys/concurrent-clients-are-kept-apart",
        "keys/only-the-header-selects-the-key",
        "keys/metrics-of-a-key-are-steady",
    ],
    reads=["one run"],
)
def test_unusual_requests_are_not_mixed_up(
    gate: Gate, usage_metrics: list[UsageMetrics], other_ok_responses: Exchanges, used_keys: Profiles
) -> Findings:
    """A response to an unusual request with one key MUST NOT contain the usage metrics of another key or customer.

    A request after a 429 is such a request. Two counters or more that halve or double in a response without a query,
    and then change back, are not those of the key.
    """
    others = [UsageMetrics(exchange) for exchange in kept_whole(other_ok_responses)]
    if (yield from report(chain.from_iterable(_mixed_up(metrics, used_keys) for metrics in others))):
        return
    plain = {metrics for metrics in others if metrics.exchange.request.target == gate.path.encode()}
    in_order = sorted((*usage_metrics, *plain), key=lambda metrics: metrics.exchange.started)
    changed = Counter(
        metrics
        for of_key in by_key(in_order).values()
        for values in attribution.counters(of_key).values()
        for metrics, *_ in attribution.transient_changes(values, attribution.is_implausible_jump)
        if metrics in plain
    )
    for metrics, counters in changed.items():
        if counters >= attribution.AGREEING:
            problem = "the usage metrics change and then change back: are they those of another customer?"
            yield Finding(problem, metrics.exchange)


@documented(
    f"{DOCUMENT}, UsageResponse.api_key",
    repeats=[
        "keys/api-key-is-the-one-sent",
        "keys/cached-response-is-not-shared",
        "keys/concurrent-clients-are-kept-apart",
        "keys/only-the-header-selects-the-key",
        "keys/unusual-requests-are-not-mixed-up",
    ],
)
def test_api_key_is_the_one_sent_in_other_responses(gate: Gate, other_ok_responses: Exchanges) -> Findings:
    """`api_key` in a response to any other request MUST NOT show another key than that of the request."""
    others = [UsageMetrics(exchange) for exchange in kept_whole(other_ok_responses)]
    shown = (each for each in with_members(others, "api_key") if each[1])
    stated = or_not_applicable(shown, "no other 200 response has an api_key")
    for metrics, _ in stated:
        yield from _shown_keys(gate, metrics)
    _check_further_keys(gate, stated)


@documented(
    f"{AUTHENTICATION_GUIDE}: each request is judged by its key; RFC 9111, section 4",
    needs=[*NEEDS_VALID_KEY, *NEEDS_AUTH_ERRORS],
)
def test_cached_response_is_not_shared(client: Gate) -> Findings:
    """A response to one client MUST NOT be sent to another, regardless of the order of their requests."""
    unique = f"{client.path}?contract=cache"
    label = "at the target of an earlier request with the main key"
    first = client.send(client.main, "at a target of its own", target=unique)
    rejected = client.send(wrong_keys.UNKNOWN, label, target=unique)
    if first.status != 200:
        raise NotTested(f"a request with a query gets the response {first.outcome}")
    if rejected.status == 200 or client.contains_metrics(rejected):
        yield Finding("the response to the main key is sent to another client", rejected, related=(first,))
        return
    sheet = f"{client.path}/contract.css"  # many caches store such a path for all clients
    exchange = client.send(client.main, "at the path of a style sheet", target=sheet)
    if client.contains_metrics(exchange):
        label = "at the path of a style sheet, after the main key"
        stolen = client.send(None, label, target=sheet)
        if (yield from report(client.wrongly_accepted([stolen], CLIENT_ERRORS_OR_REDIRECTS))):
            return
    other = client.second_or_main  # its response also shows a cache that ignores the key
    again = client.send(other, "at the same target, after a client that was rejected", target=unique)
    if again.status != 200:
        problem = "the response to a rejected client is sent to a valid key"
        yield Finding(problem, again, related=(rejected,), expected="200", actual=again.outcome)
