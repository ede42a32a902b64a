"""Names and numbers of members as clients read them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from decimal import Context, Decimal
from itertools import islice
from typing import Any

from contract_tests.wire.strict_json import parse

NOISY_DIGITS = 15  # a double has 15 to 17 of them
MEANT = Context(prec=12)  # digits that the rounding noise of a few operations does not reach
MOST_DIGITS, MOST_DECIMALS = 9, 4  # of a number without noise: only one of 1,000 others is as short by chance
WORD_BORDER = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")
SECRET = re.compile(
    r"(?:^|_)(?:password|passwd|pwd|passphrase|secret|(?<!next_)(?<!page_)token|(?:private|signing|encryption)_key"
    r"|credential|salt|connection_string"
    r"|e_?mail|phone|ssn|card|iban|cvv|birth_?date|date_of_birth)s?"
    r"(?:_(?!(?:\w{1,20}_)?(?:id|arn|type|version|at|policy)$)|$)"
)
SECRET_VALUE = re.compile(  # a JSON Web Token, a key of AWS, and a hash of a password
    r"eyJ[\w-]{8,2000}\.eyJ[\w-]{8,9000}\.[\w-]{8,2000}|A[KS]IA[A-Z2-7]{16}|\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}"
    r"|\$argon2(?:id?|d)\$.{20,500}"
)
CURSOR = re.compile(r"(?i)cursor|next|page|after|before")
PLACEHOLDERS = {"null", "None", "undefined", "NaN", "N/A", "[object Object]"}  # for another value
PRINTED = re.compile(  # an object as a program prints it
    r"<[\w.]+ object at 0x\w+>|b'.*'|(?:\w+\.)+[A-Z]\w*@[0-9a-f]{5,8}|(?:datetime\.\w+|Decimal|UUID|ObjectId)\(.*\)"
)
# A time that is not set, as programs print it.
NO_TIME = re.compile(r"0001-01-01|0000-00-00|1970-01-01T00:00:00|Invalid Date$")
NO_TIME_AS_NUMBER = {-62135596800, -62135596800000}  # 0001-01-01
NO_NAMES = {"undefined", "NaN", "[object Object]"}
DOCUMENTED_OBJECTS = {"", "rate_limit", "by_protocol", "top_domains"}  # a map of data may have an empty name
UNFILLED = re.compile(r"\{\{ ?\w{1,99} ?\}\}|\$\{\w{1,99}\}")
FIGURE = re.compile(  # the name of a count, a size or the like
    r"(?:_(?:count|ms|seconds|bytes|requests|today|percent)|(?:^|_)(?:success|error|fail(?:ure)?)_rate"
    r"|^(?:used|limit|remaining))$"
)
NUMBER_AS_TEXT = re.compile(r"-?\d{1,15}(?:\.\d{1,9})?")  # a longer integer is a text for JavaScript
MAPS_OF_TEXTS = {
    "labels", "tags", "metadata", "annotations", "attributes", "query", "params", "parameters", "filters", "headers",
}  # fmt: skip
MOST_VALUES_OF_A_MAP = 100  # are examined
INTERNAL_MEMBERS = {  # of databases and serializers
    "__v", "_class", "_rev", "_rid", "$type", "$oid", "$date", "$numberLong", "$numberDecimal",
    "hibernateLazyInitializer", "_sa_instance_state", "@class", "$values", "py/object", "_id",
}  # fmt: skip
RESETS = {"rate_limit": re.compile(r"resets?(?:_at|_time)?"), "quota": re.compile(r"resets_at")}
# /Date(1700000000000)/, 29.11.2026 or 2026/11/29, Nov 29, 2026, and 29 November.
DATE = re.compile(
    r"/Date\(\d|\d{1,4}[-./]\d\d?[-./]\d{1,4}|[A-Za-z]{3,9}\.? \d{1,2},? \d{4}"
    r"|\d{1,2} (?!sec|mil|min|hour|day|week)[A-Za-z]{3,9}"
)
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d))?")
YEARS_OF_SECONDS = range(1_500_000_000, 5_000_000_000)  # since 1970
DATE_PARTS = (range(1900, 2200), range(1, 13), range(1, 32))
EXPIRY = re.compile(r"(?:(?:api_)?key_)?(?:expires_(?:at|on)|expiry(?:_date)?|valid_until|renews_at|resets_at)")
PAST_TIME = re.compile(r"(?:^|_)(?:created|updated|generated|modified|computed|refreshed|last_\w+)_at$|^as_of$")
TIME = re.compile(r"(?:_(?:at|date|time|timestamp)|^(?:date|timestamp|as_of))$")


def named_objects(value: object) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every object within a JSON value, with the name of the member that contains it, or its list."""
    waiting = [("", value)]
    while waiting:
        name, each = waiting.pop()
        if isinstance(each, dict):
            yield name, each
            waiting.extend(each.items())
        elif isinstance(each, list):
            waiting.extend((name, item) for item in each)


def is_no_value(place: str, members: dict[str, Any], name: str) -> bool:
    """Whether a member, of the object in the member `place`, stands for a missing value or one of another type."""
    value = members[name]
    is_no_name = name in NO_NAMES or (not name and place in DOCUMENTED_OBJECTS)
    if place in MAPS_OF_TEXTS:
        return False  # they are texts of the client
    if is_no_name or not isinstance(value, str):
        is_never = value == 0 and value is not False and is_past_time(name)
        is_number = isinstance(value, int) and (is_never or (is_time(name) and value in NO_TIME_AS_NUMBER))
        return is_no_name or is_number
    is_map_of_texts = place and all(isinstance(each, str) for each in islice(members.values(), MOST_VALUES_OF_A_MAP))
    is_truth_value = value in {"true", "false", "True", "False"} and not is_map_of_texts
    is_json = value.startswith(("{", "[")) and not parse(value.encode(errors="replace")).problem
    is_printed = value in PLACEHOLDERS or PRINTED.fullmatch(value) or (is_time(name) and NO_TIME.match(value))
    is_unfilled = UNFILLED.fullmatch(value) or (name != "domain" and ("\ufffd" in value or is_encoded_twice(value)))
    return bool(is_truth_value or is_json or is_printed or is_unfilled) or is_figure_as_text(place, members, name)


def is_figure_as_text(place: str, members: dict[str, Any], name: str) -> bool:
    """Whether a count, a size or the like is a text; an amount of money may be one."""
    is_data = place in MAPS_OF_TEXTS or "currency" in members or (place, name) == ("rate_limit", "remaining")
    is_named = FIGURE.search(in_snake_case(name)) and not (not place and name == "success_rate")
    return bool(is_named and not is_data and NUMBER_AS_TEXT.fullmatch(members[name]))


def is_encoded_twice(text: str) -> bool:
    """Whether a text is UTF-8 that was read as Windows-1252: Ã© instead of é."""
    try:
        return text.encode("cp1252").decode() != text
    except UnicodeError:
        return False


def without_noise(number: Decimal) -> Decimal:
    """Return a number without its rounding noise; a number that has none is returned unchanged."""
    meant = MEANT.create_decimal(number).normalize(MEANT)
    _, digits, exponent = meant.as_tuple()
    is_short = len(digits) <= MOST_DIGITS and isinstance(exponent, int) and exponent >= -MOST_DECIMALS
    return meant if is_short and len(number.as_tuple().digits) >= NOISY_DIGITS else number


def is_secret(name: str) -> bool:
    """Whether words of a member's name are those of a secret or of personal data."""
    return SECRET.search(in_snake_case(name)) is not None


def is_time(name: str) -> bool:
    """Whether a member's name is that of a date or of a time."""
    return TIME.search(in_snake_case(name)) is not None


def is_time_of_expiry(name: str) -> bool:
    """Whether a member's name is that of the time at which a key or a period ends, such as `expires_at`."""
    return EXPIRY.fullmatch(in_snake_case(name)) is not None


def is_past_time(name: str) -> bool:
    """Whether a member's name is that of the time at which something happened, such as `updated_at`."""
    return PAST_TIME.search(in_snake_case(name)) is not None


def in_snake_case(name: str) -> str:
    """Return a name such as `updatedAt` or `updated-at` as `updated_at`."""
    return WORD_BORDER.sub("_", name).lower()


def is_list_of_parts(value: object) -> bool:
    """Whether a value is a list of a year, a month, a day, and perhaps more."""
    parts = value if isinstance(value, list) and all(isinstance(part, int) for part in value) else []
    return len(parts) >= len(DATE_PARTS) and all(
        part in allowed for part, allowed in zip(parts, DATE_PARTS, strict=False)
    )


def seconds_of(text: str) -> float:
    """Return the time of a text with an offset from UTC in seconds since the Unix epoch; 0 for any other text."""
    with suppress(ValueError, OverflowError):
        stated = datetime.fromisoformat(text)
        return stated.timestamp() if stated.tzinfo else 0.0
    return 0.0


def reset_of(place: str, name: str, value: object) -> float:
    """Return the time at which the limit in the member `place` is reset, as `seconds_of`; 0 for any other member."""
    if place not in RESETS or not RESETS[place].fullmatch(name):
        return 0.0
    if isinstance(value, str):
        return seconds_of(value)
    return float(value) if isinstance(value, int) and value in YEARS_OF_SECONDS else 0.0
