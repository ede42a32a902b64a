"""Deployments with the names of `held_out.toml`, which the gate's lists were not made from."""

from __future__ import annotations

import tomllib
from base64 import b32encode, b64encode
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from hashlib import md5, sha1, sha512
from pathlib import Path
from urllib.parse import parse_qs

from tests.support.search.authentication import at_target, by_method, claim
from tests.support.search.comparisons import loose
from tests.support.search.mutations import ALWAYS, Mutation, admitting
from tests.support.search.places import in_cookie, in_header, in_query
from tests.support.search.served import PATH, Admit


def _switch(name: str) -> Admit:
    return lambda received: (
        received.keys[0]
        if not received.key
        and received.path == PATH
        and {"1", "true", "on", "yes"} & set(parse_qs(received.query).get(name, []))
        else None
    )


def _each(form: str) -> Callable[[str], str]:
    """Return an encoding that writes each byte in a form, which has fields for it and the digits of its hexadecimal."""
    return lambda key: "".join(form.format(code, *f"{code:02x}") for code in key.encode())


ENCODINGS: Mapping[str, Callable[[str], str]] = {
    "doble_nibble_hex": _each("%%3{1}%3{2}"),
    "first_nibble_hex": _each("%%3{1}{2}"),
    "second_nibble_hex": _each("%{1}%3{2}"),
    "hexlify": lambda key: key.encode().hex(),
    "html_hexadecimal": _each("&#x{1}{2};"),
    "utf8": _each("\\u00{1}{2}"),
    "md5": lambda key: md5(key.encode()).hexdigest(),
    "sha1": lambda key: sha1(key.encode()).hexdigest(),
    "sha512": lambda key: sha512(key.encode()).hexdigest(),
    "base32": lambda key: b32encode(key.encode()).decode(),
    "base64": lambda key: b64encode(key.encode()).decode(),
    "rot47": lambda key: "".join(chr(33 + (ord(letter) + 14) % 94) for letter in key),
}


def _encoded(name: str) -> Admit:
    encode = ENCODINGS[name]
    return loose(lambda sent, key: sent == encode(key))


KINDS: Mapping[str, Callable[[str], Admit]] = {
    "key in the header": in_header,
    "key in the query parameter": in_query,
    "key in the cookie": in_cookie,
    "loopback address in the header": lambda name: claim(name, r".*(127\.0\.0\.1|localhost).*"),
    "any value of the header": lambda name: claim(name, ".+"),
    "switch in the query": _switch,
    "text after the path": lambda text: at_target(f"{PATH}{text}"),
    "text before the path": lambda text: at_target(f"/{text}{PATH}"),
    "method": by_method,
    "encoding of the key": _encoded,
}
# By sample: draws of names, each with a `kind` of KINDS and a `source`.
SAMPLES: Mapping[str, list[Mapping[str, str]]] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())


@cache
def held_out(sample: str) -> Mapping[str, Mutation]:
    """Return the deployments of a sample by name."""
    return {mutation.name: mutation for draw in SAMPLES[sample] for mutation in _drawn(sample, **draw)}


def _drawn(sample: str, kind: str, source: str, names: str) -> Iterator[Mutation]:
    for name in names.split():
        yield from admitting(f"held out, {sample} sample, {kind}", f"{name} ({source})", KINDS[kind](name), (ALWAYS,))
