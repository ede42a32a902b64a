"""The words of a command line are read as options."""

from __future__ import annotations

import pytest

from usage_contract_pytest.arguments import Word, words


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        (["--rule=a/b", "c"], Word("--rule", "a/b", 0, 1)),
        (["--header=A: b=c"], Word("--header", "A: b=c", 0, 1)),
        (["--rule", "a/b", "c"], Word("--rule", "a/b", 0, 2)),
        (["--rule", ""], Word("--rule", "", 0, 2)),
        (["--rule"], Word("--rule", None, 0, 1)),
        (["--intrusive", "contract_tests"], Word("--intrusive", None, 0, 1)),
    ],
)
def test_a_word_has_its_value_and_their_range(arguments: list[str], first: Word) -> None:
    assert next(words(arguments)) == first


def test_a_value_is_a_word_of_its_own_as_well() -> None:
    assert [word.option for word in words(["--api-key", "--header", "x"])] == ["--api-key", "--header", "x"]
