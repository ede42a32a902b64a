"""A fixed sample of the proof: no fault, one fault for each family of rules, and some correct variants."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract_tests.support.rules import rule_ids
from mock_server.fixtures.faults import load_fault
from tests.support.proof import assert_accepted, assert_breaks_exactly_its_rules

FAULTS = (
    "unknown-key-is-422",
    "basic-password-is-accepted-as-a-key",
    "success-rate-is-above-100",
    "401-has-no-detail",
    "usage-metrics-are-zero-at-times",
    "session-cookie-selects-the-key",
    "429-has-no-detail",
    "remaining-never-falls",
    "head-is-500",
    "date-header-never-changes",
    "429-allows-shared-caching",
    "get-body-is-read-as-a-request",
    "body-is-sent-slowly",
)
VARIANTS = (
    "responses-are-chunked",
    "usage-metrics-grow",
    "first-response-is-slow",
    "replicas-have-separate-buckets",
    "counters-restart-at-zero",
)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_breaks_exactly_its_rules(name: str, tmp_path: Path) -> None:
    assert_breaks_exactly_its_rules(name, tmp_path)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_correct_variant_is_accepted(name: str, tmp_path: Path) -> None:
    assert_accepted(name, tmp_path)


def test_the_mock_without_a_fault_holds_every_rule(tmp_path: Path) -> None:
    assert_accepted(None, tmp_path)


def test_the_sample_has_a_fault_for_each_family_of_rules() -> None:
    families = {rule.split("/")[0] for rule in rule_ids()}
    assert families - {rule.split("/")[0] for name in FAULTS for rule in load_fault(name).breaks} == set()
