"""Recorded exchanges: the selection of those with the operation, and of the keys that are valid."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from urllib.parse import parse_qsl, urlsplit

from contract_tests.metrics.view import UsageMetrics
from contract_tests.redaction.redactor import Redactor
from contract_tests.redaction.spellings import RUN, SHORTEST_SECRET
from contract_tests.reports.model import counted
from contract_tests.wire.messages import AUTH_ERRORS, UNSUSPICIOUS, Aspect, Credential, Exchange, Request, name_of_key
from contract_tests.wire.not_tested import NotTested
from contract_tests.wire.pages import is_challenge, is_page
from contract_tests.wire.target import DEFAULT_PORTS, Target
from usage_contract import Operation

ONE_RUN = 120.0  # seconds: as long as a run of the gate may take
USUAL_VERSIONS = {"HTTP/1.1", ""}
# Header fields for which neither a deployment nor a proxy refuses a request.
COMMON_FIELDS = re.compile(
    r"host|user-agent|accept|accept-(encoding|language)|cache-control|pragma|connection|origin|referer|dnt|priority"
    r"|sec-.*|traceparent|tracestate|x-request-id|x-trace"
)
USUAL_VALUE = re.compile(rb"[ -~]{1,500}")
# The text with which tools replace a key that they remove.
PLACEHOLDER = re.compile(rb"(?i)\W*(redacted|removed|masked|hidden|filtered|scrubbed|secret|x{3,})?\W*")
WORDS = re.compile(r"[a-z]+(?:[_,. -]+[a-z]+)*")  # such as `rate_limit`: no credential
ORDERED = {200, 429}  # statuses of responses that are judged by the order of their requests, if it is known
# Causes of a response outside the deployment.
PAGE_OF_ANOTHER = "an HTML page may be that of a firewall or a proxy"
REDIRECT = "a redirect may be that of a proxy"
NOT_MODIFIED = "a response 304 may be to a condition of a browser's cache"
KEY_REMOVED = "a tool may have removed the key of a request"
KEY_NOT_IN_USE = "a key that is refused before its first 200 or after its last one may be new or revoked"
JSON_RANGE = re.compile(r"application/(json|\*)|\*/\*")


class TrafficError(Exception):
    """The recorded exchanges cannot be judged."""


@dataclass(frozen=True)
class Recorded:
    """One exchange that another program recorded, with the URL of its request.

    The exchange has no status where the deployment did not respond. `problem` states why it cannot be read.
    """

    url: str
    exchange: Exchange
    problem: str = ""


@dataclass(frozen=True)
class Recording:
    """The recorded exchanges with the operation at one deployment, in the order of their requests.

    `keys` are the valid API keys, and `refused` are other keys, each with an exchange that shows it. `lacks` are the
    aspects that at least one exchange lacks. `secrets` are all recorded keys, also those for other operations, and the
    other credentials of requests with the operation.
    Exchanges with a `doubt` are included.
    """

    target: Target
    exchanges: tuple[Exchange, ...]
    keys: tuple[Credential, ...]
    refused: dict[Credential, Exchange]
    lacks: frozenset[Aspect]
    secrets: tuple[str, ...]


def recording_of(
    recorded: Iterable[Recorded], operation: Operation, *, keys: Sequence[Credential] = (), base: Target | None = None
) -> Recording:
    """Select the exchanges with an operation.

    Args:
        recorded: All recorded exchanges, also those with other operations.
        operation: The operation that is judged.
        keys: Keys that are known to be valid. A key whose request was answered 200 is valid as well.
        base: The deployment; optional if all exchanges are with one.

    Raises:
        TrafficError: No exchange can be judged, or they are with several deployments.
    """
    recorded = list(recorded)
    if wrong := next((each for each in recorded if not isinstance(each, Recorded)), None):
        raise TrafficError(
            f"a {type(wrong).__name__} is not a recorded exchange; from_requests and from_httpx make one"
        )
    secrets = _secrets(recorded, operation, keys)
    redact = Redactor(secrets)
    target, exchanges = _exchanges_with_operation(recorded, operation, base, redact)
    others = (text for each in exchanges for text in _other_secrets(each, operation) if len(text) >= RUN)
    secrets = tuple(dict.fromkeys((*secrets, *others)))
    redact = Redactor(secrets)
    credentials = _credentials(exchanges, operation, keys)
    lives = _lives(exchanges, operation, [each for each in credentials.values() if each not in keys])
    attributed = tuple(_attributed(exchanges, operation, credentials, lives, redact))
    if not any(each.request.is_baseline and not each.doubt for each in attributed):
        raise TrafficError("no recorded response can be judged: no request has a key that was accepted or refused")
    refused = {
        credential: each
        for each in reversed(attributed)
        if (credential := each.request.credential) and not credential.shell
    }
    valid = tuple(credential for credential in credentials.values() if credential.shell)
    return Recording(target, attributed, valid, refused, _lacks(attributed), secrets)


def _secrets(recorded: Iterable[Recorded], operation: Operation, keys: Iterable[Credential]) -> tuple[str, ...]:
    """Return the given keys and all recorded ones."""
    values = [value for each in recorded for value in _key_values(each.exchange.request, operation)]
    texts = [value.decode("latin-1") for value in dict.fromkeys((*(key.value for key in keys), *values))]
    return tuple(text for text in texts if len(text) >= SHORTEST_SECRET)


def _other_secrets(exchange: Exchange, operation: Operation) -> Iterator[str]:
    """Yield the credentials outside of the key header, which a response may repeat, and a key that a tool removed."""
    request = exchange.request
    values = [value for _, value in parse_qsl(request.target.partition(b"?")[2].decode("latin-1"))]
    for field in request.values("Cookie"):
        values += (pair.partition("=")[2].strip() for pair in field.decode("latin-1").split(";"))
    yield from (value for value in values if not WORDS.fullmatch(value))  # words are also in the gate's own texts
    for field in request.values("Authorization"):
        yield field.decode("latin-1").rpartition(" ")[2]
    if not _key_values(request, operation):
        with suppress(NotTested):  # the body is too large
            yield UsageMetrics(exchange).api_key or ""


def _exchanges_with_operation(
    recorded: Sequence[Recorded], operation: Operation, base: Target | None, redact: Redactor
) -> tuple[Target, list[Exchange]]:
    """Return the deployment, and the exchanges with the operation there, in the order of their requests."""
    located = ((_deployment(each.url, operation.path), each) for each in recorded)
    found = [(deployment, each) for deployment, each in located if deployment and base in {None, deployment}]
    if problem := next((each.problem for _, each in found if each.problem), ""):
        raise TrafficError(redact(problem))
    responses = [(target, each.exchange) for target, each in found if _is_of_the_deployment(each.exchange)]
    if not responses:
        at = f" at {redact(base.url)}" if base else ""
        raise TrafficError(
            f"{counted(len(recorded), 'exchange')} recorded, and none of them is with {operation.path}{at}"
        )
    target = _only_target(responses, operation, redact)
    return target, sorted((each for at, each in responses if at == target), key=lambda each: each.started)


def _is_of_the_deployment(exchange: Exchange) -> bool:
    """Whether a response was recorded, and is not that of a forward proxy or to a preflight."""
    request = exchange.request
    is_preflight = request.method == "OPTIONS" and request.values("Access-Control-Request-Method")
    is_proxy = exchange.status == 407 or exchange.payload.startswith(b"[Fiddler]")
    return exchange.status is not None and not is_preflight and not is_proxy


def _only_target(responses: Sequence[tuple[Target, Exchange]], operation: Operation, redact: Redactor) -> Target:
    """Return the only deployment that accepted a key; pages, and APIs without keys, are not the deployment."""
    with_key = [target for target, each in responses if each.status == 200 and _key_values(each.request, operation)]
    answered = with_key or [target for target, each in responses if each.status == 200]
    target, *others = dict.fromkeys(answered or [target for target, _ in responses])
    if others:
        urls = ", ".join(sorted(redact(each.url) for each in (target, *others)))
        raise TrafficError(f"the exchanges are with several deployments: {urls}. Name one by --base-url")
    return target


def request_target(url: str) -> str:
    """Return the path and the query of a URL, as they were sent."""
    return f"/{url.partition('#')[0].partition('://')[2].partition('/')[2]}"


def with_host(fields: list[tuple[bytes, bytes]], url: str) -> list[tuple[bytes, bytes]]:
    """Return the header fields of a request, with the Host of its URL if it has none, as in HTTP/2."""
    if any(name.lower() == b"host" for name, _ in fields):
        return fields
    return [(b"Host", urlsplit(url).netloc.rpartition("@")[2].encode("utf-8", "replace")), *fields]


def _lacks(exchanges: Sequence[Exchange]) -> frozenset[Aspect]:
    lacks = frozenset[Aspect]({"unknown key", *(aspect for each in exchanges for aspect in each.lacks)})
    is_long = exchanges[-1].started - exchanges[0].started > ONE_RUN
    return lacks | {"one run"} if "time" in lacks or is_long else lacks


def _deployment(url: str, path: str) -> Target | None:
    """Return the deployment to which a URL of an operation's path belongs; None for another URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or not parts.path.endswith(path):
        return None
    return Target(
        parts.scheme, parts.hostname.rstrip("."), port or DEFAULT_PORTS[parts.scheme], parts.path.removesuffix(path)
    )


def _key_values(request: Request, operation: Operation) -> list[bytes]:
    """Return the keys in a request, without the placeholders that tools put in their place."""
    values = [value.strip(b" \t") for value in request.values(operation.key_header or "")]
    return [value for value in values if value and not PLACEHOLDER.fullmatch(value)]


def _credentials(
    exchanges: Iterable[Exchange], operation: Operation, given: Sequence[Credential]
) -> dict[bytes, Credential]:
    """Return the credential of each key that was sent alone; only valid ones have a shell variable."""
    alone = [(values[0], each) for each in exchanges if len(values := _key_values(each.request, operation)) == 1]
    accepted = {value for value, each in alone if each.status == 200 and each.request.method == operation.method}
    known = {key.value: key for key in given}
    names = (name for name in map(name_of_key, count(1)) if name not in {(key.label, key.shell) for key in given})
    credentials: dict[bytes, Credential] = {}
    for value, _ in alone:
        if value in credentials:
            continue
        if value in known:
            credentials[value] = known[value]
        elif value in accepted:
            credentials[value] = Credential(value, *next(names))
        else:
            credentials[value] = Credential(value, f"refused key {len(credentials) + 1}")
    return credentials


def _lives(
    exchanges: Sequence[Exchange], operation: Operation, keys: Iterable[Credential]
) -> dict[Credential | None, tuple[float, float]]:
    """Return the times of the first and the last 200 response to each key: a key may be new, or be revoked."""
    ok = [(_key_values(each.request, operation), each.started) for each in exchanges if each.status == 200]
    times = {key: [started for values, started in ok if values == [key.value]] for key in keys}
    return {key: (min(of_key), max(of_key)) for key, of_key in times.items() if of_key}


def _doubt(exchange: Exchange, *, is_valid: bool, life: tuple[float, float] | None) -> str:
    """Return why a response may have another cause than the deployment; empty for others."""
    status = exchange.status or 0
    if not exchange.abridged and (is_challenge(exchange) or (status >= 400 and is_page(exchange))):
        return PAGE_OF_ANOTHER
    if not is_valid:
        return KEY_REMOVED if status == 200 else ""
    if 300 <= status < 400:
        return NOT_MODIFIED if status == 304 else REDIRECT
    is_outside = life is not None and not life[0] <= exchange.started <= life[1]
    return KEY_NOT_IN_USE if status in AUTH_ERRORS and is_outside else ""


def _attributed(
    exchanges: Sequence[Exchange],
    operation: Operation,
    credentials: dict[bytes, Credential],
    lives: dict[Credential | None, tuple[float, float]],
    redact: Redactor,
) -> Iterator[Exchange]:
    """Yield each exchange with its credential and its doubt. A usual request in a known order is a baseline request."""
    ends: dict[Credential | None, float] = {}
    for exchange in exchanges:
        values = _key_values(exchange.request, operation)
        credential = credentials[values[0]] if len(values) == 1 else None
        is_valid = credential is not None and bool(credential.shell)
        starts_later = exchange.started >= ends.get(credential, exchange.started)
        is_in_order = starts_later or "time" in exchange.lacks or exchange.status not in ORDERED
        ends[credential] = max(exchange.ended, ends.get(credential, exchange.ended))
        doubt = _doubt(exchange, is_valid=is_valid, life=lives.get(credential))
        is_judged = (exchange.status or 0) > 200 if is_valid else exchange.status in AUTH_ERRORS or doubt == KEY_REMOVED
        is_ok = is_valid and exchange.status == 200 and _is_of(exchange.request, operation) and not exchange.abridged
        is_baseline = is_in_order and (is_ok or (is_judged and _is_usual(exchange.request, operation)))
        request = replace(exchange.request, credential=credential, is_baseline=is_baseline)
        yield replace(exchange, request=request, redact=redact, doubt=doubt)


def _is_of(request: Request, operation: Operation) -> bool:
    """Whether a request has the method of the operation, and at most one key, which is not padded."""
    keys = request.values(operation.key_header or "")
    return request.method == operation.method and len(keys) < 2 and all(key == key.strip() for key in keys)


def _is_usual(request: Request, operation: Operation) -> bool:
    """Whether a deployment or a proxy can have only the key as a reason to refuse a request."""
    header = (operation.key_header or "").lower()
    fields = [(lower, value) for name, value in request.fields if (lower := name.decode("latin-1").lower()) != header]
    names = [name for name, _ in fields]
    accepted = [value.decode("latin-1") for name, value in fields if name == "accept"]
    return (
        _is_of(request, operation)
        and b"?" not in request.target
        and request.version in USUAL_VERSIONS
        and all(COMMON_FIELDS.fullmatch(name) for name in names)
        and names.count("host") == names.count("user-agent") == 1
        and all(USUAL_VALUE.fullmatch(value) for _, value in fields)
        and all(map(JSON_RANGE.search, accepted))
        and all(map(UNSUSPICIOUS.fullmatch, _key_values(request, operation)))
        and not request.body
    )
