"""How an error response explains itself: the member `detail`, and what else its body states."""

from __future__ import annotations

import re
from http import HTTPStatus

import pytest

from contract_tests.metrics.members import PLACEHOLDERS, is_encoded_twice
from contract_tests.support import wrong_keys
from contract_tests.support.disclosure import MASKS
from contract_tests.support.findings import Finding, Findings
from contract_tests.support.gate import MARKER, Gate
from contract_tests.support.rules import ERRORS_GUIDE, advisory
from contract_tests.wire.connection import request_bytes
from contract_tests.wire.internals import KNOWN_EXCEPTIONS
from contract_tests.wire.messages import (
    AUTH_ERRORS,
    ERRORS,
    IDENTIFIER_FIELDS,
    SUCCESSES,
    UNSUSPICIOUS,
    Exchange,
    Exchanges,
    kept_whole,
)
from contract_tests.wire.not_tested import NotTested, or_not_applicable, or_not_tested
from contract_tests.wire.strict_json import objects

EXCEPTION = re.compile(r"\b[A-Z]\w{1,60}(?:Error|Exception)\b")  # such as TenantError
KNOWN_EXCEPTION = re.compile(KNOWN_EXCEPTIONS)
MESSAGE = re.compile(
    r"\bE(?:NOENT|CONNREFUSED|CONNRESET|ACCES|TIMEDOUT|AI_AGAIN)\b|\bgetaddrinfo E"  # Node
    r"|Cannot read propert(?:y ['\"]|(?:y|ies) of (?:undefined|null)\b)|\w\.\w+ is not a function$"
    r"|'NoneType' object|\bobject has no attribute '|\bNo module named '|\binvalid literal for int\(\)"  # Python
    r"|\blist index out of range\b|\bmissing \d+ required positional argument|<[\w.]{1,100} object at 0x"
    r"|[Uu]ndefined (?:(?:array key|index|variable)\b|method [`'])|#<[A-Z][\w:]{0,99}:0x"  # PHP, Ruby
    r"|\bCall to a member function |\bArray to string conversion\b|\w\.php\(\d+\)"
    r"|Object reference not set|\bValue cannot be null\. \(Parameter|\bSequence contains no elements"  # .NET
    r"|\bCannot invoke \"[^\"]{1,200}\" because|\bcalled `(?:Option|Result)::"  # Java, Rust
    r"|nil pointer dereference|\bstrconv\.[A-Z]\w+: parsing|\bcontext deadline exceeded\b|\brpc error: code ="  # Go
    r"|\bsql: no rows in result set|\bpq: |\bpassword authentication failed for user|\bLINE \d+: "  # databases
    r"|\bno such table: |\bSQLITE_[A-Z]|\bInvalid object name '|\bLogin failed for user '|\bMySQL server has gone away"
    r"|\bdatabase is locked\b|\bNOAUTH Authentication|\bFATAL: {1,2}(?:sorry, )?too many |\bCast to ObjectId failed"
    r"|\barn:aws[\w-]*:"  # a resource of AWS
    # A source file in the folders of a container: /app/usage.py
    r"|(?<![\w./:-])/(?:app|code|root|workspace)/[\w./-]{1,200}\.(?:py|rb|[jt]s|go|java|kt|cs|exs?)\b"
)
MEMBERS_OF_EXCEPTIONS = {"exception", "stack", "stacktrace", "stack_trace", "traceback", "env", "error_class", "sql"}
NAMES_OF_ENVIRONMENTS = {"stack", "env"}
UNFINISHED = re.compile(
    r"(?<!-Key: )(?<!Bearer )(?<!: Token )(?<!: ApiKey )(?<!\?key=)(?<!\?api_key=)"  # an example for the client
    r"(?:(?<![/\w{$])\{\{?\s{0,9}\w{0,99}\s{0,9}\}|\$\{)"  # {}, {{ name }}, ${name}
    r"|(?<!\d)(?<!\d )%[sd]\b|%\(\w{1,99}\)[sd]|%!\w\("  # %s, but not 100 %d; %(name)s, and %!s(MISSING) of Go
    r"|&(?:#\d{2,5}|amp|quot|apos|lt|gt|nbsp);"  # &#39;
    r"|[\ufffd\0-\x08\x0b\x0c\x0e-\x1f]"  # a byte that could not be decoded, the colour of a terminal
    r"|^b['\"]|^\{.*\}$|^\[[\[{'\"].*\]$"  # b'no key', {'error': 'no key'}, ['no key']
    r"|<nil>|\[object Object\]|(?<=[^s]: )(?:None|null|undefined|nil)$"  # "no key: None", but not "scopes: None"
    r"|(?<!\bis )\bundefined$"  # "no key undefined", but not "the key is undefined"
    r"|^[a-z]\w*(?:\.[a-z]\w*)+$"  # errors.auth.missing_key
)
NOT_ASCII = re.compile(r"[^\0-\x7f]+")
NO_CONTENT = PLACEHOLDERS | {"string", "TODO", "FIXME", "OK", "Array", "<nil>", "nil"}
MARKUP = re.compile(r"(?i)</(?:a|b|body|code|div|h\d|html|i|li|p|pre|span|strong|td|tr|ul)>|<(?:br|p)\b[^<>]*>")
VARIABLE = re.compile(r"[0-9a-fA-F-]{8,}|\d+")  # identifiers, times, and other numbers
LONGEST_DETAIL = 500  # characters that are compared
ROUTE = re.compile(r"""(?<![^\s"'(\[])[/^][A-Za-z_][^\s"',)\]]*""")  # /usage or ^usage$
MOST_ROUTES = 3  # paths in the body of an error: its own one, and a link or two
PHRASES = {status.phrase.lower(): status.value for status in HTTPStatus if status >= 400}
STATUSES = range(100, 600)
STATUS = re.compile(r"[1-5][0-9]{2}")
PROBLEM = "application/problem+json"
IDENTIFIERS = {"requestid", "correlationid", "traceid"}
NO_ERROR = re.compile(r"(?i)|none|null|no|ok|[\d.]+ ?%?")  # none, or how many
TEXT_MEMBERS = ("detail", "title", "message", "error")
SUCCESS_MEMBERS = {"success": (True,), "ok": (True,), "error": (False,), "status": ("success", "ok")}
STATUS_MEMBERS = {
    "status": STATUSES,
    "status_code": STATUSES,
    "statusCode": STATUSES,
    "code": {200, *PHRASES.values()},
}


@pytest.fixture
def detailed(journal: Exchanges) -> Exchanges:
    """The errors that have a detail; NotApplicable without any."""
    errors = (each for each in journal if each.status in ERRORS and not each.abridged)
    return list(or_not_applicable((each for each in errors if _text(each)), "no error has a detail"))


@advisory(
    "OWASP Cross Site Scripting Prevention Cheat Sheet: a page contains text of a request only with escaped markup"
)
def test_pages_do_not_contain_markup_of_a_request(journal: Exchanges) -> Findings:
    """A response in HTML SHOULD NOT contain markup of the target of its request."""
    marked = (exchange for exchange in journal if MARKER in exchange.request.target)
    for exchange in kept_whole(or_not_tested(marked, "no target contains markup")):
        if "html" in exchange.header("Content-Type").lower() and MARKER in exchange.body:
            yield Finding("the page contains markup of the request", exchange, actual=MARKER)


@advisory(
    "OWASP Authentication Cheat Sheet: a generic message for each wrong credential",
    repeats=["errors/responses-do-not-disclose-keys"],
    reads=["unknown key"],
)
def test_detail_does_not_depend_on_the_wrong_key(
    gate: Gate, documented_errors: Exchanges, journal: Exchanges
) -> Findings:
    """A response to a wrong key as long as a valid one SHOULD NOT have another `detail` than that to an unknown key.

    Numbers in the texts, such as times and identifiers, may differ, and so may a masked key or one end of it.
    """
    usual = [each for each in documented_errors if each.request.credential == wrong_keys.UNKNOWN and _detail(each)]
    if len(set(map(_detail, usual))) != 1:
        raise NotTested("the responses to one unknown key do not have the same detail")
    known, texts = {"", _detail(usual[0])}, set(map(_text, usual))
    others = (each for each in journal if each.status == usual[0].status and _text(each) not in texts)
    for exchange in others:
        if _is_similar(exchange, gate) and _detail(exchange) not in known:
            expected, actual = (str(each.object["detail"]) for each in (usual[0], exchange))
            problem, first = "detail depends on the wrong key", (usual[0],)
            yield Finding(problem, exchange, related=first, expected=expected, actual=actual)
            return


def _is_similar(exchange: Exchange, gate: Gate) -> bool:
    """Whether a request has a wrong key that is as long as a valid one, and that no firewall suspects."""
    key = exchange.request.credential
    if key is None or key in gate.settings.keys or not UNSUSPICIOUS.fullmatch(key.value):
        return False
    return any(len(key.value) == len(valid.value) for valid in gate.keys)


def _detail(exchange: Exchange) -> str:
    """Return the detail of an error without its numbers and the key of the request, also in part; empty without one."""
    text, key = _text(exchange), exchange.request.credential
    sent = key.value.decode("latin-1") if key else ""
    words = (word for word in (text.replace(sent, "") if sent else text).split() if not _shows_end_of(sent, word))
    return VARIABLE.sub("", " ".join(word for word in words if not any(mask in word for mask in MASKS)))


def _shows_end_of(key: str, word: str) -> bool:
    """Whether a word is the beginning or the end of a key, as in "key ending in 1c"."""
    shown = word.strip("\"'`().,:;")
    return bool(shown) and (key.startswith(shown) or key.endswith(shown))


@advisory(
    f"{ERRORS_GUIDE}: the body is for the client; an exception is for the developer of the server",
    repeats=["errors/responses-do-not-disclose-internals"],
)
def test_errors_do_not_describe_an_exception(journal: Exchanges) -> Findings:
    """The JSON body of an error SHOULD NOT contain the message of an exception, or members for its stack or its class.

    Nor does it contain a statement or a line of code. `detail` SHOULD NOT contain the name of an exception, and no text
    SHOULD contain one of a common language, such as `KeyError`.
    """
    errors = (each for each in journal if each.status in ERRORS and each.is_json and not each.abridged)
    for exchange in or_not_applicable(errors, "no error has a JSON body"):
        members = [member for each in objects(exchange.json.value) for member in each.items()]
        texts = (text for _, text in members if isinstance(text, str))
        matches = (MESSAGE.search(text) or KNOWN_EXCEPTION.search(text) for text in texts)
        described = EXCEPTION.search(_text(exchange)) or next(filter(None, matches), None)
        if described and described[0].encode(errors="replace") not in request_bytes(exchange.request):
            yield Finding("the body describes an exception", exchange, actual=described[0])
        elif names := sorted(name for name, value in members if _is_of_an_exception(name, value)):
            yield Finding("the body has a member for an exception", exchange, actual=names[0])
        elif any(isinstance(each.get("line"), int) and each.get("file") for each in objects(exchange.json.value)):
            yield Finding("the body has members for a line of code", exchange, actual="file, line")


def _is_of_an_exception(name: str, value: object) -> bool:
    """Whether a member describes an exception; `stack` and `env` may also be the name of an environment."""
    is_name = isinstance(value, str) and re.fullmatch(r"[\w-]*", value)
    return bool(value) and name.lower() in MEMBERS_OF_EXCEPTIONS - (NAMES_OF_ENVIRONMENTS if is_name else set())


@advisory(f"{ERRORS_GUIDE}: the body is JSON with a detail text; a client shows it as it is")
def test_detail_is_plain_text(detailed: Exchanges) -> Findings:
    """The `detail` of an error SHOULD be finished text: it contains a word and no HTML, and is encoded once.

    An unfilled template, an escape, and the form of a value in a program are not finished text. Nor are `string`,
    `TODO`, `OK` and a number alone.
    """
    for exchange in detailed:
        text = _text(exchange)
        if MARKUP.search(text):
            problem = "the detail contains HTML"
        elif not re.search(r"[^\W\d_]", text) or text in NO_CONTENT:
            problem = "the detail contains no word"
        elif is_encoded_twice(text) and not any(_was_sent(part, exchange) for part in NOT_ASCII.findall(text)):
            problem = "the detail was encoded twice"
        elif (part := UNFINISHED.search(text)) and not _was_sent(part[0], exchange):
            problem = "the detail is not finished text"
        else:
            continue
        yield Finding(problem, exchange, pointer="/detail", actual=text)


def _was_sent(text: str, exchange: Exchange) -> bool:
    """Whether the request contains a text, also as one byte a character, or bytes that a server replaces by U+FFFD."""
    sent = request_bytes(exchange.request)
    is_replaced = text == "\ufffd" and re.search(rb"[\x80-\xff]|%[89A-Fa-f]", sent)
    return any(text.encode(charset, "replace") in sent for charset in ("utf-8", "latin-1")) or bool(is_replaced)


@advisory("RFC 9457, section 3.1.4: detail explains this occurrence of the problem")
def test_detail_fits_the_status(detailed: Exchanges) -> Findings:
    """The `detail` of an error SHOULD NOT be the reason phrase of another status code.

    Nor is that its `title`, its `message` or its `error`.
    """
    for exchange in detailed:
        for name in TEXT_MEMBERS:
            text = exchange.object.get(name)
            phrase = text[:LONGEST_DETAIL].strip(" .!").lower() if isinstance(text, str) else ""
            is_code = name == "error" and text == phrase and phrase.isalpha()  # "locked", of a key
            if not is_code and (status := PHRASES.get(phrase, exchange.status)) != exchange.status:
                problem = f"the {name} is the reason phrase of {status}"
                yield Finding(problem, exchange, pointer=f"/{name}", actual=phrase)


@advisory("RFC 9457, section 3.1.4: detail helps the client to correct the problem")
def test_detail_depends_on_the_error(gate: Gate, detailed: Exchanges) -> Findings:
    """The `detail` of a 404 or 405 at another path, or to another method, SHOULD NOT be that of a 401 or 403."""
    of_keys = {_text(exchange): exchange for exchange in detailed if exchange.status in AUTH_ERRORS}
    others = (each for each in detailed if each.status in {404, 405} and not gate.is_operation(each.request))
    for exchange in or_not_applicable(others, "no response with status 404 or 405 has a detail"):
        if refused := of_keys.get(_text(exchange)):
            problem = f"the detail is that of a {refused.status}"
            yield Finding(problem, exchange, related=(refused,), pointer="/detail", actual=_text(exchange))
            return


@advisory("OWASP API9, improper inventory management: routes that a client does not know are not for it")
def test_errors_do_not_list_routes(journal: Exchanges) -> Findings:
    """A response with status 404 or 405 and a JSON body SHOULD NOT list the routes of the server.

    Up to three paths that the request does not have are accepted, such as that of the documentation.
    """
    refused = (each for each in journal if each.status in {404, 405} and each.is_json and not each.abridged)
    for exchange in or_not_applicable(refused, "no response with status 404 or 405 has a JSON body"):
        texts = " ".join(_words(value) for each in objects(exchange.json.value) for value in each.values())
        sent = exchange.request.target.decode("latin-1")
        routes = {route for route in ROUTE.findall(texts) if route not in sent}
        if len(routes) > MOST_ROUTES:
            yield Finding("the body lists routes", exchange, actual=", ".join(sorted(routes)))


@advisory(
    "RFC 9110, section 15: the status code states the result of a request",
    repeats=["auth/public-operation-needs-no-key"],
)
def test_errors_have_the_status_of_one(gate: Gate, journal: Exchanges) -> Findings:
    """A response with a 2xx status SHOULD NOT have a body that is an error.

    Such a body has an `error` text, or a `message` in `error`, a `success` or `ok` of false, or the status of an error.
    The status may be the text `error`. At another path, a `detail` alone is also an error. Nor SHOULD a response to a
    valid key state that the key is `revoked`.
    """
    for exchange in journal:
        body = exchange.object if exchange.status in SUCCESSES else {}
        is_elsewhere = exchange.request.path != gate.path.encode()
        statuses = [value for name, known in STATUS_MEMBERS.items() if (value := body.get(name)) in [*known]]
        has_failed = False in (value for name in ("success", "ok") if isinstance(value := body.get(name), bool))
        has_failed |= any(status >= 400 for status in statuses) or body.get("status") in ("error", "revoked")
        has_failed |= body.get("revoked") is True
        inner = body.get("error")
        error = inner.get("message") if isinstance(inner, dict) and inner.get("code") not in (0, "0", 200) else inner
        is_error = isinstance(error, str) and not NO_ERROR.fullmatch(error)
        if has_failed or is_error or (is_elsewhere and body.keys() == {"detail"}):
            problem = f"the status is {exchange.status}, and the body is that of an error"
            yield Finding(problem, exchange, actual=exchange.beginning)


@advisory("RFC 9457, section 3.1.2: the member status is that of the response")
def test_status_member_is_the_status(detailed: Exchanges) -> Findings:
    """A member `status`, `status_code` or `code` of an error SHOULD be the status of the response, also within `error`.

    Nor SHOULD `success` or `ok` be true, `error` be false, or `status` be `success` or `ok`. A `code` that is neither
    200 nor the status of an error is one of the application. In a problem document, `status` is a number.
    """
    for exchange in detailed:
        for name, values in SUCCESS_MEMBERS.items():
            stated = exchange.object.get(name)
            if any(stated is value or (isinstance(value, str) and stated == value) for value in values):
                problem = f"the member {name} is that of a success"
                yield Finding(problem, exchange, pointer=f"/{name}", actual=str(stated))
        inner = exchange.object.get("error")
        for members in (exchange.object, inner if isinstance(inner, dict) else {}):
            for name, statuses in STATUS_MEMBERS.items():
                stated = members.get(name)
                number = int(stated) if isinstance(stated, str) and STATUS.fullmatch(stated) else stated
                is_of_another = isinstance(number, int) and number in statuses and number != exchange.status
                is_text = number != stated and name == "status" and exchange.media_type == PROBLEM
                if is_of_another or is_text:
                    problem = f"the member {name} is {'a text' if is_text else 'that of another response'}"
                    yield Finding(problem, exchange, expected=str(exchange.status), actual=str(stated))


@advisory("Google API design, RequestInfo: the identifier finds the request in the logs of the server")
def test_body_and_field_name_one_request(journal: Exchanges) -> Findings:
    """The body of an error SHOULD NOT have another identifier of the request than the header field.

    These are `request_id` or `correlation_id`, in any spelling, and X-Request-Id, Request-Id or X-Correlation-Id.
    A response to a request with such a field is accepted, and so is the value of another field, such as
    X-Kong-Request-Id. An identifier, also a `trace_id`, is not `undefined` or the like.
    """
    errors = (each for each in journal if (each.status or 0) >= 400 and each.is_json and not each.abridged)
    own = (each for each in errors if not any(map(each.request.values, IDENTIFIER_FIELDS)))
    for exchange in own:
        stated = {_identifier(name): exchange.header(name) for name in IDENTIFIER_FIELDS if exchange.values(name)}
        others = {_identifier(value.decode("latin-1")) for _, value in exchange.fields}
        members = ((name, value) for each in objects(exchange.json.value) for name, value in each.items())
        for name, value in members:
            expected = stated.get(_identifier(name), value)
            is_no_identifier = _identifier(name) in IDENTIFIERS and value in [*PLACEHOLDERS]
            if isinstance(value, str) and (
                is_no_identifier or {value, _identifier(value)}.isdisjoint({expected, *others})
            ):
                problem = f"the member {name} is not the identifier of the header field"
                yield Finding(problem, exchange, expected=str(expected), actual=value)
                return


@advisory("RFC 9457, section 3.1.5: instance identifies this occurrence for the client; OWASP API8: no internal paths")
def test_errors_name_the_requested_path(detailed: Exchanges) -> Findings:
    """A member `path` or `instance` of an error SHOULD NOT have a prefix before the path of the request.

    Such a prefix is that of a server behind a proxy, which has rewritten the path.
    """
    for exchange in detailed:
        path = exchange.request.target.partition(b"?")[0].decode("latin-1")
        for name in ("path", "instance"):
            stated = exchange.object.get(name)
            is_a_path = isinstance(stated, str) and re.fullmatch(r"/(?!errors?/|problems?/)[\w.-][\w./-]*", stated)
            if is_a_path and re.fullmatch(r"/\w[\w/-]*", path) and str(stated).removesuffix(path) not in {"", stated}:
                yield Finding(f"the member {name} is an internal path", exchange, expected=path, actual=str(stated))


def _words(value: object) -> str:
    """Return a text, the texts of a list, or the names of an object: inner objects are searched by themselves."""
    if isinstance(value, list):
        return " ".join(each for each in value if isinstance(each, str))
    return " ".join(value) if isinstance(value, dict) else str(value)


def _identifier(name: str) -> str:
    """Return the name of an identifier without the differences of spelling between a field and a member."""
    return name.lower().removeprefix("x-").replace("-", "").replace("_", "")


def _text(exchange: Exchange) -> str:
    """Return the detail of an error, shortened; empty without one."""
    detail = exchange.object.get("detail")
    return detail[:LONGEST_DETAIL] if isinstance(detail, str) else ""
