"""Exchanges that another program recorded: which of them belong to the operation, and which keys are valid."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from urllib.parse import urlsplit

from contract_tests.redaction.redactor import Redactor
from contract_tests.wire.messages import AUTH_ERRORS, Credential, Exchange, Part, Request, name_of_key
from contract_tests.wire.target import DEFAULT_PORTS, Target
from usage_contract import Operation

ONE_RUN = 120.0  # seconds: as long as a run of the gate may take
SHORTEST_SECRET = 4  # characters: a shorter text is in any other by chance
UNSUSPICIOUS = re.compile(rb"[\w-]*")  # values that a firewall does not mistake for an attack
# Header fields with which a client does not request anything unusual.
COMMON_FIELDS = re.compile(
    r"host|user-agent|accept|accept-(encoding|language)|cache-control|pragma|connection|origin|referer|dnt|priority"
    r"|sec-.*|traceparent|tracestate|x-request-id|x-trace"
)
JSON_RANGE = re.compile(r"application/(json|\*)|\*/\*|^$")


class TrafficError(Exception):
    """The recorded exchanges cannot be judged."""


@dataclass(frozen=True)
class Recorded:
    """One exchange that another program recorded, with the URL of its request."""

    url: str
    exchange: Exchange


@dataclass(frozen=True)
class Recording:
    """The recorded exchanges with the operation at one deployment, in the order of their requests.

    `keys` are the valid API keys, and `refused` are other keys, each with an exchange that shows it. `lacks` are the
    parts that are not known of some exchange. `secrets` are all recorded keys, also those for other operations.
    """

    target: Target
    exchanges: tuple[Exchange, ...]
    keys: tuple[Credential, ...]
    refused: dict[Credential, Exchange]
    lacks: frozenset[Part]
    secrets: tuple[str, ...]


def recording_of(
    recorded: Iterable[Recorded], operation: Operation, *, keys: Sequence[Credential] = (), base: Target | None = None
) -> Recording:
    """Select the exchanges with an operation.

    Args:
        recorded: All recorded exchanges, also those with other operations.
        operation: The operation that is judged.
        keys: Keys that are known to be valid. A key whose request was answered 200 is valid as well.
        base: The deployment; may be left out where all exchanges are with one.

    Raises:
        TrafficError: There is no exchange with the operation, or there are some with several deployments.
    """
    recorded = list(recorded)
    header = (operation.key_header or "").lower().encode()
    found = [(target, each.exchange) for each in recorded if (target := _target(each.url, operation.path))]
    found = [(target, each) for target, each in found if base in {None, target} and not _is_preflight(each.request)]
    answered = [(target, each) for target, each in found if each.status == 200] or found
    targets = {target.url: target for target, _ in answered}
    if not found:
        at = f" at {base.url}" if base else ""
        raise TrafficError(f"{len(recorded)} exchanges, and none of them is with {operation.path}{at}")
    if len(targets) > 1:
        raise TrafficError(f"exchanges with several deployments: {', '.join(sorted(targets))}; name one by --base-url")
    (target,) = targets.values()
    exchanges = sorted((each for at, each in found if at == target), key=lambda each: each.started)
    values = [value for each in recorded for value in _key_values(each.exchange.request, header)]
    secrets = dict.fromkeys((*(key.value for key in keys), *values))
    texts = tuple(text for value in secrets if len(text := value.decode("latin-1")) >= SHORTEST_SECRET)
    credentials = _credentials(exchanges, header, keys)
    valid = tuple(credential for credential in credentials.values() if credential.shell)
    redact = Redactor(texts)
    attributed = tuple(_attributed(exchanges, operation, credentials, redact))
    refused = {
        credential: each
        for each in reversed(attributed)
        if (credential := each.request.credential) and credential not in valid
    }
    lacks = frozenset({"unknown key", *(part for each in attributed for part in each.lacks)})
    spans = attributed[-1].started - attributed[0].started
    if "time" in lacks or spans > ONE_RUN:
        lacks |= {"one run"}
    return Recording(target, attributed, valid, refused, lacks, texts)


def _target(url: str, path: str) -> Target | None:
    """Return the deployment to which a URL of an operation's path belongs; None for another URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or not parts.path.endswith(path):
        return None
    return Target(parts.scheme, parts.hostname, port or DEFAULT_PORTS[parts.scheme], parts.path.removesuffix(path))


def _is_preflight(request: Request) -> bool:
    names = {name.lower() for name, _ in request.fields}
    return request.method == "OPTIONS" and b"access-control-request-method" in names


def _key_values(request: Request, header: bytes) -> list[bytes]:
    return [value.strip(b" \t") for name, value in request.fields if name.lower() == header and value.strip(b" \t")]


def _credentials(exchanges: Iterable[Exchange], header: bytes, given: Sequence[Credential]) -> dict[bytes, Credential]:
    """Return the credential of each key that was sent alone, the valid ones with a shell variable."""
    alone = [(values[0], each) for each in exchanges if len(values := _key_values(each.request, header)) == 1]
    accepted = {value for value, each in alone if each.status == 200}
    known = {key.value: key for key in given}
    names = (name for name in map(name_of_key, count(1)) if name not in {(key.label, key.shell) for key in given})
    credentials: dict[bytes, Credential] = {}
    for value in dict.fromkeys(value for value, _ in alone):
        if value in known:
            credentials[value] = known[value]
        elif value in accepted:
            credentials[value] = Credential(value, *next(names))
        else:
            credentials[value] = Credential(value, f"refused key {len(credentials) + 1}")
    return credentials


def _attributed(
    exchanges: Iterable[Exchange], operation: Operation, credentials: dict[bytes, Credential], redact: Redactor
) -> Iterator[Exchange]:
    """Yield each exchange with its credential; baseline requests are usual ones, and one at a time for each key."""
    header = (operation.key_header or "").lower().encode()
    ends: dict[Credential | None, float] = {}
    for exchange in exchanges:
        request = exchange.request
        values = _key_values(request, header)
        credential = credentials[values[0]] if len(values) == 1 else None
        is_valid = credential is not None and bool(credential.shell)
        is_usual = request.method == operation.method and b"?" not in request.target and len(values) < 2
        is_judged = (exchange.status == 200 and is_valid) or (
            _is_common(request, header) and (is_valid or exchange.status in AUTH_ERRORS)
        )
        is_alone = exchange.started >= ends.get(credential, exchange.started)  # concurrent requests have no order
        ends[credential] = max(exchange.ended, ends.get(credential, exchange.ended))
        attributed = replace(request, credential=credential, is_baseline=is_usual and is_judged and is_alone)
        yield replace(exchange, request=attributed, redact=redact)


def _is_common(request: Request, header: bytes) -> bool:
    """Whether nothing but its key is a reason to refuse a request, for the deployment or for a proxy."""
    fields = [(name.decode("latin-1").lower(), value) for name, value in request.fields if name.lower() != header]
    accepted = ", ".join(value.decode("latin-1") for name, value in fields if name == "accept")
    keys = _key_values(request, header)
    return (
        all(COMMON_FIELDS.fullmatch(name) for name, _ in fields)
        and [name for name, _ in fields].count("host") == 1
        and JSON_RANGE.search(accepted) is not None
        and all(map(UNSUSPICIOUS.fullmatch, keys))
        and not request.body
    )
