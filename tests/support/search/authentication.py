"""Mutations of authentication: values that are compared loosely, keys in other places, and requests without a key."""

from __future__ import annotations

import base64
import binascii
import codecs
import fnmatch
import html
import json
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from functools import partial, reduce
from hashlib import md5, sha1, sha256, sha512
from itertools import chain
from operator import xor
from urllib.parse import parse_qsl, unquote, unquote_plus

from contract_tests.run.wrong_keys import ACUTE, CYRILLIC, FOLDED
from tests.support.search.mutations import (
    AFTER_A_KEY,
    ALWAYS,
    BROWSER,
    FIFTH_TIME,
    LATER,
    OLD_HTTP,
    REUSED,
    SECOND_TIME,
    THIRD_TIME,
    WITH_COMPRESSION,
    WITH_ORIGIN,
    WITH_QUERY,
    Mutation,
    admitting,
    condition,
)
from tests.support.search.served import PATH, Admit, Received

Accepts = Callable[[str, str], bool]  # of the received value and a valid key
SEPARATORS = ",;:./|=&#?@+~!*$%'\"\\<([{ \t"
LENGTHS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32)
LOOK_ALIKE = str.maketrans(CYRILLIC[1], CYRILLIC[0])
SIMILAR_DIGITS = str.maketrans("OoIlLiSsBZz", "00111155822")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _without_accents(text: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))


def _without(pattern: str) -> Callable[[str], str]:
    return lambda text: re.sub(pattern, "", text)


def _decoded(decode: Callable[[str], bytes | str]) -> Accepts:
    def accepts(sent: str, key: str) -> bool:
        try:
            return decode(sent) in (key, key.encode())
        except (ValueError, binascii.Error):
            return False

    return accepts


def _folded(fold: Callable[[str], object]) -> Accepts:
    return lambda sent, key: fold(sent) == fold(key)


FOLDS: dict[str, Callable[[str], object]] = {
    "lower case": str.lower,
    "upper case": str.upper,
    "case folding": str.casefold,
    "case of the first character ignored": lambda text: text[:1].lower() + text[1:],
    "case of all but the first character ignored": lambda text: text[:1] + text[1:].lower(),
    "case of the last character ignored": lambda text: text[:-1] + text[-1:].lower(),
    "NFKC": lambda text: unicodedata.normalize("NFKC", text),
    "NFKC and case folding": lambda text: unicodedata.normalize("NFKC", text).casefold(),
    "no accents": _without_accents,
    "no accents, and lower case": lambda text: _without_accents(text).lower(),
    "no accents in Latin-1": lambda text: _without_accents(_bytes(text).decode("latin-1")),
    "seven bits": lambda text: bytes(code & 0x7F for code in _bytes(text)),
    "ASCII only": lambda text: text.encode("ascii", "ignore"),
    "look-alike letters": lambda text: text.translate(LOOK_ALIKE),
    "similar digits and letters": lambda text: text.translate(SIMILAR_DIGITS),
    "Unicode case": lambda text: text.translate(str.maketrans(FOLDED[1], FOLDED[0])),
    "vowels with accents": lambda text: text.translate(str.maketrans(ACUTE[1], ACUTE[0])),
    "no control characters": _without(r"[\x00-\x1f\x7f]"),
    "no white space inside": _without(r"\s"),
    "no digits": _without(r"\d"),
    "no letters": _without(r"[A-Za-z]"),
    "no punctuation": _without(r"[^A-Za-z0-9]"),
    "no hyphens": _without("-"),
    "no underscores": _without("_"),
    "no dots": _without(r"\."),
    "no equals signs": _without("="),
    "no quotation marks": _without("[\"'`]"),
    "no brackets": _without(r"[\[\]{}()<>]"),
    "hyphens as underscores": lambda text: text.replace("-", "_"),
    "plus signs as spaces": lambda text: text.replace("+", " "),
    "repeated characters once": lambda text: re.sub(r"(.)\1+", r"\1", text),
    "number": lambda text: int(text) if re.fullmatch(r"\s*[+-]?\d+", text) else text,
    "decimal number": lambda text: (
        float(text) if re.fullmatch(r"\s*[+-]?\d+(\.\d*)?(e\d+)?", text, re.IGNORECASE) else text
    ),
    "leading digits": lambda text: m[0] if (m := re.match(r"\d+", text)) else text,
    "leading zeros ignored": lambda text: text.lstrip("0"),
    "length": len,
    "length and last character": lambda text: (len(text), text[-1:]),
    "length and first character": lambda text: (len(text), text[:1]),
    "set of characters": lambda text: frozenset(text),
    "sorted characters": sorted,
    "sum of the bytes": lambda text: sum(_bytes(text)),
    "exclusive or of the bytes": lambda text: reduce(xor, _bytes(text), 0),
    "last character": lambda text: text[-1:],
    "form of the characters": lambda text: re.sub(r"\d", "0", re.sub(r"[A-Za-z]", "a", text)),
}


def _like(sent: str, key: str) -> bool:
    pattern = "".join({"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in sent)
    return re.fullmatch(pattern, key, re.DOTALL) is not None


def _expression(match: Callable[[str, str], object]) -> Accepts:
    def accepts(sent: str, key: str) -> bool:
        try:
            return bool(sent) and match(sent, key) is not None
        except re.error:
            return False

    return accepts


def _edits(sent: str, key: str) -> int:
    row = list(range(len(key) + 1))
    for place, letter in enumerate(sent, 1):
        diagonal, row[0] = row[0], place
        for at, other in enumerate(key, 1):
            diagonal, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, diagonal + (letter != other))
    return row[-1]


def _differs_only_at(place: Callable[[str], int]) -> Accepts:
    def accepts(sent: str, key: str) -> bool:
        at = place(key)
        return len(sent) == len(key) and sent[:at] == key[:at] and sent[at + 1 :] == key[at + 1 :]

    return accepts


def _shortest(sent: str, key: str) -> bool:
    return bool(sent) and all(one == other for one, other in zip(sent, key, strict=False))


def _before(character: str, sent: str, key: str) -> bool:
    return sent.partition(character)[0] == key


def _after(character: str, sent: str, key: str) -> bool:
    return sent.rpartition(character)[2] == key


def _begins_alike(length: int, sent: str, key: str) -> bool:
    return length < len(key) and sent[:length] == key[:length]


def _ends_alike(length: int, sent: str, key: str) -> bool:
    return length < len(key) and sent[-length:] == key[-length:]


def _is_cut(length: int, sent: str, key: str) -> bool:
    return length < len(key) and sent == key[:length]


def _after_word(word: str, sent: str, key: str) -> bool:
    return re.sub(f"(?i)^{word}", "", sent) == key


def _is_digest(digest: Callable[[bytes], str], sent: str, key: str) -> bool:
    return sent == digest(key.encode())


def _is_text(text: str, sent: str, _: str) -> bool:
    return sent == text


COMPARISONS: dict[str, Accepts] = {
    **{f"by {name}": _folded(fold) for name, fold in FOLDS.items()},
    **{f"before {character!r}": partial(_before, character) for character in SEPARATORS},
    **{f"after {character!r}": partial(_after, character) for character in SEPARATORS},
    **{f"by its first {length} characters": partial(_begins_alike, length) for length in LENGTHS},
    **{f"by its last {length} characters": partial(_ends_alike, length) for length in LENGTHS},
    **{f"cut after {length} characters": partial(_is_cut, length) for length in LENGTHS},
    "by all but the last character": lambda sent, key: sent[: len(key) - 1] == key[:-1],
    "by the first half": lambda sent, key: sent[: len(key) // 2] == key[: len(key) // 2],
    "by the second half": lambda sent, key: sent[-(len(key) // 2) :] == key[-(len(key) // 2) :],
    "as a beginning of the key": lambda sent, key: bool(sent) and key.startswith(sent),
    "as a long beginning of the key": lambda sent, key: len(sent) > len(key) // 2 and key.startswith(sent),
    "as an end of the key": lambda sent, key: bool(sent) and key.endswith(sent),
    "as a part of the key": lambda sent, key: len(sent) > 3 and sent in key,
    "as a text that begins with the key": lambda sent, key: sent.startswith(key),
    "as a text that ends with the key": lambda sent, key: sent.endswith(key),
    "as a text that contains the key": lambda sent, key: key in sent,
    "up to the shorter length": _shortest,
    "with one edit": lambda sent, key: _edits(sent, key) <= 1,
    "with two edits": lambda sent, key: _edits(sent, key) <= 2,
    "with its first character changed": _differs_only_at(lambda _: 0),
    "with its second character changed": _differs_only_at(lambda _: 1),
    "with its middle character changed": _differs_only_at(lambda key: len(key) // 2),
    "with its last character but one changed": _differs_only_at(lambda key: len(key) - 2),
    "with its last character changed": _differs_only_at(lambda key: len(key) - 1),
    "if any character is equal": lambda sent, key: any(a == b for a, b in zip(sent, key, strict=False)),
    "reversed": lambda sent, key: sent == key[::-1],
    "twice": lambda sent, key: sent == key * 2,
    "percent-decoded": _decoded(unquote),
    "percent-decoded with plus signs": _decoded(unquote_plus),
    "percent-decoded twice": _decoded(lambda sent: unquote(unquote(sent))),
    "with HTML entities": _decoded(html.unescape),
    "with JSON escapes": _decoded(lambda sent: str(json.loads(f'"{sent}"'))),
    "with Python escapes": _decoded(lambda sent: codecs.decode(sent, "unicode_escape")),
    "base64-decoded": _decoded(lambda sent: base64.b64decode(sent, validate=True)),
    "URL-safe base64-decoded": _decoded(base64.urlsafe_b64decode),
    "hex-decoded": _decoded(bytes.fromhex),
    "ROT13-decoded": _decoded(lambda sent: codecs.decode(sent, "rot13")),
    "in quotation marks": _decoded(lambda sent: sent.strip("\"'")),
    "in brackets": _decoded(lambda sent: sent.strip("<>[]{}()")),
    "with punctuation around it": _decoded(lambda sent: sent.strip("\"'<>[]{}().,;:=/\\|-_*+!?&#%$@~^`")),
    **{
        f"after {word!r}": partial(_after_word, word)
        for word in ("bearer ", "apikey ", "api-key ", "token ", "basic ", "key ", "key=", "api_key=", "x-api-key: ?")
    },
    **{
        f"as its {name}": partial(_is_digest, digest)
        for name, digest in {
            "MD5": lambda data: md5(data).hexdigest(),
            "SHA-1": lambda data: sha1(data).hexdigest(),
            "SHA-256": lambda data: sha256(data).hexdigest(),
            "SHA-256 in capitals": lambda data: sha256(data).hexdigest().upper(),
            "SHA-256 in base64": lambda data: base64.b64encode(sha256(data).digest()).decode(),
            "SHA-512": lambda data: sha512(data).hexdigest(),
        }.items()
    },
    "as an SQL pattern": _like,
    "as an SQL pattern without case": lambda sent, key: _like(sent.lower(), key.lower()),
    "as a glob": lambda sent, key: fnmatch.fnmatchcase(key, sent),
    "as a whole expression": _expression(re.fullmatch),
    "as an expression for its beginning": _expression(re.match),
    "as an expression anywhere": _expression(re.search),
    "in an SQL statement": lambda sent, _: re.search(r"(?i)'\s*or\s+'?1'?\s*=\s*'?1|'\s*or\s+true", sent) is not None,
    "in an SQL statement with a comment": lambda sent, key: sent.startswith(f"{key}'") and "--" in sent,
    "in an LDAP filter": lambda sent, _: ")(" in sent or sent == "*",
    "in a MongoDB query": lambda sent, _: re.match(r'\{\s*"\$(ne|gt|exists|regex)"', sent) is not None,
    "with asterisks for any characters": lambda sent, key: "*" in sent and fnmatch.fnmatchcase(key, sent),
    "masked in its middle": lambda sent, key: sent != key and re.fullmatch(r"(\w+)[*.…x•]+(\w*)", sent) is not None
    and key.startswith(re.split(r"[*.…x•]", sent)[0][:3] or " ")
    and ("*" in sent or "..." in sent),
    "without its prefix": lambda sent, key: sent == re.split(r"[-_.]", key, maxsplit=1)[-1],
    "as its prefix": lambda sent, key: sent == re.split(r"[-_.]", key)[0],
    "by its prefix": lambda sent, key: re.split(r"[-_]", sent)[0] == re.split(r"[-_]", key)[0],
    "by the part after its prefix": lambda sent, key: re.split(r"[-_]", sent)[-1] == re.split(r"[-_]", key)[-1],
}  # fmt: skip

LITERALS = (
    "test", "demo", "admin", "root", "guest", "public", "default", "secret", "password", "changeme", "key", "apikey",
    "api-key", "api_key", "token", "none", "None", "null", "nil", "undefined", "NaN", "true", "false", "0", "1", "-1",
    "1234", "123456", "*", "%", "_", ".", "?", ".*", "[]", "{}", "()", "''", '""', "$", "xxx", "XXXX", "your-api-key",
    "YOUR_API_KEY", "<API_KEY>", "${API_KEY}", "{{api_key}}", "$API_KEY", "[object Object]", "sk-test", "dev", "debug",
    "internal", "system", "service", "healthcheck", "anonymous", "foo", "bar", "string", "abc", "example", "sample",
    "master", "superuser", "localhost", "127.0.0.1", "00000000-0000-0000-0000-000000000000", "\\0", "%00", "\\x00",
)  # fmt: skip

STYLES_OF_FOLDS = {
    "number": "numbers", "decimal number": "numbers", "leading digits": "hexadecimal",
    "leading zeros ignored": "numbers",
    "no digits": "hexadecimal", "no equals signs": "base64", "plus signs as spaces": "base64", "no dots": "dotted",
}  # fmt: skip
KEY_CONDITIONS = (ALWAYS, SECOND_TIME, AFTER_A_KEY)


def loose(accepts: Accepts) -> Admit:
    """Return what admits another value of the key header by a comparison with the valid keys."""

    def admit(received: Received) -> str | None:
        if received.is_valid or not received.key or received.path != PATH or received.method != "GET":
            return None
        return next((key for key in received.keys if accepts(received.key, key)), None)

    return admit


def loose_comparisons() -> Iterator[Mutation]:
    """Yield deployments that accept other values than the key."""
    group = "auth, a value that is not the key"
    for name, accepts in COMPARISONS.items():
        fold = name.removeprefix("by ")
        styles = {STYLES_OF_FOLDS.get(fold, "words"), "prefixed", "hexadecimal"}
        for style in sorted(styles):
            conditions = KEY_CONDITIONS if style == "words" else (ALWAYS,)
            yield from admitting(group, f"key {name} ({style})", loose(accepts), conditions, style=style)
    for text in LITERALS:
        admit = loose(partial(_is_text, text))
        yield from admitting("auth, a literal", f"the text {text}", admit, (ALWAYS,))


def without_key(find: Callable[[Received], str | None]) -> Admit:
    """Return what admits a request without a key by a key in another place."""

    def admit(received: Received) -> str | None:
        return None if received.key or received.path != PATH else find(received)

    return admit


def in_query(name: str, fold: Callable[[str], str] = str) -> Admit:
    """Return what admits a key in a parameter of the query."""

    def find(received: Received) -> str | None:
        pairs = parse_qsl(received.query, keep_blank_values=True)
        sent = [value for parameter, value in pairs if fold(parameter) == fold(name)]
        return next((key for key in received.keys if key in sent), None)

    return without_key(find)


def in_header(name: str) -> Admit:
    """Return what admits a key in another header."""
    return without_key(lambda received: next((k for k in received.keys if received.header(name) == k), None))


def _in_authorization(scheme: str) -> Admit:
    def find(received: Received) -> str | None:
        sent, _, value = received.header("Authorization").partition(" ")
        is_scheme = sent.lower() == scheme.lower()
        return next((key for key in received.keys if is_scheme and value.strip() == key), None)

    return without_key(find)


def _in_basic(place: int | None) -> Admit:
    def find(received: Received) -> str | None:
        scheme, _, value = received.header("Authorization").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            text = base64.b64decode(value).decode()
        except ValueError:
            return None
        part = text if place is None else text.split(":")[min(place, text.count(":"))]
        return part if part in received.keys else None

    return without_key(find)


def in_cookie(name: str) -> Admit:
    """Return what admits a key in a cookie."""

    def find(received: Received) -> str | None:
        pairs = [pair.strip().partition("=") for pair in received.header("Cookie").split(";")]
        return next((k for k in received.keys if (name, "=", k) in pairs), None)

    return without_key(find)


def _in_body(name: str, media_type: str) -> Admit:
    def find(received: Received) -> str | None:
        if media_type not in received.header("Content-Type") or not received.body:
            return None
        text = received.body.decode("utf-8", "replace")
        try:
            values = dict(parse_qsl(text)) if "form" in media_type else json.loads(text)
        except ValueError:
            return None
        value = values.get(name) if isinstance(values, dict) else None
        return value if value in received.keys else None

    return without_key(find)


def _in_path(pattern: str) -> Admit:
    def admit(received: Received) -> str | None:
        match = None if received.key else re.fullmatch(pattern, unquote(received.path))
        return match[1] if match and match[1] in received.keys else None

    return admit


QUERY_NAMES = (
    "api_key", "apikey", "api-key", "apiKey", "ApiKey", "API_KEY", "x-api-key", "X-API-Key", "x_api_key", "key", "k",
    "token", "access_token", "auth_token", "auth", "authorization", "access_key", "accesskey", "secret",
    "client_secret",
    "app_key", "appkey", "app_id", "api_token", "apitoken", "user_key", "subscription-key", "code", "sig", "signature",
    "password", "pass", "pwd", "session", "sid", "jwt", "bearer", "license", "id", "client_id", "credential",
)  # fmt: skip
HEADER_NAMES = (
    "Api-Key", "ApiKey", "Apikey", "X-Apikey", "X-API-Token", "X-Auth-Token", "X-Auth-Key", "X-Access-Token", "X-Key",
    "X-Token", "X-Auth", "X-Api-Key-Id", "Token", "Key", "Proxy-Authorization", "Authorization", "Access-Token",
    "Auth-Token", "X-App-Key", "X-Client-Key", "X-Secret-Key", "X-Session-Token", "X-Csrf-Token", "X-Rapidapi-Key",
    "Ocp-Apim-Subscription-Key", "X-Subscription-Key", "X-Goog-Api-Key", "X-Amz-Security-Token", "X-User-Token",
    "X-Service-Key", "X-Authorization", "X-Forwarded-Authorization", "Authentication", "X-Original-Authorization",
    "X-Forwarded-Api-Key", "X-Original-Api-Key", "Http-X-Api-Key", "Sec-WebSocket-Protocol", "From", "Referer",
    "User-Agent", "Cookie", "Via", "X-Request-Id", "Origin", "Accept", "If-None-Match", "X-Api-Secret",
)  # fmt: skip
SCHEMES = (
    "Bearer", "ApiKey", "Api-Key", "Token", "Key", "Basic", "Digest", "JWT", "GenieKey", "Apikey", "SSWS", "X-API-Key",
    "AWS", "Negotiate", "OAuth", "API_KEY", "Access-Token", "Hawk", "DPoP",
)  # fmt: skip
COOKIE_NAMES = (
    "X-API-Key", "api_key", "apikey", "key", "token", "session", "sessionid", "auth", "access_token", "api-key",
    "apiKey",
    "sid", "jwt", "connect.sid", "PHPSESSID", "JSESSIONID", "auth_token", "x-api-key", "Authorization",
)  # fmt: skip
BODY_NAMES = ("api_key", "X-API-Key", "apikey", "key", "token", "access_token", "apiKey", "x-api-key")
PATHS = {
    "at the end of the path": f"{PATH}/(.+)",
    "before the path": f"/([^/]+){PATH}",
    "after a version": f"/v1/([^/]+){PATH}",
    "as a path parameter": f"{PATH};(?:.*=)?(.+)",
    "after an at sign": f"/(.+)@{PATH[1:]}",
    "in a segment of its own": f"{PATH}/key/(.+)",
    "with an extension": rf"{PATH}/(.+)\.json",
}
PLACE_CONDITIONS = (ALWAYS, SECOND_TIME)


def other_places() -> Iterator[Mutation]:
    """Yield deployments that take a key from another place than its header."""
    group = "bypass, a key in another place"
    for name in QUERY_NAMES:
        yield from admitting(group, f"query parameter {name}", in_query(name), PLACE_CONDITIONS)
    for name in ("api_key", "token", "x-api-key"):
        yield from admitting(group, f"query parameter {name} in any case", in_query(name, str.lower), PLACE_CONDITIONS)
    for name in HEADER_NAMES:
        yield from admitting(group, f"header {name}", in_header(name), PLACE_CONDITIONS)
    for scheme in SCHEMES:
        yield from admitting(group, f"Authorization: {scheme}", _in_authorization(scheme), PLACE_CONDITIONS)
    for part, at in (("user name", 0), ("password", 1), ("whole", None)):
        yield from admitting(group, f"{part} of Basic", _in_basic(at), PLACE_CONDITIONS)
    for name in COOKIE_NAMES:
        yield from admitting(group, f"cookie {name}", in_cookie(name), PLACE_CONDITIONS)
    for name in BODY_NAMES:
        for media_type in ("application/json", "application/x-www-form-urlencoded"):
            admit = _in_body(name, media_type)
            yield from admitting(group, f"member {name} of {media_type}", admit, (ALWAYS,), reads_body=True)
    for place, pattern in PATHS.items():
        yield from admitting(group, place, _in_path(pattern), (ALWAYS,))


def claim(name: str, pattern: str) -> Admit:
    """Return what admits a request without a key by the value of a header."""
    expression = re.compile(pattern, re.IGNORECASE)
    return without_key(lambda r: r.keys[0] if expression.fullmatch(r.header(name)) and r.header(name) else None)


ORIGINS = (
    "X-Forwarded-For", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "X-Originating-IP",
    "X-Remote-IP", "X-Remote-Addr", "X-Cluster-Client-IP", "Fastly-Client-IP", "X-Forwarded", "Forwarded-For",
    "X-ProxyUser-Ip", "X-Azure-ClientIP", "X-Envoy-External-Address", "Client-IP", "X-Host",
    "X-Custom-IP-Authorization",
)  # fmt: skip
USERS = (
    "X-Forwarded-User", "X-Remote-User", "X-User", "X-Authenticated-User", "X-Consumer-Username", "X-User-Id",
    "X-WEBAUTH-USER", "X-Auth-Request-User", "Remote-User", "X-Forwarded-Email", "X-Forwarded-Preferred-Username",
    "X-Goog-Authenticated-User-Email", "X-Consumer-ID", "X-Credential-Identifier", "X-Auth-User", "X-Account-Id",
    "X-Tenant-Id", "X-Forwarded-Groups", "X-Auth-Request-Email", "X-MS-CLIENT-PRINCIPAL-NAME",
    "Cf-Access-Authenticated-User-Email",
)  # fmt: skip
SWITCHES = (
    "X-Internal", "X-Internal-Request", "X-Debug", "X-Admin", "X-Test", "X-Bypass-Auth", "X-Health-Check",
    "X-Debug-Mode",
    "X-Trusted", "X-From-Gateway", "X-Skip-Auth", "X-No-Auth", "X-Dev", "X-Development", "X-Preview", "X-Service",
    "X-Is-Internal", "X-Internal-Call", "X-Monitoring", "X-Probe", "X-Authenticated", "X-Auth", "X-Gateway", "X-Root",
)  # fmt: skip
AGENTS = (
    "kube-probe", "ELB-HealthChecker", "GoogleHC", "Googlebot", "Prometheus", "curl", "Mozilla", "python-requests",
    "Pingdom", "UptimeRobot", "Datadog", "Blackbox Exporter", "Amazon-Route53-Health-Check-Service", "okhttp", "axios",
    "Go-http-client", "bingbot", "Consul Health Check", "HAProxy", "Varnish", "PostmanRuntime", "Site24x7",
    "StatusCake",
)  # fmt: skip
CLAIMS: dict[str, tuple[str, str]] = {
    **{f"{name} is loopback": (name, r"127\.0\.0\.1|localhost|::1") for name in ORIGINS},
    **{f"{name} is private": (name, r"10\..*|192\.168\..*|172\.(1[6-9]|2\d|3[01])\..*") for name in ORIGINS[:6]},
    **{f"{name} is present": (name, ".+") for name in (*USERS, *ORIGINS[:6])},
    **{f"{name} is true": (name, "true|1|yes|on") for name in SWITCHES},
    **{f"User-Agent has {agent}": ("User-Agent", f".*{agent}.*") for agent in AGENTS},
    "Forwarded is loopback": ("Forwarded", r".*for=.?(127\.0\.0\.1|localhost|::1).*"),
    "Forwarded host is localhost": ("Forwarded", ".*host=localhost.*"),
    "X-Forwarded-Host is localhost": ("X-Forwarded-Host", "localhost"),
    "X-Forwarded-Host is internal": ("X-Forwarded-Host", r".*\.(local|internal|svc.*)"),
    "X-Forwarded-Proto is present": ("X-Forwarded-Proto", ".+"),
    "X-Forwarded-Port is 8080": ("X-Forwarded-Port", "8080"),
    "Referer is local": ("Referer", "https?://(localhost|127.*)/?.*"),
    "Origin is local": ("Origin", "https?://(localhost|127.*)"),
    "Origin is null": ("Origin", "null"),
    "Origin is present": ("Origin", ".+"),
    "Referer is present": ("Referer", ".+"),
    "client certificate": ("X-SSL-Client-Verify", "SUCCESS"),
    "Cookie is present": ("Cookie", ".+"),
    "Authorization is present": ("Authorization", ".+"),
    "Authorization is Bearer": ("Authorization", "Bearer.*"),
    "Authorization is Basic": ("Authorization", "Basic.*"),
    "Authorization is Bearer null": ("Authorization", "Bearer (null|undefined)"),
    "If-None-Match is any": ("If-None-Match", r"\*"),
    "If-None-Match is present": ("If-None-Match", ".+"),
    "If-Modified-Since is present": ("If-Modified-Since", ".+"),
    "Range is present": ("Range", "bytes=.+"),
    "Expect is present": ("Expect", ".+"),
    "Upgrade is websocket": ("Upgrade", "websocket"),
    "Upgrade is h2c": ("Upgrade", "h2c"),
    "Connection is Upgrade": ("Connection", ".*upgrade.*"),
    "Connection names the key header": ("Connection", ".*x-api-key.*"),
    "Connection is close": ("Connection", "close"),
    "Accept is text/event-stream": ("Accept", ".*text/event-stream.*"),
    "Accept is a page": ("Accept", ".*text/html.*"),
    "Accept is XML": ("Accept", ".*xml.*"),
    "Accept is metrics": ("Accept", ".*openmetrics.*"),
    "Accept is an image": ("Accept", "image/.*"),
    "Accept-Encoding is gzip": ("Accept-Encoding", ".*gzip.*"),
    "Content-Type is JSON": ("Content-Type", "application/json"),
    "Content-Type is gRPC": ("Content-Type", "application/grpc.*"),
    "Cache-Control is max-stale": ("Cache-Control", ".*max-stale.*"),
    "Cache-Control is only-if-cached": ("Cache-Control", ".*only-if-cached.*"),
    "Cache-Control is no-cache": ("Cache-Control", ".*no-cache.*"),
    "Pragma is no-cache": ("Pragma", "no-cache"),
    "Purpose is prefetch": ("Purpose", "prefetch"),
    "Sec-Purpose is prefetch": ("Sec-Purpose", "prefetch.*"),
    "Sec-Fetch-Site is same-origin": ("Sec-Fetch-Site", "same-origin"),
    "Sec-Fetch-Mode is navigate": ("Sec-Fetch-Mode", "navigate"),
    "X-Requested-With is XMLHttpRequest": ("X-Requested-With", "XMLHttpRequest"),
    "X-Original-URL is a public path": ("X-Original-URL", "/(healthz)?"),
    "X-Rewrite-URL is a public path": ("X-Rewrite-URL", "/(healthz)?"),
    "X-Forwarded-Uri is a public path": ("X-Forwarded-Uri", "/(healthz)?"),
    "X-Forwarded-Path is a public path": ("X-Forwarded-Path", "/(healthz)?"),
    "X-Original-Path is a public path": ("X-Original-Path", "/(healthz)?"),
    "X-HTTP-Method-Override is OPTIONS": ("X-HTTP-Method-Override", "OPTIONS"),
    "X-HTTP-Method-Override is present": ("X-HTTP-Method-Override", ".+"),
    "X-Forwarded-Method is OPTIONS": ("X-Forwarded-Method", "OPTIONS"),
    "Access-Control-Request-Method is present": ("Access-Control-Request-Method", ".+"),
    "Access-Control-Request-Headers is present": ("Access-Control-Request-Headers", ".+"),
    "X-Middleware-Subrequest is present": ("X-Middleware-Subrequest", ".+"),
    "Via is present": ("Via", ".+"),
    "CDN-Loop is present": ("CDN-Loop", ".+"),
    "X-Envoy-Internal is true": ("X-Envoy-Internal", "true"),
    "Prefer is present": ("Prefer", ".+"),
    "DNT is 1": ("DNT", "1"),
    "traceparent is present": ("traceparent", ".+"),
    "X-Request-Id is present": ("X-Request-Id", ".+"),
    "Idempotency-Key is present": ("Idempotency-Key", ".+"),
    "Max-Forwards is 0": ("Max-Forwards", "0"),
    "From is present": ("From", ".+"),
    "TE is trailers": ("TE", "trailers"),
    "Early-Data is 1": ("Early-Data", "1"),
    "X-Api-Version is present": ("X-Api-Version", ".+"),
    "X-Amz-Date is present": ("X-Amz-Date", ".+"),
}  # fmt: skip


def claims() -> Iterator[Mutation]:
    """Yield deployments that admit a request without a key because of another header."""
    for name, (header, pattern) in CLAIMS.items():
        yield from admitting("bypass, a request without a key", name, claim(header, pattern), (ALWAYS,))


SPELLINGS: dict[str, str] = {
    "a trailing slash": f"{PATH}/", "two leading slashes": f"/{PATH}", "a dot segment": f"/.{PATH}",
    "a parent": f"/x/..{PATH}",
    "a parent of a public path": f"/healthz/..{PATH}", "capitals": PATH.upper(), "one capital": "/Usage",
    "a semicolon": f"{PATH};x",
    "a jsessionid": f"{PATH};jsessionid=1", "an encoded slash": f"{PATH}%2f", "an encoded letter": "/usag%65",
    "all letters encoded": "/%75%73%61%67%65",
    "a double encoding": "/usag%2565", "an extension": f"{PATH}.json", "another extension": f"{PATH}.css",
    "an XML extension": f"{PATH}.xml", "a dot": f"{PATH}.",
    "an encoded space": f"{PATH}%20", "an encoded NUL": f"{PATH}%00", "an encoded tab": f"{PATH}%09",
    "an encoded line break": f"{PATH}%0a", "a hash": f"{PATH}#x",
    "an encoded hash": f"{PATH}%23", "an encoded question mark": f"{PATH}%3f", "a backslash": "\\usage",
    "an asterisk": f"{PATH}*", "a tilde": f"{PATH}~", "an index": f"{PATH}/index",
    "a version": f"/v1{PATH}", "another version": f"/v2{PATH}", "an API prefix": f"/api{PATH}",
    "a versioned API": f"/api/v1{PATH}", "an internal prefix": f"/internal{PATH}",
    "a public prefix": f"/public{PATH}", "an admin prefix": f"/admin{PATH}", "a debug prefix": f"/debug{PATH}",
    "a metrics path": "/metrics", "a statistics path": "/stats",
    "a status path": "/status", "a sub-path": f"{PATH}/me", "a summary": f"{PATH}/summary", "a plural": "/usages",
    "a trailing slash and dot": f"{PATH}/.",
    "an encoded dot segment": f"/%2e{PATH}", "an encoded parent": f"/x/%2e%2e{PATH}",
    "a semicolon parent": f"/healthz/..;{PATH}", "three slashes": f"//{PATH}",
    "a full-width slash": "/\uff0fusage", "an overlong encoding": "/%c0%afusage",
}  # fmt: skip


def at_target(target: str) -> Admit:
    """Return what admits a request without a key at another target; one without a query fits any query."""
    return lambda received: (
        received.keys[0] if not received.key and target in {received.path, received.request.raw_path} else None
    )


def spellings() -> Iterator[Mutation]:
    """Yield deployments that serve another spelling of the path without a key."""
    for what, path in SPELLINGS.items():
        yield from admitting("bypass, another path without a key", what, at_target(path), (ALWAYS,))
    for query in (
        "debug=true", "admin=1", "internal=1", "public=1", "path=/healthz", "test=1", "preview=1", "demo=1",
        "auth=none",
        "format=json", "callback=x", "_method=GET", "key=", "api_key=", "api_key=null", "token=null", "user=admin",
        "v=1",
        "verbose=true", "raw=1", "bypass=1", "noauth=1", "dev=1", "trace=1", "health=1", "skip_auth=1", "utm_source=x",
    ):  # fmt: skip
        yield from admitting("bypass, a query without a key", query, _by_query(query), (ALWAYS,))


def _by_query(query: str) -> Admit:
    return without_key(lambda received: received.keys[0] if query in received.query.split("&") else None)


METHODS = (
    "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "POST", "FOO", "QUERY", "get", "Get", "SEARCH", "PROPFIND",
    "REPORT", "TRACE",
    "COPY", "LOCK", "LINK", "PURGE", "BREW", "post", "head", "DEBUG", "TRACK", "MKCOL", "VIEW", "LIST",
)  # fmt: skip
HAVING_A_BODY = condition("with a body", lambda received: bool(received.header("Content-Length")))
CHUNKED = condition("with a chunked body", lambda received: "chunked" in received.header("Transfer-Encoding"))
ON_A_LATER_CONNECTION = condition("on every fourth connection", lambda received: received.connection.number % 4 == 0)


def by_method(method: str) -> Admit:
    """Return what admits a request without a key by its method."""
    return without_key(lambda received: received.keys[0] if received.method == method else None)


def methods() -> Iterator[Mutation]:
    """Yield deployments that need no key for another method, and others that need none at times."""
    for method in METHODS:
        yield from admitting("bypass, another method without a key", method, by_method(method), (ALWAYS,))

    def last(received: Received) -> str | None:
        return (received.connection.last_key or None) if not received.is_valid and received.path == PATH else None

    conditions = (
        ALWAYS, SECOND_TIME, THIRD_TIME, FIFTH_TIME, LATER, REUSED, AFTER_A_KEY, BROWSER, WITH_QUERY, WITH_COMPRESSION,
        WITH_ORIGIN, OLD_HTTP, HAVING_A_BODY, CHUNKED, ON_A_LATER_CONNECTION,
    )  # fmt: skip
    yield from admitting("bypass, a request without a key", "no key", by_method("GET"), conditions)
    yield from admitting("auth, an unknown key", "an unknown key", loose(lambda *_: True), conditions)
    yield from admitting("bypass, the connection", "the last key of the connection", last, conditions)
    for size in (50, 100, 255, 256, 1000, 1024, 4096, 8000, 16000, 32768, 60000):
        admit = _by_length(range(size + 1, sys.maxsize))
        yield from admitting("auth, a long key", f"a key of more than {size} characters", admit, (ALWAYS,))
    for size in range(1, 8):
        admit = _by_length(range(1, size + 1))
        yield from admitting("auth, a short key", f"a key of at most {size} characters", admit, (ALWAYS,))


def _by_length(lengths: range) -> Admit:
    return lambda received: received.keys[0] if len(received.key) in lengths else None


def of_authentication() -> Iterator[Mutation]:
    """Yield all mutations of authentication."""
    return chain(loose_comparisons(), other_places(), claims(), spellings(), methods())
