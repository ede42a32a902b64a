"""Numbers with rounding noise, and names of members that are those of secrets."""

from __future__ import annotations

from decimal import Decimal

import pytest

from contract_tests.metrics.members import is_secret, without_noise


@pytest.mark.parametrize(
    ("number", "meant"),
    [
        ("9.299999999999999", "9.3"),
        ("98.60000000000001", "98.6"),
        ("56.99999999999999", "57"),
        ("0.30000000000000004", "0.3"),
        ("99.9999999999999", "100"),
        ("12345.678900000001", "12345.6789"),
        ("-0.30000000000000004", "-0.3"),
    ],
)
def test_noise_hides_a_number_of_few_digits(number: str, meant: str) -> None:
    assert without_noise(Decimal(number)) == Decimal(meant) != Decimal(number)


@pytest.mark.parametrize(
    "number",
    [
        "98.72340425531915", "85.71428571428571", "66.66666666666667", "9.3", "98.50", "98.5000000000000000", "0.0",
        "1E+30", "12345678901.23456", "123456789012345.6", "9.29999999", "0.00001230000000001", "1E-5000000",
    ],
)  # fmt: skip
def test_other_numbers_have_no_noise(number: str) -> None:
    assert without_noise(Decimal(number)) == Decimal(number)


@pytest.mark.parametrize(
    "name",
    [
        "password", "password_hash", "ownerEmail", "e-mail", "Email Address", "emails", "accessToken", "tokens",
        "private_key", "client.secret", "phone", "ssn", "card_number", "IBAN", "date_of_birth",
    ],
)  # fmt: skip
def test_words_of_a_name_are_those_of_a_secret(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name", ["domain", "cardinality", "next_page_token", "nextToken", "tokenizer", "secretary", "", "requests"]
)
def test_a_word_within_another_word_is_not_a_secret(name: str) -> None:
    assert not is_secret(name)
