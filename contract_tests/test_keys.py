"""Several keys: each gets its own figures, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from itertools import combinations

import pytest

from contract_tests import keys
from contract_tests.facts import NEEDS_AUTH_ERRORS, NEEDS_READABLE_BODY, NEEDS_VALID_KEY
from contract_tests.figures import Figures, having
from contract_tests.gate import TWO_KEYS, Gate, Special
from contract_tests.likeness import (
    Profile,
    counters,
    is_another,
    is_elsewhere,
    profiles,
    shared_figures,
    swings,
    there_and_back,
)
from contract_tests.message import SENT_AWAY, Answer, Credential, cookies_set
from contract_tests.not_tested import NotTested
from contract_tests.rules import DOCUMENT, HEADER_ONLY, holds

OWN = f"{DOCUMENT}, 200: usage metrics for the authenticated API key"
MASKS = "*•…#"
STEADY = 4  # answers that are alike
SWINGS = 3  # times: a window that slides over uneven use may swing by chance


@pytest.fixture(scope="session")
def used_keys(gate: Gate, figures: list[Figures]) -> dict[Credential, Profile]:
    """What the figures of each key that was ever used usually are; NotTested where there are not two."""
    used = profiles(figures, gate.keys)
    if len(used) < 2:
        raise NotTested("it needs two keys of this deployment that were both used", wanted=TWO_KEYS)
    return used


@pytest.mark.rule(level="documented", source=OWN)
def test_figures_are_the_keys_own(used_keys: dict[Credential, Profile], figures: list[Figures]) -> None:
    """Two keys that were both used MUST NOT have a large figure, or a list of domains, in common."""
    for one, other in combinations(used_keys, 2):
        of_one, of_other = ([e for e in figures if e.answer.request.credential == key] for key in (one, other))
        same = shared_figures(of_one, of_other)
        assert not same, of_other[0].told(f"{one.told} and {other.told} have the same {', '.join(same)}")


@pytest.mark.needs("keys/figures-are-the-keys-own")
@pytest.mark.rule(level="documented", source=OWN)
def test_answers_are_not_mixed_up(used_keys: dict[Credential, Profile], figures: list[Figures]) -> None:
    """An answer to one key MUST NOT hold another key's figures."""
    for each in figures:
        assert not (theirs := _anothers(each, used_keys)), each.told(f"these are the figures of {theirs}")


@pytest.mark.needs("keys/answers-are-not-mixed-up")
@pytest.mark.rule(level="documented", source=OWN)
def test_figures_of_a_key_hang_together(gate: Gate, figures: list[Figures]) -> None:
    """A figure MUST NOT halve or double and change back, nor swing again and again, nor a limit change and change back.

    A window that starts anew changes its counters once; a new limit comes to stay.
    """
    for key in gate.keys:
        of_key = [each for each in figures if each.answer.request.credential == key]
        for name, values in counters(of_key).items():
            _stays(name, there_and_back(values, is_elsewhere))
            _stays(name, swings(values), SWINGS)
        for name in ("rps", "burst"):
            limits = [(each, value) for each in of_key if (value := getattr(each, name)) is not None]
            _stays(name, there_and_back(limits, is_another))


@pytest.mark.needs("keys/figures-of-a-key-hang-together")
@pytest.mark.rule(level="documented", source=OWN)
def test_first_answer_is_as_later_ones(gate: Gate, figures: list[Figures]) -> None:
    """The first answers to two keys MUST NOT both have far less in `total` than all later ones: no use does that."""
    strays = []
    for key in gate.keys:
        values = counters(each for each in figures if each.answer.request.credential == key)["total"]
        if len(values) > STEADY:
            (first, total), (_, usual), *_ = values
            is_steady = not any(is_elsewhere(usual, value) for _, value in values[2:])
            if is_steady and total < usual and is_elsewhere(total, usual):
                strays.append(first.told(f"total is {total}, and {usual} in the next answer to {key.told}"))
    if len(strays) > 1:
        holds(strays)


def _stays(name: str, strays: Iterable[tuple[Figures, Decimal, Decimal, Decimal]], often: int = 1) -> None:
    problems = [
        each.told(f"{name} was {before}, is {value}, and then {after}") for each, before, value, after in strays
    ]
    if len(problems) >= often:
        holds(problems)


def _anothers(figures: Figures, used_keys: Mapping[Credential, Profile]) -> str:
    """Return whose figures these are, if not those of the key that asked."""
    own = used_keys.get(figures.answer.request.credential) if figures.answer.request.credential else None
    others = [profile for profile in used_keys.values() if profile != own]
    return next((other.key.told for other in others if own and other.explains(figures, own)), "")


@pytest.mark.needs(
    *NEEDS_READABLE_BODY, *NEEDS_AUTH_ERRORS, "keys/figures-are-the-keys-own", "keys/answers-are-not-mixed-up"
)
@pytest.mark.rule(level="documented", source=OWN)
def test_concurrent_callers_are_kept_apart(gate: Gate, used_keys: dict[Credential, Profile]) -> None:
    """Callers that ask at the same time MUST each get what their own key gets."""
    plain: Special = {}
    gzip: Special = {"fields": [("Accept-Encoding", "gzip")]}  # what is compressed may be kept apart
    callers: list[tuple[Credential | None, Special]] = [
        *((key, plain) for key in (gate.main, None, gate.second, keys.UNKNOWN)),
        *((key, gzip) for key in (gate.main, gate.second)),
    ]
    answers = gate.transport.together(
        [gate.request(key, "at the same time as others", **special) for key, special in callers]
    )
    for (key, _), answer in zip(callers, answers, strict=True):
        if key in gate.keys:
            assert answer.status in {200, 429}, f"{answer.status} for a valid key\n{answer.seen}"
            theirs = _anothers(Figures(answer), used_keys)
            assert not theirs, f"these are the figures of {theirs}\n{answer.seen}"
        else:
            refusals = {429, *gate.baseline.refusals(key)}
            assert answer.status in refusals and not gate.shows_figures(answer), f"not refused\n{answer.seen}"


@pytest.mark.needs(*NEEDS_READABLE_BODY, "keys/figures-are-the-keys-own", "keys/answers-are-not-mixed-up")
@pytest.mark.rule(level="documented", source=HEADER_ONLY)
def test_only_the_header_chooses_the_key(gate: Gate, good: list[Answer], used_keys: dict[Credential, Profile]) -> None:
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
    answers = [
        gate.ask(gate.main, "and another key in the query", target=gate.path.encode() + b"?" + query),
        gate.ask(gate.main, "and another key in other fields", fields=fields),
    ]
    if cookies := cookies_set(answer for answer in good if answer.request.credential == gate.second):
        answers.append(gate.ask(gate.main, "and the cookies that another key was given", fields=[("Cookie", cookies)]))
    holds(
        f"these are the figures of {theirs}\n{answer.seen}"
        for answer in answers
        if (theirs := _anothers(Figures(answer), used_keys))
    )


@pytest.mark.rule(level="documented", source=f"{DOCUMENT}, UsageResponse.api_key; whole or masked is open")
def test_api_key_is_the_asking_one(gate: Gate, figures: list[Figures]) -> None:
    """`api_key` MUST NOT show another key than the asking one, nor the same text for two keys, unless it is masked."""
    shown: dict[str, Credential] = {}
    for each in having(figures, "api_key"):
        text, own = each.api_key or "", each.answer.request.credential
        for key in gate.keys:
            fits_own = own is not None and _may_show(text, own)
            assert key == own or fits_own or not _may_show(text, key), each.told(f"api_key shows {key.told}")
        is_start = all(key.value.startswith(text.encode()) for key in gate.keys)
        is_masked = is_start or any(mask in text.lower() for mask in (*MASKS, "...", "xxx", "redacted", "hidden"))
        if own and text and not is_masked:
            first = shown.setdefault(text, own)
            assert first == own, each.told(f"api_key is the same for {first.told} and {own.told}")


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
def test_answer_is_not_anothers_cached_one(gate: Gate) -> None:
    """An answer for one caller MUST NOT be given to another, in whatever order they ask."""
    unique = f"{gate.path}?contract=cache"
    first = gate.ask(gate.main, "at a target of its own", target=unique)
    refused: list[Answer] = [
        gate.ask(None, "at the same target", target=unique),
        gate.ask(keys.UNKNOWN, "at the same target", target=unique),
    ]
    if first.status != 200:
        raise NotTested(f"a query is answered {first.status} here")
    holds(
        f"what the main key got is served to others\n{answer.seen}"
        for answer in refused
        if answer.status == 200 or gate.shows_figures(answer)
    )
    sheet = f"{gate.path}/contract.css"  # what many a cache takes for a file that is everybody's
    if gate.shows_figures(gate.ask(gate.main, "at a path like a style sheet's", target=sheet)):
        stolen = gate.ask(None, "at a path like a style sheet's, after the main key", target=sheet)
        holds(gate.not_refused([stolen], SENT_AWAY))
    again = gate.ask(gate.main, "at the same target, after callers that were refused", target=unique)
    assert again.status == 200, f"what others got is served to the main key\n{again.seen}"
