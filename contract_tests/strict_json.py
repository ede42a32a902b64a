"""JSON as RFC 8259 has it: nothing that a lenient parser would forgive."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Document:
    """A parsed body: its value, the same with exact decimals, or the problem that it has."""

    value: Any = None
    exact: Any = None
    problem: str = ""


def parse(body: bytes) -> Document:
    """Parse a body; the problem is a sentence's end such as "has a byte order mark"."""
    if not body:
        return Document(problem="is empty")
    if body.startswith(BOM):
        return Document(problem="starts with a byte order mark (RFC 8259, section 8.1)")
    try:
        text = body.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_members, parse_constant=_no_constant, parse_float=_finite)
        exact = json.loads(text, parse_float=Decimal)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return Document(problem="escapes half of a surrogate pair, which is no character (RFC 8259, section 8.2)")
    except UnicodeDecodeError as error:
        return Document(problem=f"is not UTF-8 at byte {error.start} (RFC 8259, section 8.1)")
    except json.JSONDecodeError as error:
        return Document(problem=f"is not JSON: {error.msg} at character {error.pos}")
    except ValueError as error:
        return Document(problem=str(error))
    except ArithmeticError:  # of Decimal
        return Document(problem="has a number with an exponent that nobody can read (RFC 8259, section 6)")
    except RecursionError:
        return Document(problem="is nested too deeply to be read")
    return Document(value, exact)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    repeated = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if repeated:
        raise ValueError(f"repeats the member {repeated[0]!r} (RFC 8259, section 4)")
    return dict(pairs)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"holds {name}, which JSON does not have (RFC 8259, section 6)")


def _finite(text: str) -> float:
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise ValueError(f"holds the number {text}, which no client can read")
    return number
