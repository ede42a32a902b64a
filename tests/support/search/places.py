"""Mutations of the place of a key: a server reads it elsewhere than in its header."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl, unquote

from tests.support.search.mutations import ALWAYS, SECOND_TIME, Mutation, admitting
from tests.support.search.served import PATH, Admit, Received


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
