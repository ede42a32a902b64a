"""Wrong keys that depend on the form of a valid key: its length, its digits and its prefix."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from contract_tests.support import wrong_keys
from contract_tests.wire.messages import Credential
from mock_server.fixtures.faults import load_fault
from tests.support.forked_gate import Job
from tests.support.proof import DEPLOYMENT, run_job

RULE = "auth/similar-key-is-refused"
FAULT = """\
description: The deployment accepts another text than its key.
breaks: [{rule}]
do:
  - when: {{ request: '^x-api-key: {accepted}$', status: [403] }}
    as: '{key}'
"""


@pytest.mark.parametrize(
    ("key", "accepted"),
    [
        ("4711001", "04711001"),
        ("4711001", "4711001\\.0"),
        ("4711-ab7e", "4711"),
        ("sk_live_9f3aC1b7D2e4", "sk-live-9f3aC1b7D2e4"),
        ("sk-live-9f3aC1b7D2e4", "sk_live_9f3aC1b7D2e4"),
        ("sk_live_9f3aC1b7D2e4", "9f3aC1b7D2e4"),
        ("sk_live_9f3aC1b7D2e4", "Sk_live_9f3aC1b7D2e4"),
    ],
)
def test_a_key_that_resembles_a_valid_one_is_found(key: str, accepted: str, tmp_path: Path) -> None:
    (tmp_path / "faults").mkdir()
    text = FAULT.format(rule=RULE, key=key, accepted=f"(?-i:{accepted})")
    (tmp_path / "faults" / "another-text-is-accepted.yaml").write_text(text)
    account, *_ = DEPLOYMENT.keys.values()
    deployment = replace(DEPLOYMENT, keys={key: account})
    fault = load_fault("another-text-is-accepted", tmp_path)
    result = run_job(Job(tmp_path, fault, deployment, writes_reports=False), "-k", "similar_key")
    assert result.having("broken") == {RULE}, result.output


@pytest.mark.parametrize("key", [b"demo-busy", b"sk_live_9f3aC1b7D2e4", b"4711001", b"12ab", b"x", b"-", b"k-1"])
def test_wrong_keys_are_wrong_and_differ_from_each_other(key: bytes) -> None:
    credential = Credential(key, "the main key", "$CONTRACT_API_KEY")
    values = [wrong.value for wrong in (*wrong_keys.near(credential), *wrong_keys.disguised(credential))]
    assert key not in values
    assert len(set(values)) == len(values)


def test_a_key_without_letters_has_no_other_spelling_in_unicode() -> None:
    digits = Credential(b"4711001", "the main key", "$CONTRACT_API_KEY")
    assert len(wrong_keys.disguised(digits)) == 3
