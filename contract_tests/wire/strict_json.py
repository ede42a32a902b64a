"""JSON as RFC 8259 defines it, without the extensions that lenient parsers accept."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from typing import Any, NoReturn

from contract_tests.wire.decoding import GZIP_MEMBER

BOM = b"\xef\xbb\xbf"
DEEPEST = 512  # levels: RFC 8259, section 9 allows a limit, and ours must not depend on the caller's stack
MOST_VALUES = 200_000  # commas and brackets: each value takes a hundred bytes and more
STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
NO_BRACKETS = bytes(byte for byte in range(256) if byte not in STEPS)
MEMBER_NAME = re.compile(rb'"([^"\\]{1,100})"[ \t\r\n]*:')
HALF_A_PAIR = re.compile(rb"\\u[dD][89a-fA-F]")


@dataclass(frozen=True)
class Document:
    """A parsed body: its value, or the problem because of which it has none."""

    value: Any = None
    problem: str = ""
    is_too_deep: bool = False


def parse(body: bytes) -> Document:
    """Parse a body; the problem is the end of a sentence, such as "has a byte order mark"."""
    if problem := _problem_of_the_beginning(body):
        return Document(problem=problem)
    if (depth := nesting(body)) > DEEPEST:
        return Document(problem=f"is nested too deeply to be read: {depth} levels", is_too_deep=True)
    try:
        text = body.decode("utf-8")
        value = json.loads(
            text, object_pairs_hook=_members, parse_constant=_no_constant, parse_float=_finite, parse_int=_whole
        )
        if HALF_A_PAIR.search(body):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return Document(problem="escapes half of a surrogate pair, which is not a character (RFC 8259, section 8.2)")
    except UnicodeDecodeError as error:
        return Document(problem=f"is not UTF-8 at byte {error.start} (RFC 8259, section 8.1)")
    except json.JSONDecodeError as error:
        return Document(problem=f"is not JSON: {error.msg.removesuffix(' at')} at character {error.pos}")
    except ValueError as error:
        return Document(problem=str(error))
    except ArithmeticError:  # of Decimal
        return Document(problem="has a number with an exponent that no client can read (RFC 8259, section 6)")
    return Document(value)


def _problem_of_the_beginning(body: bytes) -> str:
    if not body:
        return "is empty"
    if body.startswith(BOM):
        return "starts with a byte order mark (RFC 8259, section 8.1)"
    if body.startswith(GZIP_MEMBER):
        return "is gzip, and Content-Encoding does not state that (RFC 9110, section 8.4)"
    return ""


def parse_exactly(body: bytes) -> Any:
    """Return the value of a body that `parse` accepts, with exact decimals."""
    return json.loads(body, parse_float=Decimal)


def nesting(body: bytes) -> int:
    """Return the depth of arrays and objects in a JSON text."""
    if body.count(b"[") + body.count(b"{") <= DEEPEST:
        return 0  # any number that is small enough would do
    brackets = STRINGS.sub(b"", body).translate(None, NO_BRACKETS)
    return max(accumulate(map(STEPS.__getitem__, brackets)), default=0)


def is_too_large(body: bytes) -> bool:
    """Whether the parsed form of a JSON text would take too much memory."""
    return len(body) > MOST_VALUES and body.count(b",") + body.count(b"[") + body.count(b"{") > MOST_VALUES


def objects(value: object) -> Iterator[dict[str, object]]:
    """Yield every object within a JSON value, without recursion: the value was received."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            yield each
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)


def member_names(body: bytes) -> set[str]:
    """Return the strings before colons: the member names, even of a body that is too deep or too large to be parsed."""
    return {match[1].decode("utf-8", "replace") for match in MEMBER_NAME.finditer(body)}


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        repeated = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"repeats the member {repeated!r} (RFC 8259, section 4)")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"contains {name}, which JSON does not have (RFC 8259, section 6)")


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:  # Python's own text advises to change the interpreter
        raise ValueError(f"contains a number of {len(text)} digits, which no client can read") from None


def _finite(text: str) -> float:
    number = float(text)
    Decimal(text)  # raises where even an exact number cannot hold the exponent
    if number in {float("inf"), float("-inf")}:
        raise ValueError(f"contains the number {text}, which no client can read")
    return number
