"""Keys within responses: in any spelling, or with a masked part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from contract_tests.redaction.spellings import SearchedText
from contract_tests.wire.connection import request_bytes
from contract_tests.wire.messages import Credential, Exchange
from contract_tests.wire.strict_json import objects

SHORTEST_KEY = 6  # characters: a shorter key may be in a response by chance
MASKS = ("*", "•", "…", "#", "...")  # stand for the hidden part of a key
MASK_WORDS = ("xxx", "redacted", "hidden")


def received_values(exchange: Exchange) -> bytes:
    """Return the body of a response, and the values of its header and trailer fields."""
    return exchange.body + b"\n".join(value for _, value in (*exchange.fields, *exchange.trailers))


def disclosed(keys: Iterable[Credential], exchange: Exchange) -> Iterator[Credential]:
    """Yield the keys that a response contains, in any case or encoded, and that its request did not contain."""
    received = received_values(exchange)
    sent = request_bytes(exchange.request)
    text = SearchedText(received.decode("utf-8", "backslashreplace"))
    for key in keys:
        if key.value in sent or len(key.value) < SHORTEST_KEY:
            continue
        if key.value.lower() in received.lower() and key.value.lower() not in sent.lower():
            yield key
            continue
        forms = text.forms_of(key.text)
        if forms and forms - SearchedText(sent.decode("utf-8", "backslashreplace")).forms_of(key.text):
            yield key


def is_encoded_in(value: bytes, key: Credential) -> bool:
    """Whether the value of a field contains a key, also in base64 or in another form."""
    return len(value) >= len(key.value) and bool(_searched(value).forms_of(key.text))


@lru_cache(maxsize=1024)  # most values recur in many responses
def _searched(value: bytes) -> SearchedText:
    return SearchedText(value.decode("utf-8", "backslashreplace"))


def may_show(text: str, key: Credential) -> bool:
    """Whether the text is the key, or the key with its middle masked and its start or end visible."""
    value, visible = key.text, text
    for mask in MASKS:
        visible = visible.replace(mask, "\0")
    if "\0" not in visible:
        return text == value
    start, end = visible.split("\0")[0], visible.split("\0")[-1]
    return bool(start or end) and value.startswith(start) and value.endswith(end)


def is_masked(text: str) -> bool:
    """Whether a part of the text is hidden."""
    return any(mask in text.lower() for mask in (*MASKS, *MASK_WORDS))


def texts_named(name: str, exchange: Exchange) -> Iterator[str]:
    """Yield the texts of all members of a name, at any depth of the body."""
    for each in objects(exchange.json.value if exchange.json.is_readable else None):
        if isinstance(text := each.get(name), str):
            yield text
