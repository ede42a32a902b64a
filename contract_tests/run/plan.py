"""The plan of a run: how many requests each rule sends, without sending any."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

import pytest

from contract_tests.run.facts import NEEDS_AUTH_ERRORS
from contract_tests.run.options import Settings
from contract_tests.run.rules import Rule, rule_of
from contract_tests.wire.pacing import SHARE, VENDOR_RATE

KEYS_OF_THE_MOCK = 3
# Baseline requests, for all rules together.
MAIN_KEY_SAMPLE = 24  # a deployment that fails once in eight responses passes this many with a probability of 4 %
OTHER_KEY_SAMPLE = 9
AUTH_ERROR_SAMPLE = 4


def shared_fixtures(items: Iterable[pytest.Item]) -> set[str]:
    """Return the fixtures that send the baseline requests of some rules, among other names."""
    functions = [item for item in items if isinstance(item, pytest.Function)]
    needed = {"first_ok", "further_keys", *(name for item in functions for name in item.fixturenames)}
    if any(set(NEEDS_AUTH_ERRORS) & set(rule_of(item).needs) for item in functions):
        needed.add("auth_errors")
    return needed


def plan(rules: Sequence[Rule], settings: Settings, fixtures: Collection[str]) -> Iterator[str]:
    """Yield the lines of the plan: the baseline requests, the requests of each rule, and the sums.

    `fixtures` are those of the rules, see `shared_fixtures`.
    """
    deployment = "the embedded mock" if settings.embedded else settings.target.url
    samples = dict(_samples((len(settings.keys) or KEYS_OF_THE_MOCK) - 1, fixtures))
    baseline = sum(samples.values())
    yield f"nothing was sent to {deployment}; a run sends"
    yield f"baseline requests: {baseline} ({', '.join(f'{number} {label}' for label, number in samples.items())})"
    allowed = [rule for rule in rules if settings.intrusive or not rule.intrusive]
    for rule in rules:
        least, most = rule.sends
        if rule not in allowed:
            yield f"{rule.id}: none without --intrusive"
        elif rule.is_active:
            yield f"{rule.id}: {_span(least, most)}"
    least = baseline + sum(rule.sends[0] for rule in allowed)
    most = min(baseline + sum(rule.sends[1] for rule in allowed), settings.max_requests)
    rate = settings.max_rate or SHARE * VENDOR_RATE
    low, high = round(least / rate), round(most / rate)
    seconds = f"{low} to {high} s" if low < high else f"about {high} s" if high else "less than 1 s"
    yield (
        f"in total {_span(least, most).replace(',', ' and')} requests: {seconds} at {rate:g} requests a second; "
        "without a valid key, more"
    )


def _samples(further_keys: int, fixtures: Collection[str]) -> Iterator[tuple[str, int]]:
    """Yield the callers and the number of their baseline requests."""
    yield "with the main key", MAIN_KEY_SAMPLE if "main_key_responses" in fixtures else 1
    number = OTHER_KEY_SAMPLE if "other_key_responses" in fixtures else 1
    yield from ((f"with key {key}", number) for key in range(2, further_keys + 2))
    if "auth_errors" in fixtures:
        yield "without a key", AUTH_ERROR_SAMPLE
        yield "with an unknown key", AUTH_ERROR_SAMPLE


def _span(least: int, most: int) -> str:
    return f"{most}" if least == most else f"at least {least}, at most {most}"
