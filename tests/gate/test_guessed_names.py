"""Guessed names of header fields that may contain a key."""

from __future__ import annotations

import pytest

from contract_tests.support import guessed_names


@pytest.mark.parametrize("key_header", ["X-API-Key", "Api_Key", "X-Auth-Token", "token"])
def test_no_guessed_header_has_the_name_of_the_key_header_in_cgi(key_header: str) -> None:
    variables = {name.upper().replace("-", "_") for name in guessed_names.headers(key_header)}
    assert len(variables) > 100
    assert key_header.upper().replace("-", "_") not in variables
