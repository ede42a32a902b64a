"""The plan of a run: how many requests each rule usually sends, without sending any."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path

from contract_tests.reports.model import counted
from contract_tests.run.options import Settings
from contract_tests.support.facts import NEEDS_AUTH_ERRORS
from contract_tests.support.rules import Rule
from contract_tests.wire.pacing import VENDOR_RATE

KEYS_OF_THE_MOCK = 3
LIMIT = f"the vendor's limit of {VENDOR_RATE:g} requests a second for each key"
PACE = 13.5  # requests a second at that limit, which concerns valid keys only
# The requests of rules, and of fixtures that they share, to the mock; `python -m tools.rules_document` measures them.
TYPICAL: Mapping[str, Mapping[str, int]] = json.loads(Path(__file__).with_name("typical_requests.json").read_text())
OF_RULES, OF_FIXTURES = TYPICAL["rules"], TYPICAL["fixtures"]
# Baseline requests, for all rules together.
MAIN_KEY_SAMPLE = 24  # a deployment that fails once in eight responses passes this many with a probability of 4 %
OTHER_KEY_SAMPLE = 9
AUTH_ERROR_SAMPLE = 4
ALL_BASELINE_REQUESTS = MAIN_KEY_SAMPLE + 2 * OTHER_KEY_SAMPLE + 2 * AUTH_ERROR_SAMPLE  # with three keys


def shared_fixtures(rules: Iterable[Rule]) -> set[str]:
    """Return the fixtures that send the baseline requests of some rules, among other names."""
    needed = {"first_ok", "further_keys"}
    for rule in rules:
        needed |= rule.fixtures | ({"auth_errors"} if set(NEEDS_AUTH_ERRORS) & set(rule.needs) else set())
    return needed


def plan(rules: Sequence[Rule], settings: Settings) -> Iterator[str]:
    """Yield the lines of the plan: the baseline requests, the usual requests of each rule, and the sum."""
    deployment = "the embedded mock" if settings.embedded else settings.target.url
    samples = dict(_samples((len(settings.keys) or KEYS_OF_THE_MOCK) - 1, shared_fixtures(rules)))
    own = requests_of(rules, intrusive=settings.intrusive)
    baseline = sum(samples.values())
    yield f"nothing was sent to {deployment}; a run usually sends"
    yield f"baseline requests: {baseline} ({', '.join(f'{number} {label}' for label, number in samples.items())})"
    for rule in rules:
        if rule.intrusive and not settings.intrusive:
            yield f"{rule.id}: none without --intrusive"
        elif own[rule.id]:
            yield f"{rule.id}: {own[rule.id]}"
    about = "about" if len(settings.keys) in {0, KEYS_OF_THE_MOCK} else "at most"  # some rules need several keys
    requests = min(baseline + sum(own.values()), settings.max_requests)
    yield (
        f"in total {about} {counted(requests, 'request')} (--max-requests allows {settings.max_requests}), "
        f"{seconds(requests, settings.max_rate)} at "
        + (f"--max-rate {settings.max_rate:g}" if settings.max_rate else LIMIT)
    )


def requests_of(rules: Iterable[Rule], *, intrusive: bool) -> dict[str, int]:
    """Return how many requests each rule usually sends in addition to the baseline requests.

    Those of a fixture count for the first rule that needs it.
    """
    chosen = (rule for rule in rules if intrusive or not rule.intrusive)
    return {
        rule.id: OF_RULES.get(rule.id, 0) + sum(OF_FIXTURES.get(name, 0) for name in fixtures)
        for rule, fixtures in with_own_fixtures(chosen)
    }


def with_own_fixtures(rules: Iterable[Rule]) -> Iterator[tuple[Rule, Set[str]]]:
    """Yield each rule with the fixtures that it is the first to need."""
    set_up: set[str] = set()
    for rule in rules:
        yield rule, rule.fixtures - set_up
        set_up |= rule.fixtures


def seconds(requests: int, max_rate: float | None = None) -> str:
    """Return the usual time of some requests as text."""
    return f"about {max(requests / (max_rate or PACE), 1):.0f} s"


def _samples(further_keys: int, fixtures: Collection[str]) -> Iterator[tuple[str, int]]:
    """Yield the callers and the number of their baseline requests."""
    yield "with the main key", MAIN_KEY_SAMPLE if "main_key_responses" in fixtures else 1
    number = OTHER_KEY_SAMPLE if "other_key_responses" in fixtures else 1
    yield from ((f"with key {key}", number) for key in range(2, further_keys + 2))
    if "auth_errors" in fixtures:
        yield "without a key", AUTH_ERROR_SAMPLE
        yield "with an unknown key", AUTH_ERROR_SAMPLE
