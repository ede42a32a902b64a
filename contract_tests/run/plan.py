"""The plan of a run: how many requests each rule sends, without sending any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from contract_tests.run.options import Settings
from contract_tests.run.rules import Rule
from contract_tests.wire.pacing import SHARE, VENDOR_RATE

KEYS_OF_THE_MOCK = 3
# Baseline requests, for all rules together.
MAIN_KEY_SAMPLE = 24  # a deployment that fails once in eight responses passes this many with a probability of 4 %
OTHER_KEY_SAMPLE = 9
AUTH_ERROR_SAMPLE = 4


def plan(rules: Sequence[Rule], settings: Settings) -> Iterator[str]:
    """Yield the lines of the plan: the baseline requests, the requests of each rule, and the sums."""
    further_keys = (len(settings.keys) or KEYS_OF_THE_MOCK) - 1
    deployment = "the embedded mock" if settings.embedded else settings.target.url
    baseline = MAIN_KEY_SAMPLE + OTHER_KEY_SAMPLE * further_keys + 2 * AUTH_ERROR_SAMPLE
    yield f"nothing was sent to {deployment}; a run sends"
    yield (
        f"baseline requests: {baseline} ({MAIN_KEY_SAMPLE} with the main key, {OTHER_KEY_SAMPLE} with each of "
        f"{further_keys} further keys, {AUTH_ERROR_SAMPLE} without a key, {AUTH_ERROR_SAMPLE} with an unknown key)"
    )
    allowed = [rule for rule in rules if settings.intrusive or not rule.intrusive]
    for rule in rules:
        least, most = rule.sends
        if rule not in allowed:
            yield f"{rule.id}: none without --intrusive"
        elif rule.is_active:
            yield f"{rule.id}: {most}" if least == most else f"{rule.id}: at least {least}, at most {most}"
    least = baseline + sum(rule.sends[0] for rule in allowed)
    most = min(baseline + sum(rule.sends[1] for rule in allowed), settings.max_requests)
    rate = settings.max_rate or SHARE * VENDOR_RATE
    seconds = f"{least / rate:.0f} to {most / rate:.0f} s at {rate:g} requests a second; without a valid key, more"
    yield f"in total at least {least} and at most {most} requests: {seconds}"
