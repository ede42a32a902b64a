"""Deployments with names that the gate's lists were not made from: each sample is drawn from public lists by a seed.

The first sample served to choose probes. The second one was drawn afterwards, from lists that no probe was chosen by.
"""

from __future__ import annotations

from base64 import b32encode, b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import md5, sha1, sha512
from urllib.parse import parse_qs

from tests.support.search.authentication import at_target, by_method, claim, in_cookie, in_header, in_query, loose
from tests.support.search.mutations import ALWAYS, Mutation, admitting
from tests.support.search.served import PATH, Admit


@dataclass(frozen=True)
class Draw:
    """Names drawn from one public list.

    Attributes:
        kind: The defect that a deployment has with each of the names, one of KINDS.
        source: The repository, and the list in it.
        names: The names, separated by spaces.
    """

    kind: str
    source: str
    names: str


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
SAMPLES: Mapping[str, tuple[Draw, ...]] = {
    "first": (
        Draw(
            "key in the header",
            "streaak/keyhacks, requests of real APIs",
            "API-Key Api_Key Travis-API-Version x-algolia-api-key x-api-token x-pendo-integration-key "
            "X-TOKEN X-TrackerToken",
        ),
        Draw(
            "key in the header",
            "PortSwigger/param-miner, headers",
            "access-token auth http_sm_authdirserver proxy-authentication-required "
            "public-key-pins-report-only sec-websocket-key2 url-strip-auth webodf-session-id "
            "www-authenticate x-alkali-auth-entity",
        ),
        Draw(
            "key in the query parameter",
            "streaak/keyhacks, requests of real APIs",
            "access_key access_token api_key application_key auth_token branch_secret circle-token "
            "client_secret conversationspasskey hapikey Key key private_token token wpe_apikey",
        ),
        Draw(
            "key in the query parameter",
            "PortSwigger/param-miner, params",
            "ddnsdomainkey key2 keydata memberPassWord newPassword passwordgenmethod resetpassword "
            "TxAuthNo",
        ),
        Draw(
            "key in the cookie",
            "PortSwigger/param-miner, params",
            "assignment cleartokens coauthors LoginForm oldpassword passkey sessionId TOKEN",
        ),
        Draw(
            "loopback address in the header",
            "lobuhi/byp4xx, headers",
            "Access-Control-Allow-Origin Client-IP Forwarded-For-Ip Forwarded-Host Proxy-Host Referer "
            "Referrer Uri X-Forward-For X-Forwarded X-Forwarded-By X-Forwarded-For-Original "
            "X-Originating-IP X-Real-IP X-Remote-Addr X-True-IP",
        ),
        Draw(
            "any value of the header",
            "PortSwigger/param-miner, headers",
            "allow auth-password cookie-parse-raw error-3 get-vars x-debug-tracking-id "
            "x-enable-coverage x-foyer-client-environment x-javascript-user-agent x-middleware-invoke",
        ),
        Draw(
            "switch in the query",
            "PortSwigger/param-miner, params",
            "dstnot karma magic massupload proxyport Register smtp spoiler testdbpwd UA",
        ),
        Draw(
            "text after the path",
            "lobuhi/byp4xx, endpaths",
            "%00 %09 %0A %61 ..\\; ? ??? ?debug=1 \\/\\/ true",
        ),
        Draw(
            "text before the path",
            "lobuhi/byp4xx, midpaths",
            "% %23 %2f %2f%23 ..%2f ..;\\\\ ;/ ;/.;.",
        ),
        Draw(
            "method",
            "lobuhi/byp4xx, verbs",
            "ARBITRARY CONNECT get OPTIONS POST propfind REBIND SEARCH search unlink",
        ),
        Draw(
            "encoding of the key",
            "xmendez/wfuzz, encoders",
            "doble_nibble_hex first_nibble_hex hexlify html_hexadecimal md5 second_nibble_hex sha1 "
            "utf8",
        ),
    ),
    "second": (
        Draw(
            "key in the header",
            "trufflesecurity/trufflehog, requests of real APIs",
            "API-Sign Api-Version autopilotapikey DD-API-KEY JupiterOne-Account mmApiKey "
            "pinata_api_key sessionToken Stripo-Api-Auth Travis-API-Version User-Token "
            "X-Algolia-Application-Id X-apikey x-hasura-admin-secret X-Honeycomb-Team "
            "X-Metabase-Session X-NuGet-ApiKey X-Octopus-ApiKey X-OTX-API-KEY X-Query-Key",
        ),
        Draw(
            "key in the query parameter",
            "trufflesecurity/trufflehog, requests of real APIs",
            "api-key api_secret api_token app_key appId appKey auth_key database ex oauth_timestamp "
            "oauth_version organization project sig sn tokenkey user_key user_token UserCode wsapikey",
        ),
        Draw(
            "key in the query parameter",
            "s0md3v/Arjun, medium",
            "appkey confirmPassword dbpassword loginname memberPasswd secret",
        ),
        Draw(
            "key in the cookie",
            "s0md3v/Arjun, medium",
            "AuthChildForm authorName keyword_5 loanSessionID password PHPSESSIONID quietlogin "
            "radiuskey",
        ),
        Draw(
            "loopback address in the header",
            "devploit/nomore403, headers",
            "CF-Connecting-IP Client-IP Forwarded Proxy Proxy-Host Request-Uri True-Client-IP "
            "X-Custom-IP-Authorization X-Forwarded-Server X-Host X-HTTP-Host-Override X-Real-IP "
            "X-Referrer X-Remote-IP X-True-IP X-WAP-Profile",
        ),
        Draw(
            "any value of the header",
            "devploit/nomore403, headers",
            "Client-IP Proxy-Host True-Client-IP X-Client-IP X-Forwarded-Host X-HTTP-DestinationURL "
            "X-Real-Ip X-Remote-IP",
        ),
        Draw(
            "switch in the query",
            "s0md3v/Arjun, small",
            "access app browse cmd filterquery image job leave order organization rows "
            "selected_facets starts_with uid",
        ),
        Draw(
            "text after the path",
            "devploit/nomore403, endpaths",
            "%0A & ..\\;/ .action /..;/ ;.svg ?? ??? ?param",
        ),
        Draw(
            "text before the path",
            "devploit/nomore403, midpaths",
            "%20/ %3b%2f%2e. %3b//%2f../ ..%3B ..; /..;/../ ;/../",
        ),
        Draw(
            "method",
            "devploit/nomore403, httpmethods",
            "LABEL LOCK MOVE OPTIONS POST TRACE TRACK UPDATE VERSION-CONTROL",
        ),
        Draw(
            "encoding of the key",
            "gchq/CyberChef, operations",
            "base32 base64 hexlify md5 rot47 sha1 sha512",
        ),
    ),
}  # fmt: skip


@cache
def held_out(sample: str) -> Mapping[str, Mutation]:
    """Return the deployments of a sample by name."""
    return {mutation.name: mutation for draw in SAMPLES[sample] for mutation in _drawn(sample, draw)}


def _drawn(sample: str, draw: Draw) -> Iterator[Mutation]:
    for name in draw.names.split():
        group = f"held out, {sample} sample, {draw.kind}"
        yield from admitting(group, f"{name} ({draw.source})", KINDS[draw.kind](name), (ALWAYS,))
