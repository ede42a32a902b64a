"""Several keys: each gets its own figures, and nobody else's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import combinations

import pytest

from contract_tests import keys
from contract_tests.figures import Figures, having
from contract_tests.gate import Gate
from contract_tests.message import Answer, Credential
from contract_tests.rules import AUTHENTICATION_GUIDE, DOCUMENT, READABLE, REFUSING, SOUND, holds
from contract_tests.transport import NotTested

OWN = f"{DOCUMENT}, 200: usage metrics for the authenticated API key"
TELLING = range(1000, 2**53)  # figures that do not agree by chance, and are no saturated counters
MASKS = "*•…#"

OWN_FIGURES = ("total", "success", "bytes_transferred", "top_domains")


def _identity(figures: Figures) -> Hashable:
    """Return what tells one key's figures from another's; None for those of a key that was never used."""
    values = (figures.total, figures.success, figures.fail, figures.bytes_transferred, tuple(figures.top_domains or ()))
    return values if any(values) else None


def _usual(figures: Sequence[Figures], key: Credential) -> Hashable:
    seen = Counter(_identity(each) for each in figures if each.answer.request.credential == key)
    return seen.most_common(1)[0][0] if seen else None


@pytest.fixture(scope="session")
def used_keys(gate: Gate, figures: list[Figures]) -> dict[Credential, Hashable]:
    """What the figures of each key that was ever used usually are; NotTested where there are not two."""
    usual = {key: _usual(figures, key) for key in gate.settings.keys}
    used = {key: identity for key, identity in usual.items() if identity}
    if len(used) < 2:
        raise NotTested("it needs two keys of this deployment that were both used")
    return used


@pytest.mark.rule(level="documented", source=OWN)
def test_figures_are_the_keys_own(used_keys: dict[Credential, Hashable], figures: list[Figures]) -> None:
    """Two keys that were both used MUST NOT have a large figure, or a list of domains, in common."""
    examples = {
        key: next(
            each for each in figures if each.answer.request.credential == key and _identity(each) == used_keys[key]
        )
        for key in used_keys
    }
    for (one_key, one), (other_key, other) in combinations(examples.items(), 2):
        same = [
            name for name in OWN_FIGURES if _is_telling(value := getattr(one, name)) and getattr(other, name) == value
        ]
        by_chance = len(same) < 2 and not {"bytes_transferred", "top_domains"} & set(same)
        assert by_chance, other.told(f"{one_key.told} and {other_key.told} have the same {', '.join(same)}")


def _is_telling(value: int | list[tuple[str, int]] | None) -> bool:
    size = sum(count for _, count in value) if isinstance(value, list) else value or 0
    return abs(size) in TELLING


@pytest.mark.needs("keys/figures-are-the-keys-own")
@pytest.mark.rule(level="documented", source=OWN)
def test_answers_are_not_mixed_up(used_keys: dict[Credential, Hashable], figures: list[Figures]) -> None:
    """No answer to one key MUST hold another key's figures."""
    for each in figures:
        own = each.answer.request.credential
        theirs = [key.told for key, identity in used_keys.items() if key != own and identity == _identity(each)]
        if own in used_keys and used_keys[own] != _identity(each):
            assert not theirs, each.told(f"these are the figures of {theirs[0]}")


@pytest.mark.needs(*READABLE, *REFUSING, "keys/figures-are-the-keys-own", "keys/answers-are-not-mixed-up")
@pytest.mark.rule(level="documented", source=OWN)
def test_concurrent_callers_are_kept_apart(gate: Gate, figures: list[Figures]) -> None:
    """Callers that ask at the same time MUST each get what their own key gets."""
    callers = [gate.main, None, gate.second, keys.UNKNOWN, gate.main, gate.second]
    answers = gate.transport.together([gate.request(key, "at the same time as others") for key in callers])
    usual = {key: _usual(figures, key) for key in (gate.main, gate.second)}
    for key, answer in zip(callers, answers, strict=True):
        if key in usual:
            assert answer.status in {200, 429}, f"{answer.status} for a valid key\n{answer.seen}"
            identity = _identity(Figures(answer))
            others = [other for other in usual if other != key and usual[other] and usual[other] != usual[key]]
            assert answer.status == 429 or not any(identity == usual[other] for other in others), (
                f"another key's figures\n{answer.seen}"
            )
        else:
            assert answer.status in {401, 403, 429} and not gate.shows_figures(answer), f"not refused\n{answer.seen}"


@pytest.mark.needs(*READABLE, *REFUSING, "keys/figures-are-the-keys-own", "keys/answers-are-not-mixed-up")
@pytest.mark.rule(level="documented", source=f"{AUTHENTICATION_GUIDE}: a key is taken from the X-API-Key header only")
def test_only_the_header_chooses_the_key(gate: Gate, figures: list[Figures]) -> None:
    """A second key in the query, in Authorization or in a cookie MUST NOT choose whose figures are served."""
    own, theirs = _usual(figures, gate.main), _usual(figures, gate.second)
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
    if not own or not theirs or own == theirs:
        raise NotTested("it needs two keys that were both used, with figures that differ")
    holds(
        f"these are the figures of {gate.second.told}\n{answer.seen}"
        for answer in answers
        if _identity(Figures(answer)) == theirs
    )


@pytest.mark.rule(level="documented", source=f"{DOCUMENT}, UsageResponse.api_key; whole or masked is open")
def test_api_key_is_the_asking_one(gate: Gate, figures: list[Figures]) -> None:
    """`api_key` MUST NOT show another key than the asking one, nor the same text for two keys, unless it is masked."""
    shown: dict[str, Credential] = {}
    for each in having(figures, "api_key"):
        text, own = each.api_key or "", each.answer.request.credential
        for key in gate.settings.keys:
            fits_own = own is not None and _may_show(text, own)
            assert key == own or fits_own or not _may_show(text, key), each.told(f"api_key shows {key.told}")
        is_start = all(key.value.startswith(text.encode()) for key in gate.settings.keys)
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


@pytest.mark.needs(*SOUND, *REFUSING)
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
    again = gate.ask(gate.main, "at the same target, after callers that were refused", target=unique)
    assert again.status == 200, f"what others got is served to the main key\n{again.seen}"
