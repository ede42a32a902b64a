"""Mutations of bodies: texts that are not well-formed, and errors that disclose keys or internals."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from mock_server.web.raw_response import RawMessage
from tests.support.search.mutations import (
    ERROR_CONDITIONS,
    OK_CONDITIONS,
    OTHER_KEYS,
    Mutation,
    changing,
    changing_refusals,
    is_ok,
)
from tests.support.search.served import Received, with_fields, with_json

Text = Callable[[bytes], bytes]
TEXTS: dict[str, Text] = {
    "empty": lambda _: b"",
    "null": lambda _: b"null",
    "a byte order mark before it": lambda body: b"\xef\xbb\xbf" + body,
    "in UTF-16": lambda body: body.decode().encode("utf-16"),
    "in UTF-32": lambda body: body.decode().encode("utf-32"),
    "in a list": lambda body: b"[" + body + b"]",
    "in a string": lambda body: json.dumps(body.decode()).encode(),
    "in JSONP": lambda body: b"callback(" + body + b");",
    "after an XSSI prefix": lambda body: b")]}',\n" + body,
    "twice": lambda body: body * 2,
    "with a log line": lambda body: body + b"\n2027-01-15 INFO done",
    "with a PHP notice before it": lambda body: b"<br />\n<b>Notice</b>: undefined" + body,
    "with a trailing comma": lambda body: body[:-1] + b",}",
    "with a comment": lambda body: body[:-1] + b"/* end */}",
    "with apostrophes": lambda body: body.replace(b'"', b"'"),
    "with NaN": lambda body: body[:-1] + b',"x":NaN}',
    "with Infinity": lambda body: body[:-1] + b',"x":-Infinity}',
    "with None": lambda body: body[:-1] + b',"x":None}',
    "with a leading plus sign": lambda body: body[:-1] + b',"x":+1}',
    "with a leading zero": lambda body: body[:-1] + b',"x":01}',
    "with a hexadecimal number": lambda body: body[:-1] + b',"x":0x1F}',
    "with a leading dot": lambda body: body[:-1] + b',"x":.5}',
    "with a trailing dot": lambda body: body[:-1] + b',"x":5.}',
    "with a thousands separator": lambda body: body[:-1] + b',"x":1,000}',
    "with an underscore in a number": lambda body: body[:-1] + b',"x":1_000}',
    "with a repeated member": lambda body: body[:-1] + b',"total":1}',
    "with a member without quotation marks": lambda body: body[:-1] + b",x:1}",
    "with a raw line break": lambda body: body[:-1] + b',"x":"a\nb"}',
    "with a raw tab": lambda body: body[:-1] + b',"x":"a\tb"}',
    "with an invalid escape": lambda body: body[:-1] + b',"x":"\\x41"}',
    "with a lone surrogate": lambda body: body[:-1] + b',"x":"\\ud800"}',
    "with invalid UTF-8": lambda body: body[:-1] + b',"x":"\xff"}',
    "with Latin-1": lambda body: body[:-1] + b',"x":"caf\xe9"}',
    "with an overlong encoding": lambda body: body[:-1] + b',"x":"\xc0\xaf"}',
    "with a NUL at the end": lambda body: body + b"\0",
    "with a form feed": lambda body: b"\x0c" + body,
    "without its last brace": lambda body: body[:-1],
    "without its first brace": lambda body: body[1:],
    "without its quotation marks": lambda body: body.replace(b'"', b""),
    "as YAML": lambda _: b"total: 1\n",
    "as XML": lambda _: b"<usage/>",
    "as HTML": lambda _: b"<!doctype html><p>usage</p>",
    "compressed and unlabelled": gzip.compress,
    "deflated and unlabelled": zlib.compress,
    "with very deep nesting": lambda body: body[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "with a huge number": lambda body: body[:-1] + b',"total":1e400}',
    "with a JSON-lines second line": lambda body: body + b'\n{"total":1}',
}
TEXTS_OF_ERRORS = {
    name: text for name, text in TEXTS.items() if name not in {"with a huge number", "with a repeated member"}
} | {
    "without detail": lambda _: b'{"message":"no"}',
    "with an empty detail": lambda _: b'{"detail":""}',
    "with a detail of null": lambda _: b'{"detail":null}',
    "with a detail that is a list": lambda _: b'{"detail":[{"msg":"no"}]}',
    "with a detail that is an object": lambda _: b'{"detail":{"msg":"no"}}',
    "with a detail that is a number": lambda _: b'{"detail":401}',
    "with a nested detail": lambda _: b'{"error":{"detail":"no"}}',
    "with Detail in capitals": lambda _: b'{"Detail":"no"}',
    "as a text": lambda _: b'"no"',
    "as false": lambda _: b"false",
}
DISCLOSURES: dict[str, Callable[[Received], str]] = {
    "the main key": lambda received: received.keys[0],
    "the second key": lambda received: received.keys[1],
    "all keys": lambda received: ", ".join(received.keys),
    "eight characters of the main key": lambda received: received.keys[0][:8],
    "the main key in base64": lambda received: base64.b64encode(received.keys[0].encode()).decode(),
    "the main key in hexadecimal": lambda received: received.keys[0].encode().hex(),
    "the main key in capitals": lambda received: received.keys[0].upper(),
    "the main key percent-encoded": lambda received: "".join(f"%{ord(letter):02x}" for letter in received.keys[0]),
    "a Python traceback": lambda _: (
        'Traceback (most recent call last):\n  File "/app/main.py", line 3, in get\nKeyError: 1'
    ),
    "a Java stack trace": lambda _: "java.lang.NullPointerException\n\tat com.example.Usage.get(Usage.java:42)",
    "a Node stack trace": lambda _: "TypeError: x\n    at get (/srv/app/usage.js:10:5)",
    "a Go panic": lambda _: "panic: runtime error\ngoroutine 1 [running]:\nmain.main()\n\t/app/main.go:3 +0x1d",
    "a Ruby backtrace": lambda _: "app/usage.rb:12:in `get': undefined method (NoMethodError)",
    "a PHP error": lambda _: "Fatal error: Uncaught Error in /var/www/html/usage.php:12",
    "a .NET stack trace": lambda _: (
        "System.NullReferenceException: x\n   at App.Usage.Get() in C:\\src\\Usage.cs:line 12"
    ),
    "a Rust panic": lambda _: (
        "thread 'main' panicked at src/main.rs:10:5:\ncalled `Option::unwrap()` on a `None` value"
    ),
    "an Elixir error": lambda _: (
        "** (KeyError) key :id not found\n    (app 0.1.0) lib/app/usage.ex:12: App.Usage.get/1"
    ),
    "a PostgreSQL error": lambda _: (
        'psycopg2.errors.UndefinedTable: relation "api_keys" does not exist\nLINE 1: SELECT'
    ),
    "a MySQL error": lambda _: (
        "You have an error in your SQL syntax; check the manual that corresponds to your MySQL server"
    ),
    "an SQLite error": lambda _: "sqlite3.OperationalError: no such table: api_keys",
    "an Oracle error": lambda _: "ORA-00942: table or view does not exist",
    "an SQL Server error": lambda _: "Unclosed quotation mark after the character string 'x'.",
    "a MongoDB error": lambda _: "MongoServerError: E11000 duplicate key error collection: prod.api_keys",
    "an SQL statement": lambda _: "SELECT * FROM api_keys WHERE api_key = 'x'",
    "a file of the server": lambda _: "cannot read /etc/usage/keys.json",
    "an environment": lambda _: "DATABASE_URL=postgres://app:s3cret@db.internal:5432/app",
}


def bodies() -> Iterator[Mutation]:
    """Yield deployments with bodies that are not well-formed."""
    conditions = (*OK_CONDITIONS, OTHER_KEYS)
    for name, text in TEXTS.items():
        yield from changing("schema, the body of 200", name, partial(_rewritten, text), conditions, applies=is_ok)
    for name, text in TEXTS_OF_ERRORS.items():
        yield from changing_refusals("errors, the body of {}", name, partial(_rewritten, text))


def _rewritten(text: Text, message: RawMessage, _: Received) -> RawMessage:
    return replace(message, body=text(message.body))


def disclosures() -> Iterator[Mutation]:
    """Yield deployments that disclose a key or their internals in an error."""
    for name, text_of in DISCLOSURES.items():
        kind = "a key" if "key" in name else "internals"
        changes = {"body": partial(_in_detail, text_of)}
        if kind == "a key":
            changes["header"] = partial(_in_a_field, text_of)
        for status in (401, 403, 404, 405):
            for where, change in changes.items():
                yield from changing(
                    f"errors, a {status} discloses {kind}",
                    f"{name} in the {where}",
                    change,
                    ERROR_CONDITIONS[:2],
                    applies=partial(_has_status, status),
                )


def _has_status(status: int, message: RawMessage, _: Received) -> bool:
    return message.status == status


def _in_detail(text_of: Callable[[Received], str], message: RawMessage, received: Received) -> RawMessage:
    return with_json(message, {"detail": f"The request is refused: {text_of(received)}"})


def _in_a_field(text_of: Callable[[Received], str], message: RawMessage, received: Received) -> RawMessage:
    return with_fields(message, {"X-Trace": text_of(received)})
