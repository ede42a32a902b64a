"""White space and byte order marks that editors and secret stores add do not become a part of a setting."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from contract_tests.run.deviations import read_deviations
from contract_tests.run.key_sources import keys_from

DEVIATION = """[[deviation]]
rule = "auth/missing-key-is-401"
reason = "the gateway answers 403"
owner = "platform team"
ticket = "OPS-1234"
expires = 2027-03-31
"""


@pytest.mark.parametrize("end", ["\n", "\r\n", " ", "\t\n", "\n\n"])
def test_white_space_around_a_key_is_removed_from_environment_and_file(end: str, tmp_path: Path) -> None:
    from_environment = keys_from([], {"CONTRACT_API_KEY": "main-key" + end, "CONTRACT_API_KEY_3": end + "third"}, None)
    (tmp_path / "keys").write_text("main-key" + end + "\nthird" + end)
    from_file = keys_from([], {}, str(tmp_path / "keys"))
    assert [key.value for key in from_environment] == [key.value for key in from_file] == [b"main-key", b"third"]


def test_variable_of_white_space_is_not_a_key() -> None:
    assert keys_from([], {"CONTRACT_API_KEY": "\n"}, None) == ()
    with pytest.raises(
        pytest.UsageError, match="CONTRACT_API_KEY_2 is set, and CONTRACT_API_KEY, the main key, is not"
    ):
        keys_from([], {"CONTRACT_API_KEY": "\n", "CONTRACT_API_KEY_2": "second\n"}, None)


def test_known_deviations_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "deviations.toml"
    file.write_bytes(codecs.BOM_UTF8 + DEVIATION.encode())
    assert set(read_deviations(file, ["auth/missing-key-is-401"])) == {"auth/missing-key-is-401"}
