"""Text of requests that is safe to show: without API keys and without control characters."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from hashlib import sha256
from urllib.parse import unquote, unquote_plus

Mask = Callable[[str], str]

# The value of a parameter or of a header field with such a name can be a key.
_SENSITIVE = re.compile("key|token|auth|secret|passw|cookie", re.IGNORECASE)

# A parameter with such a name is for a key.
_KEY_PARAMETER = re.compile("(x[-_]?)?(api[-_]?)?key|((access|auth|api)[-_]?)?token", re.IGNORECASE)

# The scheme of a credential, which is not a part of it.
_SCHEME = re.compile(r"(?:(?:basic|bearer|token|apikey) +)?", re.IGNORECASE)

# Escapes of JSON without a gap: two of them can be one character.
_ESCAPES = re.compile(r'(?:\\(?:u[0-9a-f]{4}|["\\/bfnrt]))+')

# A shorter key is recognized only as a complete word: otherwise it could be a part of any word.
_LONG = 6


@lru_cache(maxsize=256)
def mask_key(key: str) -> str:
    """Return an identifier that does not disclose a key: its first third, at most 4 characters, and a hash."""
    if not key:
        return ""
    digest = sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:6]
    shown = key[: min(4, len(key) // 3)].encode("utf-8", "replace").decode()  # a client can send any byte
    return f"{shown}…{digest}"


def mask_target(target: str, keys: Iterable[str], mask: Mask = mask_key) -> str:
    """Return a request target without the keys that `keys_in` finds and without the values of sensitive parameters.

    A path segment or a parameter with an encoded key is masked as a whole, and so is a target with a key across them.
    """
    found = keys_in(target, keys)
    path, mark, query = target.partition("?")
    segments = "/".join(mask_text(segment, found, mask) for segment in path.split("/"))
    shown = segments + mark + "".join(_mask_pair(pair, found, mask) for pair in re.split("([&;])", query))
    return mask(found[0]) if keys_in(shown, found) else shown


def printable_target(keys: Iterable[str]) -> Callable[[str, str], str]:
    """Return a function that masks a request target and the key of its request, as a line of printable characters."""
    known = tuple(keys)

    @cache  # most targets are equal, and searching them for a thousand keys is slow
    def masked(target: str, key: str) -> str:
        return printable(mask_target(target, (*known, key)))

    return lambda target, key: masked(target, key if keys_in(target, [key]) else "")


def keys_in(text: str, keys: Iterable[str]) -> list[str]:
    """Return the keys in a text, longest first: in any case, and escaped as in JSON or in a URL, at most twice."""
    forms = _forms(text)
    return sorted((key for key in keys if key and any(_is_in(key, form) for form in forms)), key=len, reverse=True)


def mask_text(text: str, keys: Iterable[str], mask: Mask = mask_key) -> str:
    """Return a text without the keys that `keys_in` finds; a text with an encoded key is masked as a whole."""
    found = keys_in(text, keys)
    if not found:
        return text

    def masked(match: re.Match[str]) -> str:
        assert match.lastindex is not None  # each key is a group
        return mask(match[0] if match[0] in found else found[match.lastindex - 1])

    shown = re.sub("|".join(f"({_pattern(key)})" for key in found), masked, text, flags=re.IGNORECASE)
    return mask(found[0]) if keys_in(shown, found) else shown


def mask_field(name: str, value: str, keys: Iterable[str], mask: Mask = mask_key) -> str:
    """Return the value of a header field without the keys in it; without one, the whole credential is masked.

    The value of each cookie is a credential.
    """
    if name.lower() == "cookie" and ";" in value:
        found = keys_in(value, keys)
        cookies = re.split("(; *)", value)
        cookies[::2] = [mask_field(name, cookie, found, mask) for cookie in cookies[::2]]
        shown = "".join(cookies)
        return mask(found[0]) if keys_in(shown, found) else shown
    shown = mask_text(value, keys, mask)
    if shown != value or not value or not _SENSITIVE.search(name):
        return shown
    scheme = _SCHEME.match(value)
    assert scheme is not None  # it is optional
    return scheme[0] + mask(value[scheme.end() :])


def has_key_in_target(target: str, keys: Iterable[str]) -> bool:
    """Return whether a request target contains a known key, or a parameter for a key."""
    names = [unquote_plus(pair.partition("=")[0]) for pair in re.split("[&;]", target.partition("?")[2])]
    return any(map(_KEY_PARAMETER.fullmatch, names)) or bool(keys_in(target, keys))


def printable(text: str) -> str:
    """Return a text as one line of printable characters."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _forms(text: str) -> set[str]:
    """Return a text as it is and decoded, at most twice, in the form in which texts are compared."""
    forms = {text.casefold()}
    if "%" in text or "\\" in text:
        for _ in range(2):
            from_urls = {unquote(form, errors="surrogateescape") for form in forms}
            from_json = {_ESCAPES.sub(lambda match: str(json.loads(f'"{match[0]}"')), form) for form in forms}
            forms |= {form.casefold() for form in from_urls | from_json}
    return {form.replace("+", " ") for form in forms}


@lru_cache(maxsize=4096)
def _folded(key: str) -> str:
    """Return a key in the form in which texts are compared: without case, and with a space for a plus sign."""
    return key.casefold().replace("+", " ")


def _is_in(key: str, form: str) -> bool:
    folded = _folded(key)
    return folded in form and (len(key) >= _LONG or bool(re.search(_pattern(folded), form)))


def _pattern(key: str) -> str:
    return re.escape(key) if len(key) >= _LONG else rf"(?<![\w-]){re.escape(key)}(?![\w-])"


def _mask_pair(pair: str, keys: list[str], mask: Mask) -> str:
    name, equals, value = pair.partition("=")
    shown = mask_text(value, keys, mask)
    if value and _SENSITIVE.search(unquote_plus(name)):
        forms = _forms(value)
        shown = mask(next((key for key in keys if _folded(key) in forms), unquote_plus(value)))
    return mask_text(name, keys, mask) + equals + shown
