"""The command `usage-mock capture`: a deployment file from the usage metrics of a real deployment."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate, pairwise
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson

from mock_server.command.errors import report
from mock_server.command.user_errors import reporting
from mock_server.fixtures.deployments import MAX_SAFE_INTEGER, PROTOCOLS, FactsError, KeyFacts, check_facts, key_of
from mock_server.fixtures.files import SCHEMAS
from mock_server.fixtures.validation import lines, problems
from mock_server.masking import keys_in, mask_text, printable
from mock_server.simulation.accounts import TOP_DOMAINS, Account
from mock_server.streams import write_output
from usage_contract import load
from usage_contract.errors import reason
from usage_contract.sources import as_yaml

API_KEY = "CONTRACT_API_KEY"

# The key in the printed file; the captured one is never printed.
MADE_UP_KEY = "captured-key"

TIMEOUT = 30.0  # seconds for the request and its complete response
MAX_BYTES = 1024 * 1024

# Requests of domains below the top 20 belong to made-up domains, of which a file has at most this number.
MAX_OTHERS = 10_000

_COUNT = {"type": "integer", "minimum": 0, "maximum": MAX_SAFE_INTEGER}

# The shape of usage metrics, from the document's UsageResponse.
_SHAPE: Mapping[str, Any] = {
    "type": "object",
    "required": [
        *("total", "success", "fail", "success_rate", "bytes_transferred", "rate_limit", "by_protocol", "top_domains"),
    ],
    "properties": {
        **dict.fromkeys(("total", "success", "fail", "bytes_transferred"), _COUNT),
        "success_rate": {"type": "number"},
        "rate_limit": {
            "type": "object",
            "required": ["rps", "burst"],
            "properties": {"rps": {"type": "number"}, "burst": {"type": "integer"}},
        },
        "by_protocol": {
            "type": "object",
            "propertyNames": {"enum": list(PROTOCOLS)},
            "additionalProperties": _COUNT,
        },
        "top_domains": {
            "type": "array",
            "maxItems": TOP_DOMAINS,
            "items": {
                "type": "object",
                "required": ["domain", "requests"],
                "properties": {
                    "domain": {"$ref": "deployment.schema.json#/$defs/domain"},
                    "requests": _COUNT,
                },
            },
        },
    },
}


class CaptureError(Exception):
    """A deployment that cannot be captured; the text has a line for each problem."""


@reporting
def capture(base_url: str, environment: Mapping[str, str]) -> int:
    """Send one request, print a deployment file with the same usage metrics, and return the exit code.

    Args:
        base_url: The base URL of the deployment.
        environment: The environment variables; one of them has the API key.
    """
    key = environment.get(API_KEY, "")
    if not re.fullmatch(r"[!-~]([ -~]*[!-~])?", key):
        return report(f"capture: {API_KEY}: is not set to an API key")
    try:
        host = _host(base_url)
        metrics = asyncio.run(_usage_metrics(base_url, key))
        facts, notes = facts_of(metrics)
        _check_secrecy([host, *facts.get("traffic", {})], key)
    except CaptureError as error:
        texts = [mask_text(printable(line), [key], lambda _: "…") for line in str(error).splitlines()]
        return report("\n".join(f"capture: {text}" for text in texts))
    data = {"description": f"Usage metrics of one key, captured from {host}.", "keys": {MADE_UP_KEY: facts}}
    write_output("".join(f"# {note}\n" for note in notes) + as_yaml(data))
    return 0


def facts_of(metrics: Any) -> tuple[KeyFacts, list[str]]:
    """Return the facts of a key with these usage metrics, and notes about differences that remain.

    Raises:
        CaptureError: The usage metrics have another shape, or contradict each other.
    """
    if found := problems(metrics, _SHAPE, SCHEMAS):
        raise CaptureError("\n".join(lines(found, "the response")))
    if contradictions := list(_contradictions(metrics)):
        raise CaptureError("\n".join(f"the usage metrics contradict each other: {text}" for text in contradictions))
    limit = metrics["rate_limit"]
    facts: KeyFacts = {"rate_limit": {"rps": limit["rps"], "burst": int(limit["burst"])}}
    if traffic := _traffic(metrics):
        facts["traffic"] = traffic
    try:
        check_facts(facts)
    except FactsError as error:
        raise CaptureError("\n".join(f"the response {line}" for line in str(error).splitlines())) from None
    return facts, list(_notes(metrics, facts))


def _contradictions(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Yield the contradictions between usage metrics."""
    total, success, fail = metrics["total"], metrics["success"], metrics["fail"]
    rows, by_protocol = metrics["top_domains"], metrics["by_protocol"]
    if total != success + fail:
        yield f"total is {total}, but success and fail are {success + fail}"
    if total != sum(by_protocol.values()):
        yield f"total is {total}, but by_protocol is {sum(by_protocol.values())} in all"
    if not 0 <= metrics["success_rate"] <= 100:
        yield f"success_rate is {metrics['success_rate']}, but a percentage is 0 to 100"
    elif total and abs(metrics["success_rate"] - 100 * success / total) > 0.5:
        yield f"success_rate is {metrics['success_rate']}, but {success} of {total} are {100 * success / total:.2f} %"
    if metrics["bytes_transferred"] and not by_protocol.get("fetch"):
        yield f"bytes_transferred is {metrics['bytes_transferred']}, but only fetch transfers bytes, and it is 0"
    if len({row["domain"] for row in rows}) < len(rows):
        yield "top_domains has a domain twice"
    if any(one["requests"] < other["requests"] for one, other in pairwise(rows)):
        yield "top_domains is not sorted by requests"
    listed, used = sum(row["requests"] for row in rows), [row for row in rows if row["requests"]]
    if listed > total:
        yield f"total is {total}, but top_domains is {listed} in all"
    elif listed < total and len(used) < TOP_DOMAINS:
        yield f"total is {total}, but top_domains is {listed} in all, and has only {len(used)} domains with requests"


def _traffic(metrics: Mapping[str, Any]) -> dict[str, dict[str, dict[str, int]]]:
    """Return traffic by domain and protocol, such that every sum is that of the usage metrics."""
    left = {protocol: int(count) for protocol, count in metrics["by_protocol"].items()}
    cells = []  # domain, protocol, requests
    for domain, requests in _domains(metrics):
        for protocol in left:
            count = min(requests, left[protocol])
            if count:
                cells.append((domain, protocol, count))
                left[protocol] -= count
                requests -= count
    failures = _shares(int(metrics["fail"]), [count for _, _, count in cells])
    sizes = _shares(
        int(metrics["bytes_transferred"]), [count if protocol == "fetch" else 0 for _, protocol, count in cells]
    )
    traffic: dict[str, dict[str, dict[str, int]]] = {}
    for (domain, protocol, count), failed, size in zip(cells, failures, sizes, strict=True):
        calls = {"requests": count, "failures": failed, "bytes": size}
        traffic.setdefault(domain, {})[protocol] = {
            name: number for name, number in calls.items() if number or name == "requests"
        }
    return traffic


def _domains(metrics: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return the domains with their requests: the listed ones, and made-up ones that stay below the top 20.

    Raises:
        CaptureError: There would be too many made-up domains.
    """
    domains = [(row["domain"], int(row["requests"])) for row in metrics["top_domains"] if row["requests"]]
    others = int(metrics["total"]) - sum(requests for _, requests in domains)
    if not others:
        return domains
    lowest = domains[-1][1]
    most = max(1, lowest - 1)  # with as many requests as the last row, the name decides on the rank
    number = -(-others // most)
    if number > MAX_OTHERS:
        raise CaptureError(
            f"the response has {others} requests of domains below the top {TOP_DOMAINS}, each with at most {most}; "
            f"a deployment file can have {MAX_OTHERS} such domains, not {number}"
        )
    names = {domain for domain, _ in domains}
    last = max(domain for domain, requests in domains if requests == lowest)
    prefix = "other" if most < lowest and not any(name.startswith("other") for name in names) else f"{last}.other"
    return domains + [(f"{prefix}-{place + 1}.invalid", min(most, others - place * most)) for place in range(number)]


def _shares(amount: int, weights: list[int]) -> list[int]:
    """Return shares of an amount in proportion to weights; their sum is exact."""
    sums = list(accumulate(weights, initial=0))
    return [amount * after // (sums[-1] or 1) - amount * before // (sums[-1] or 1) for before, after in pairwise(sums)]


def _notes(metrics: Mapping[str, Any], facts: KeyFacts) -> Iterator[str]:
    """Yield the differences between usage metrics and those of the mock, which follow from rounding and from ties.

    Raises:
        CaptureError: Other usage metrics differ.
    """
    served = Account("", MADE_UP_KEY, key_of(facts), now=0.0).usage_metrics(remaining=None)
    by_protocol = {**dict.fromkeys(PROTOCOLS, 0), **metrics["by_protocol"]}
    rows = [{name: row[name] for name in ("domain", "requests")} for row in metrics["top_domains"] if row["requests"]]
    expected = {**metrics, "by_protocol": by_protocol, "top_domains": _ranked(rows)}
    for name in ("total", "success", "fail", "bytes_transferred", "by_protocol", "top_domains"):
        if served[name] != expected[name]:
            raise CaptureError(f"the mock cannot have the same {name}")
    if served["success_rate"] != metrics["success_rate"]:
        yield f"The mock rounds success_rate: {served['success_rate']} instead of {metrics['success_rate']}."
    if len(rows) < len(metrics["top_domains"]):
        yield "The mock lists no domain without requests."
    if _ranked(rows) != rows:
        yield "The mock sorts domains with the same number of requests by name."


def _ranked(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (-row["requests"], row["domain"]))


def _host(text: str) -> str:
    """Return the host of a base URL.

    Raises:
        CaptureError: The text is not a base URL; the error does not quote it, because it can contain a password.
    """
    try:
        parts = urlsplit(text)
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_valid = False
    if not is_valid or "@" in parts.netloc or parts.query or parts.fragment or not text.isascii():
        raise CaptureError("--base-url: is not a base URL; expected http://HOST[:PORT][/PATH] or https://…")
    return parts.hostname or ""


async def _usage_metrics(base_url: str, key: str) -> Any:
    """Return the JSON of one response."""
    operation = load("documented").operation("get_usage")
    assert operation.key_header is not None
    headers = {operation.key_header: key, "Accept": "application/json"}
    try:
        return orjson.loads(await _body(base_url.rstrip("/") + operation.path, headers))
    except CaptureError as error:
        is_too_long = base_url.rstrip("/").endswith(operation.path)
        raise CaptureError(f"{error}; omit {operation.path} from --base-url" if is_too_long else str(error)) from None
    except orjson.JSONDecodeError as error:
        raise CaptureError(f"the response is not valid JSON: {error}") from None
    except TimeoutError:
        raise CaptureError(f"no complete response within {TIMEOUT:g} s") from None
    except (aiohttp.ClientConnectorError, aiohttp.ClientConnectorCertificateError) as error:
        # Their own texts show an object of Python.
        cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error.certificate_error
        raise CaptureError(f"{error.host} port {error.port} cannot be reached: {reason(cause)}") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: the host is not a host name
        raise CaptureError(" ".join(f"the request failed: {error or type(error).__name__}".split())) from None


async def _body(url: str, headers: Mapping[str, str]) -> bytes:
    """Return the body of the response to one request: no redirect is followed, and no request is repeated."""
    is_sent, body = False, bytearray()

    async def send_once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """Keep aiohttp from repeating the request after the server has closed the connection."""
        nonlocal is_sent
        if is_sent:
            raise CaptureError("the server has closed the connection without a response")
        is_sent = True
        return await handler(request)

    limit, tls = aiohttp.ClientTimeout(total=TIMEOUT), ssl.create_default_context()
    async with (
        aiohttp.ClientSession(timeout=limit, middlewares=[send_once]) as session,
        session.get(url, headers=headers, allow_redirects=False, ssl=tls) as response,
    ):
        if response.status != 200:
            raise CaptureError(f"the response has status {response.status}, not 200")
        async for chunk in response.content.iter_chunked(64 * 1024):
            body += chunk
            if len(body) > MAX_BYTES:
                raise CaptureError(f"the response is longer than {MAX_BYTES} bytes")
    return bytes(body)


def _check_secrecy(names: Iterable[str], key: str) -> None:
    """Check that no host or domain contains the key, as where a server echoes it.

    Raises:
        CaptureError: One of them contains it.
    """
    if any(keys_in(name, [key]) for name in names):
        raise CaptureError("the response has the API key in a domain; nothing is printed")
