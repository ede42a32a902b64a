"""Names and numbers of members as clients read them."""

from __future__ import annotations

import re
from decimal import Context, Decimal

NOISY_DIGITS = 15  # a double has 15 to 17 of them
MEANT = Context(prec=12)  # digits that the rounding noise of a few operations does not reach
MOST_DIGITS, MOST_DECIMALS = 9, 4  # of a number without noise: only one of 1,000 others is as short by chance
WORD_BORDER = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")
SECRET = re.compile(
    r"(?:^|_)(?:password|passwd|pwd|passphrase|secret|(?<!next_)(?<!page_)token|private_key|credential"
    r"|e_?mail|phone|ssn|card|iban|cvv|birth_?date|date_of_birth)s?(?:_|$)"
)
PLACEHOLDERS = {"null", "None", "undefined", "NaN", "N/A", "[object Object]"}  # for another value
PRINTED = re.compile(  # an object as a program prints it
    r"<[\w.]+ object at 0x\w+>|b'.*'|(?:\w+\.)+[A-Z]\w*@[0-9a-f]{5,8}|(?:datetime\.\w+|Decimal|UUID|ObjectId)\(.*\)"
)
# A time that is not set, as programs print it.
NO_TIME = re.compile(r"0001-01-01|0000-00-00|1970-01-01T00:00:00|Invalid Date$")
INTERNAL_MEMBERS = {  # of databases and serializers
    "__v", "_class", "_rev", "_rid", "$type", "$oid", "$date", "$numberLong", "$numberDecimal",
    "hibernateLazyInitializer", "_sa_instance_state",
}  # fmt: skip
EXPIRY = re.compile(r"(?:(?:api_)?key_)?(?:expires_(?:at|on)|expiry(?:_date)?|valid_until|renews_at|resets_at)")
PAST_TIME = re.compile(r"(?:^|_)(?:created|updated|generated|modified|computed|refreshed|last_\w+)_at$|^as_of$")
TIME = re.compile(r"(?:_(?:at|date|time|timestamp)|^(?:date|timestamp|as_of))$")


def without_noise(number: Decimal) -> Decimal:
    """Return a number without its rounding noise; a number that has none is returned unchanged."""
    meant = MEANT.create_decimal(number).normalize(MEANT)
    _, digits, exponent = meant.as_tuple()
    is_short = len(digits) <= MOST_DIGITS and isinstance(exponent, int) and exponent >= -MOST_DECIMALS
    return meant if is_short and len(number.as_tuple().digits) >= NOISY_DIGITS else number


def is_secret(name: str) -> bool:
    """Whether words of a member's name are those of a secret or of personal data."""
    return SECRET.search(_in_snake_case(name)) is not None


def is_time(name: str) -> bool:
    """Whether a member's name is that of a date or of a time."""
    return TIME.search(_in_snake_case(name)) is not None


def is_time_of_expiry(name: str) -> bool:
    """Whether a member's name is that of the time at which a key or a period ends, such as `expires_at`."""
    return EXPIRY.fullmatch(_in_snake_case(name)) is not None


def is_past_time(name: str) -> bool:
    """Whether a member's name is that of the time at which something happened, such as `updated_at`."""
    return PAST_TIME.search(_in_snake_case(name)) is not None


def _in_snake_case(name: str) -> str:
    """Return a name such as `updatedAt` or `updated-at` as `updated_at`."""
    return WORD_BORDER.sub("_", name).lower()
