"""Several keys: each gets its own figures, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from itertools import combinations

import pytest

from contract_tests.metrics.attribution import (
    Profile,
    counters,
    is_different,
    is_implausible_jump,
    oscillations,
    profiles,
    shared_figures,
    transient_changes,
)
from contract_tests.metrics.view import UsageMetrics
from contract_tests.run import wrong_keys
from contract_tests.run.facts import NEEDS_AUTH_ERRORS, NEEDS_READABLE_BODY, NEEDS_VALID_KEY, having
from contract_tests.run.gate import TWO_KEYS, Gate, RequestOptions
from contract_tests.run.rules import DOCUMENT, HEADER_ONLY, holds
from contract_tests.wire.messages import CLIENT_ERRORS_OR_REDIRECTS, Credential, Exchange, cookies_set
from contract_tests.wire.not_tested import NotTested

OWN = f"{DOCUMENT}, 200: usage metrics for the authenticated API key"
MASKS = "*•…#"
STEADY = 4  # answers that are alike
SWINGS = 3  # times: a window that slides over uneven use may swing by chance


@pytest.fixture(scope="session")
def used_keys(gate: Gate, figures: list[UsageMetrics]) -> dict[Credential, Profile]:
    """What the figures of each key that was ever used usually are; NotTested where there are not two."""
    used = profiles(figures, gate.keys)
    if len(used) < 2:
        raise NotTested("it needs two keys of this deployment that were both used", wanted=TWO_KEYS)
    return used


@pytest.mark.rule(level="documented", source=OWN)
def test_metrics_differ_between_keys(used_keys: dict[Credential, Profile], figures: list[UsageMetrics]) -> None:
    """Two keys that were both used MUST NOT have a large figure, or a list of domains, in common."""
    for one, other in combinations(used_keys, 2):
        of_one, of_other = ([e for e in figures if e.exchange.request.credential == key] for key in (one, other))
        same = shared_figures(of_one, of_other)
        assert not same, of_other[0].label(f"{one.label} and {other.label} have the same {', '.join(same)}")


@pytest.mark.needs("keys/metrics-differ-between-keys")
@pytest.mark.rule(level="documented", source=OWN)
def test_responses_are_not_mixed_up(used_keys: dict[Credential, Profile], figures: list[UsageMetrics]) -> None:
    """An answer to one key MUST NOT hold another key's figures."""
    for each in figures:
        assert not (theirs := _anothers(each, used_keys)), each.label(f"these are the figures of {theirs}")


@pytest.mark.needs("keys/responses-are-not-mixed-up")
@pytest.mark.rule(level="documented", source=OWN)
def test_metrics_of_a_key_are_steady(gate: Gate, figures: list[UsageMetrics]) -> None:
    """A figure MUST NOT halve or double and change back, nor swing again and again, nor a limit change and change back.

    A window that starts anew changes its counters once; a new limit comes to stay.
    """
    for key in gate.keys:
        of_key = [each for each in figures if each.exchange.request.credential == key]
        for name, values in counters(of_key).items():
            _stays(name, transient_changes(values, is_implausible_jump))
            _stays(name, oscillations(values), SWINGS)
        for name in ("rps", "burst"):
            limits = [(each, value) for each in of_key if (value := getattr(each, name)) is not None]
            _stays(name, transient_changes(limits, is_different))


@pytest.mark.needs("keys/metrics-of-a-key-are-steady")
@pytest.mark.rule(level="documented", source=OWN)
def test_first_response_is_like_later_ones(gate: Gate, figures: list[UsageMetrics]) -> None:
    """The first answers to two keys MUST NOT both have far less in `total` than all later ones: no use does that."""
    strays = []
    for key in gate.keys:
        values = counters(each for each in figures if each.exchange.request.credential == key)["total"]
        if len(values) > STEADY:
            (first, total), (_, usual), *_ = values
            is_steady = not any(is_implausible_jump(usual, value) for _, value in values[2:])
            if is_steady and total < usual and is_implausible_jump(total, usual):
                strays.append(first.label(f"total is {total}, and {usual} in the next answer to {key.label}"))
    if len(strays) > 1:
        holds(strays)


def _stays(name: str, strays: Iterable[tuple[UsageMetrics, Decimal, Decimal, Decimal]], often: int = 1) -> None:
    problems = [
        each.label(f"{name} was {before}, is {value}, and then {after}") for each, before, value, after in strays
    ]
    if len(problems) >= often:
        holds(problems)


def _anothers(figures: UsageMetrics, used_keys: Mapping[Credential, Profile]) -> str:
    """Return whose figures these are, if not those of the key that asked."""
    own = used_keys.get(figures.exchange.request.credential) if figures.exchange.request.credential else None
    others = [profile for profile in used_keys.values() if profile != own]
    return next((other.key.label for other in others if own and other.explains(figures, own)), "")


@pytest.mark.needs(
    *NEEDS_READABLE_BODY, *NEEDS_AUTH_ERRORS, "keys/metrics-differ-between-keys", "keys/responses-are-not-mixed-up"
)
@pytest.mark.rule(level="documented", source=OWN)
def test_concurrent_clients_are_kept_apart(gate: Gate, used_keys: dict[Credential, Profile]) -> None:
    """Callers that ask at the same time MUST each get what their own key gets."""
    is_baseline: RequestOptions = {}
    gzip: RequestOptions = {"fields": [("Accept-Encoding", "gzip")]}  # what is compressed may be kept apart
    callers: list[tuple[Credential | None, RequestOptions]] = [
        *((key, is_baseline) for key in (gate.main, None, gate.second, wrong_keys.UNKNOWN)),
        *((key, gzip) for key in (gate.main, gate.second)),
    ]
    exchanges = gate.transport.together(
        [gate.request(key, "at the same time as others", **special) for key, special in callers]
    )
    for (key, _), exchange in zip(callers, exchanges, strict=True):
        if key in gate.keys:
            assert exchange.status in {200, 429}, f"{exchange.status} for a valid key\n{exchange.seen}"
            theirs = _anothers(UsageMetrics(exchange), used_keys)
            assert not theirs, f"these are the figures of {theirs}\n{exchange.seen}"
        else:
            refusals = {429, *gate.baseline.refusals(key)}
            assert exchange.status in refusals and not gate.shows_metrics(exchange), f"not refused\n{exchange.seen}"


@pytest.mark.needs(*NEEDS_READABLE_BODY, "keys/metrics-differ-between-keys", "keys/responses-are-not-mixed-up")
@pytest.mark.rule(level="documented", source=HEADER_ONLY)
def test_only_the_header_selects_the_key(
    gate: Gate, good: list[Exchange], used_keys: dict[Credential, Profile]
) -> None:
    """A second key in the query, in Authorization or in a cookie MUST NOT choose whose figures are served."""
    other = gate.second.value
    query = b"&".join(
        name + b"=" + other for name in (b"api_key", b"key", b"apikey", b"X-API-Key", b"token", b"account", b"user")
    )
    fields = [
        ("Authorization", b"Bearer " + other),
        ("Cookie", b"api_key=" + other),
        ("X-User", other),
        ("X-Account", other),
    ]
    exchanges = [
        gate.ask(gate.main, "and another key in the query", target=gate.path.encode() + b"?" + query),
        gate.ask(gate.main, "and another key in other fields", fields=fields),
    ]
    if cookies := cookies_set(exchange for exchange in good if exchange.request.credential == gate.second):
        exchanges.append(
            gate.ask(gate.main, "and the cookies that another key was given", fields=[("Cookie", cookies)])
        )
    holds(
        f"these are the figures of {theirs}\n{exchange.seen}"
        for exchange in exchanges
        if (theirs := _anothers(UsageMetrics(exchange), used_keys))
    )


@pytest.mark.rule(level="documented", source=f"{DOCUMENT}, UsageResponse.api_key; whole or masked is open")
def test_api_key_is_the_one_sent(gate: Gate, figures: list[UsageMetrics]) -> None:
    """`api_key` MUST NOT show another key than the asking one, nor the same text for two keys, unless it is masked."""
    shown: dict[str, Credential] = {}
    for each in having(figures, "api_key"):
        text, own = each.api_key or "", each.exchange.request.credential
        for key in gate.keys:
            fits_own = own is not None and _may_show(text, own)
            assert key == own or fits_own or not _may_show(text, key), each.label(f"api_key shows {key.label}")
        is_start = all(key.value.startswith(text.encode()) for key in gate.keys)
        is_masked = is_start or any(mask in text.lower() for mask in (*MASKS, "...", "xxx", "redacted", "hidden"))
        if own and text and not is_masked:
            first = shown.setdefault(text, own)
            assert first == own, each.label(f"api_key is the same for {first.label} and {own.label}")


def _may_show(text: str, key: Credential) -> bool:
    """Whether the text is the key, or the key with its middle masked and some of it left to see."""
    value = key.value.decode()
    visible = text
    for mask in (*MASKS, "..."):
        visible = visible.replace(mask, "\0")
    start, end = visible.split("\0")[0], visible.split("\0")[-1]
    if "\0" not in visible:
        return text == value
    return bool(start or end) and value.startswith(start) and value.endswith(end)


@pytest.mark.needs(*NEEDS_VALID_KEY, *NEEDS_AUTH_ERRORS)
@pytest.mark.rule(
    level="documented", source="authentication guide: each request is judged by its key; RFC 9111, section 4"
)
def test_cached_response_is_not_shared(gate: Gate) -> None:
    """An answer for one caller MUST NOT be given to another, in whatever order they ask."""
    unique = f"{gate.path}?contract=cache"
    first = gate.ask(gate.main, "at a target of its own", target=unique)
    refused: list[Exchange] = [
        gate.ask(None, "at the same target", target=unique),
        gate.ask(wrong_keys.UNKNOWN, "at the same target", target=unique),
    ]
    if first.status != 200:
        raise NotTested(f"a query is answered {first.status} here")
    holds(
        f"what the main key got is served to others\n{exchange.seen}"
        for exchange in refused
        if exchange.status == 200 or gate.shows_metrics(exchange)
    )
    sheet = f"{gate.path}/contract.css"  # what many a cache takes for a file that is everybody's
    if gate.shows_metrics(gate.ask(gate.main, "at a path like a style sheet's", target=sheet)):
        stolen = gate.ask(None, "at a path like a style sheet's, after the main key", target=sheet)
        holds(gate.not_refused([stolen], CLIENT_ERRORS_OR_REDIRECTS))
    again = gate.ask(gate.main, "at the same target, after callers that were refused", target=unique)
    assert again.status == 200, f"what others got is served to the main key\n{again.seen}"
