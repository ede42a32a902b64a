"""Internals of a server that a response may disclose.

Stack traces, files of the server and complaints of a database; in header fields also SQL, versions and addresses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from ipaddress import ip_address, ip_network

INTERNALS = re.compile(
    # In JSON there are backslashes before quotation marks, and for the ends of lines. Every repetition has a bound:
    # the search must not take longer than the text is long.
    # Python and its libraries
    rb'Traceback \(most recent call last\)|File \\?"[^"]{1,1000}", line \d|\[Errno \d{1,9}\]|/site-packages/'
    rb"|sqlite3\.|psycopg|Using the URLconf defined in|\bDEBUG = True|Werkzeug [Dd]ebugger"
    # A place in a program: at Usage.get(Usage.java:17), at get (/app/usage.js:17:5), /usage.py:17, usage.php line 17
    rb"|\bat [\w.$<>]{1,300}\([\w.]{1,300}:\d{1,9}\)|\n[ \t\r]{1,100}at [^\n]{1,1000}:\d{1,9}:\d|:line \d"
    rb"|(?<!/)/\w{1,60}\.(?:py|rb|js|ts|go|php|java|cs|exs?|kt):\d|\.(?:py|rb|php) line \d|\.php on line \d"
    # Go, Rust, .NET, Elixir, Rails, Symfony and Prisma
    rb"|goroutine \d{1,20} \[|panic: runtime error|panicked at|\bSystem\.[\w.]{1,200}Exception\b|\*\* \(\w{1,60}Error\)"
    rb"|\bRails\.root: |Symfony Exception|\bInvalid `prisma\."
    # Databases and their statements
    rb"|\bSQLSTATE|syntax error at or near|\bORA-\d{5}|error in your SQL syntax|Unclosed quotation mark after"
    rb"|\bMongo\w{0,20}Error\b|\bE11000 duplicate key|duplicate key value violates|\binvalid input syntax for type"
    rb'|\brelation \\?"[\w.]{1,200}\\?"|\bcolumn \\?"[\w.]{1,200}\\?" does not exist'
    rb"|\bTable '[\w-]{1,100}\.[\w.-]{1,100}' doesn't exist|\bUnknown column '[^'\n]{1,200}' in '"
    rb"|\bAccess denied for user '[^'\n]{0,200}'@|\bWRONGTYPE Operation"
    rb"|\bSELECT [^\n]{1,300} FROM [^\n]{1,300} WHERE \w"
    # An address with a password: redis://default:secret@, but not redis://user:password@ or redis://<user>:<password>@
    rb"|\b(?:postgres(?:ql)?|mysql|mariadb|redis|mongodb|amqp)://[^\s/@:]{0,100}:(?![<{\[$]|pass(?:word)?@)[^\s/@]{1,200}@"
    # A file on Windows: D:\\app\\usage.config, but not "A:\u00a0usage.json" in JSON. The home of a user may be that of
    # the client, in instructions.
    rb"|\b[A-Z]:(?!\\{1,2}(?:Users|path)\\|\\u[0-9A-Fa-f]{4})(?:\\{1,2}[\w .()-]{1,60}){1,12}"
    rb"\.(?:cs|vb|aspx?|config|json|xml|dll|exe|py|js|php|log|ini)\b"
    # A file in the folders of a server, and not in those of a web site: /var/lib/usage/keys.db
    rb"|(?<![\w./:-])/(?:etc|srv|var/(?:www|lib|log|task)|usr/(?:local|lib|share|src)|home/\w{1,60}|opt/\w{1,60})"
    rb"/[\w./-]{0,200}\.(?:py|rb|js|php|json|ya?ml|conf|ini|env|pem|key|db|log|sock)\b"
)


JSON_ESCAPE = re.compile(rb"\\(?:u00([2-7][0-9A-Fa-f])|/)")


def unescaped(body: bytes) -> bytes:
    """Return a body in which the JSON escapes of slashes and of other ASCII characters are the characters."""
    return JSON_ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()) if match[1] else b"/", body)


@lru_cache(maxsize=16)  # many responses have the same body; a large body is not kept for long
def internals(body: bytes) -> re.Match[bytes] | None:
    """Find the first sign of internals in a body, also in the texts of JSON."""
    return INTERNALS.search(unescaped(body).replace(b"\\n", b"\n").replace(b"\\t", b"\t"))


# Exceptions of common languages and libraries, and any with the name of its package; InvalidKeyError may be a code.
# The URL of a type of problem may end with such a name.
KNOWN_EXCEPTIONS = (
    r"(?<![/#])\b(?:(?:Key|Value|Type|Attribute|Index|Name|Reference|Runtime|ZeroDivision|Operational|Programming|NoMethod"
    r"|UnboundLocal|ModuleNotFound|UnicodeDecode|JSONDecode|JsonWebToken|MongoServer)Error"
    r"|(?:NullPointer|NullReference|IllegalArgument|IllegalState|ArgumentNull|Runtime|ClassCast|PDO)Exception)\b"
    r"|(?<![/#.-])\b(?:[a-z]\w{0,60}\.){2,8}[A-Z]\w{1,60}(?:Error|Exception)\b"
)
# In a header field, where prose is rare: any SQL statement, and any absolute path of a source file.
FIELD_INTERNALS = re.compile(
    rb"\b(?:SELECT [^\n]{1,300} FROM|INSERT INTO|DELETE FROM|UPDATE [\w.]{1,100} SET) \w"
    rb"|(?:^|(?<=[\s\"'=(,;]))/[\w./-]{1,200}\.(?:py|rb|php|go|java|kt|cs|exs?|ts)\b|%b" % KNOWN_EXCEPTIONS.encode()
)
DEBUG_FIELDS = re.compile(
    r"(?i)x-(?:debug|sql|sourcefiles?$|chromelogger|customer-e-?mail|clockwork-|miniprofiler-|exception)|phpdebugbar-"
)
# Fields of the requests that a proxy sends to its server.
UPSTREAM_FIELDS = re.compile(
    r"(?i)x-(?:consumer-(?:id|username|custom-id)|credential-identifier|authenticated-userid|auth-request-\w+|real-ip"
    r"|forwarded-(?:for|user|email))$|(?:x-)?remote-user$"
)
ORIGINAL_PATH_FIELDS = re.compile(r"(?i)x-(?:original-ur[il]|rewrite-url|envoy-original-path)$")
INTERNAL_PATH = re.compile(rb"(?i)/(?:[\w.-]{1,60}/){0,5}_{0,2}(?:internal|private|backend|upstream)(?:/.*)?")
SERVER_FIELDS = re.compile(r"(?i)x-(?:server|served-by|host|handled-by|machine)(?:-(?:name|id))?$")
# X-Backend, X-Upstream-Addr, X-Served-Node-Id
MACHINE_FIELDS = re.compile(
    r"(?i)x-(?:\w+-)?(?:backend|upstream|pod|hostname|instance|container|node)(?:-(?:server|name|id|host|addr))?$"
)
MACHINE = re.compile(rb"(?i)(?![0-9a-f-]+$)(?=.*[a-z])(?=.*[\d.-]).+")  # neither one word, nor an opaque identifier
URL_FIELDS = re.compile(
    r"(?i)(?:(?:content-)?location|link|refresh|(?:x-)?sourcemap|set-cookie|report.*|content-security-policy.*)$"
)


# A token of the server itself; cookies are for the client.
BEARER_TOKEN = re.compile(rb"(?i:\bbearer) [\w.~+/-]{16,1000}|\beyJ[\w-]{8,1000}\.eyJ[\w-]{8,2000}\.[\w-]{8,1000}")


def internals_in_field(name: str, value: bytes) -> re.Match[bytes] | None:
    """Find a sign of internals, or a token, in a header field; fields with URLs of the web site have none."""
    return None if URL_FIELDS.match(name) else internals(value) or BEARER_TOKEN.search(value)


def details_in_field(name: str, value: bytes) -> re.Match[bytes] | None:
    """Find an SQL statement or the path of a source file in a header field, other than one with URLs.

    A field for debugging, one for the server behind a proxy, or one that names a machine, consists of such details.
    """
    if DEBUG_FIELDS.match(name) or UPSTREAM_FIELDS.match(name):
        return re.match(rb"(?i)(?!(?:0|off|false|no|none|null|-)\s*$).+", value)
    if ORIGINAL_PATH_FIELDS.match(name):
        return INTERNAL_PATH.fullmatch(value)
    if SERVER_FIELDS.match(name) and (match := MACHINE_NAME.fullmatch(value)):
        return match
    if MACHINE_FIELDS.match(name):
        return MACHINE.fullmatch(value)
    return None if URL_FIELDS.match(name) else FIELD_INTERNALS.search(value)


# Fields that name software. Via also has the versions of protocols.
SOFTWARE_FIELDS = frozenset(
    {"server", "x-powered-by", "x-aspnet-version", "x-aspnetmvc-version", "x-generator", "x-powered-cms"}
    | {"x-owa-version", "microsoftsharepointteamservices", "x-php-version", "x-framework", "x-app-server"}
    | {"x-amzn-remapped-server", "x-server-powered-by", "powered-by", "x-runtime-version", "x-mod-pagespeed"}
)
# nginx/1.25.3, in the page or detail of an error that a server made. Plans and languages of clients have similar names.
SOFTWARE = re.compile(
    rb"(?i)(?<![\w/.-])(?:(?:nginx|openresty|apache(?:-coyote| tomcat)?|microsoft-iis|jetty|wildfly|lighttpd|caddy"
    rb"|werkzeug|gunicorn|uvicorn|aiohttp|kestrel|phusion passenger)[/ ]"
    rb"|(?:express|php|python|openssl|kong|varnish|envoy|squid|traefik|haproxy|tomcat)/"
    rb"|jetty\(|asp\.net version:)v?\d{1,3}\.\d[\w.-]{0,20}"
)
VERSION = re.compile(rb"(?<![\d.])\d{1,9}\.\d{1,9}[\w.-]{0,100}")  # a major version alone is not needlessly detailed

# RFC 1918, RFC 4193 and loopback addresses. Documentation and link-local addresses do not lead to a server.
PRIVATE_NETWORKS = tuple(
    map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "fc00::/7", "::1/128"))
)
# 10.0.0.7:8080, fd00::7, localhost, db.internal, usage.c9akciq32.rds.amazonaws.com, redis:6379.
# A number behind the name of a product and a slash is a version, and 10.0.0.0/8 is a network.
ADDRESS = re.compile(
    rb"(?i)(?:(?P<ip>(?<![\w.-])(?<!\w/)(?:\d{1,3}\.){3}\d{1,3}(?!\.?\w|/\d{1,2}(?![\w/.-]))"
    rb"|(?<![\w:.])(?:f[cd][0-9a-f]{2}:|::1)[0-9a-f:]{0,40}(?![\w:]))"
    rb"|(?<![\w.-])(?P<name>localhost"
    rb"|(?:[a-z0-9][\w-]{0,62}\.){1,10}(?:internal|local|localdomain|(?:rds|cache)\.amazonaws\.com)"
    rb"|internal-[\w-]{1,80}\.[\w-]{1,30}\.elb\.amazonaws\.com"
    rb"|(?<=//)(?:[a-z0-9][\w-]{0,62}\.){1,10}(?:svc|corp|lan|intranet)"
    # A host of one word is known to its own network only; some words stand for the host of the reader.
    rb"|(?:(?<=http://)|(?<=https://))(?!(?:your|my|base[-_]?url)|(?:api|docs|domain|errors?|example|foo|host|hostname|problems?|proxy|server|site)\b)"
    rb"[a-z][\w-]{0,62}(?=[/?#\s\"'<>,;)]|:\d|$)"
    rb"|(?!(?:api|code|domain|error|example|host|hostname|id|key|no|number|port|usage)\b)[a-z][\w-]{0,62}(?=:(?:1433|1521|3306|5432|5672|6379|8080|9092|9200|11211|27017)\b))(?![.-]?\w|\s*=))"
    rb"(?:\]?:(?P<port>\d{1,5})\b)?"
)
# The cookie of a load balancer: the address and the port of a server, each in the order of a little-endian machine.
BIG_IP = re.compile(rb"BIGipServer[^=;]{0,100}=(\d{1,10})\.(\d{1,5})\.0000")
MACHINE_MEMBER = re.compile(
    r"(?i)(?:server|upstream|backend|node|pod|instance|container|machine)(?:_?(?:ip|addr(?:ess)?|host|name|id))?"
    r"|host(?:_?name)?"
)
# An address or an instance of AWS, a pod of Kubernetes, or one of several servers; sites of a CDN have other names.
MACHINE_NAME = re.compile(
    rb"(?i)ip(?:-\d{1,3}){4}(?:\.[\w.-]{1,100})?|i-[0-9a-f]{8,17}|[a-z][\w-]{0,60}-[0-9a-f]{8,10}-[b-df-hj-np-tv-xz2-9]{5}"
    rb"|(?:[a-z]{1,20}-)?(?:web|app|srv|server|vm|worker|backend|node)[-.]?\d{1,4}"
)
INTERNAL_NAME = re.compile(r"localhost|.*\.(?:internal|localhost|local|localdomain|lan|svc|home\.arpa)")
# Fields about pages that a browser may contact, and about the version of an API.
OTHER_FIELDS = re.compile(
    r"(?i)access-control-|timing-allow-origin|content-security-policy|permissions-policy|.*version"
)


def described_software(name: str, value: bytes) -> bytes:
    """Return what a header field states about the server's software, empty if it states little.

    That is a version with more than a major number, or all of X-Powered-By, which has no other purpose.
    """
    if name.lower() == "x-powered-by":
        return value
    if name.lower() == "via":
        match = SOFTWARE.search(value)
    else:
        match = VERSION.search(value) if name.lower() in SOFTWARE_FIELDS else None
    return match[0] if match else b""


def private_addresses(name: str, value: bytes) -> Iterator[tuple[str, str]]:
    """Yield the private IP addresses and internal hosts in a header field, each with its port, or an empty text."""
    if OTHER_FIELDS.match(name):
        return
    for match in ADDRESS.finditer(value):
        if match["name"] or is_private(match["ip"].decode()):
            yield (match["name"] or match["ip"]).decode(), (match["port"] or b"").decode()
    if cookie := BIG_IP.match(value):
        address = ".".join(map(str, int(cookie[1]).to_bytes(5, "little")[:4]))
        port = int.from_bytes(int(cookie[2]).to_bytes(3, "little")[:2], "big")
        if is_private(address):
            yield address, str(port)


def is_machine(name: str, value: object) -> bool:
    """Whether a member of a body names the machine that made it, by a private address or a typical name."""
    if not isinstance(value, str) or not MACHINE_MEMBER.fullmatch(name):
        return False
    return is_private(value) or bool(MACHINE_NAME.fullmatch(value.encode(errors="replace")))


def is_private(text: str) -> bool:
    """Whether the text is an IP address of a private network."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return any(address in network for network in PRIVATE_NETWORKS)


def is_internal(host: str) -> bool:
    """Whether a host is one of an internal network, by its name or by an address."""
    with suppress(ValueError):
        return is_private(host) or ip_address(host).is_link_local or ip_address(host).is_unspecified
    return bool(INTERNAL_NAME.fullmatch(host.lower()))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or by an address."""
    try:
        return host.lower() == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
