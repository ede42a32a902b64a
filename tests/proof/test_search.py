"""A sample of the systematic search: the gate rejects broken deployments, and accepts correct ones."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support.search.catalogue import DOCUMENT, is_explained, sample
from tests.support.search.correct import correct
from tests.support.search.held_out import SAMPLES, held_out
from tests.support.search.judge import is_noticed, run_against_deployment, sends_what_shows
from tests.support.search.mutations import Mutation
from tests.support.search.served import Behaviour

# Which connection is the fourth one changes with every new probe, and so does the verdict on such a deployment.
BROKEN = [mutation for mutation in sample(seed=2, limit=40) if not mutation.name.endswith("on every fourth connection")]
# Exactly the members of BROKEN that the gate accepts; docs/mutants.md explains them.
ACCEPTED = {
    "auth, a value that is not the key: key by its first 2 characters (words), "
    "on a connection with an earlier valid key",
    "auth, a literal: the text true, always",
    "bypass, a key in another place: query parameter apitoken, every second time",
    "bypass, another path without a key: an index, always",
    "bypass, another method without a key: SEARCH, always",
    "auth, a long key: a key of more than 32768 characters, always",
}
CORRECT = random.Random(2).sample(list(correct(seed=2).values()), 12)


@pytest.mark.parametrize("mutation", BROKEN, ids=lambda mutation: mutation.name)
def test_a_broken_deployment_is_rejected_or_explained(mutation: Mutation, tmp_path: Path) -> None:
    assert is_noticed(mutation, tmp_path) == (mutation.name not in ACCEPTED)
    assert mutation.name not in ACCEPTED or is_explained(mutation)


@pytest.mark.parametrize("mutation", CORRECT, ids=range(len(CORRECT)))
def test_a_correct_deployment_is_accepted(mutation: Mutation, tmp_path: Path) -> None:
    result = run_against_deployment(mutation, tmp_path)
    assert result.having("broken", "gate error") == set(), f"{mutation.name}\n{result.output}"
    assert result.code == 0


def test_a_mock_without_a_mutation_keeps_every_rule(tmp_path: Path) -> None:
    sound = Mutation("correct: ", "correct", Behaviour, is_correct=True, is_intrusive=True)
    result = run_against_deployment(sound, tmp_path)
    assert {verdict.outcome for verdict in result.verdicts} == {"held", "not applicable"}, result.output


@pytest.mark.parametrize("name", SAMPLES)
def test_the_documented_share_of_held_out_names_is_current(name: str) -> None:
    shown = sum(map(sends_what_shows, held_out(name).values()))
    (row,) = (line for line in DOCUMENT.read_text().splitlines() if line.startswith(f"| {name} |"))
    assert f"| {shown} of {len(held_out(name))} |" in row


def test_deployments_with_held_out_names_that_the_gate_sends_are_rejected(tmp_path: Path) -> None:
    shown = [mutation for mutation in held_out("second").values() if sends_what_shows(mutation)]
    for number, mutation in enumerate(random.Random(2).sample(shown, 4)):
        (folder := tmp_path / str(number)).mkdir()
        assert is_noticed(mutation, folder), mutation.name
