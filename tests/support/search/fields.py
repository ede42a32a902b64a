"""Mutations of header fields: values that break a promise of RFC 9110."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

from mock_server.web.raw_response import RawMessage
from tests.support.search.mutations import (
    ERROR_CONDITIONS,
    OK_CONDITIONS,
    Mutation,
    changing,
    changing_refusals,
    having_status,
    is_ok,
)
from tests.support.search.served import Received, named, setting

# Header fields that break a promise of RFC 9110 in any response.
FIELDS: dict[str, Mapping[str, str | None]] = {
    "Date in RFC 850 form": named(Date="Sunday, 06-Nov-94 08:49:37 GMT"),
    "Date in asctime form": named(Date="Sun Nov  6 08:49:37 1994"),
    "Date in ISO 8601": named(Date="2027-01-15T08:00:00Z"),
    "Date with UTC": named(Date="Fri, 15 Jan 2027 08:00:00 UTC"),
    "Date with an offset": named(Date="Fri, 15 Jan 2027 08:00:00 +0000"),
    "Date as a number": named(Date="1800000000"),
    "Date in German": named(Date="Fr, 15 Jan 2027 08:00:00 GMT"),
    "Date without the day": named(Date="15 Jan 2027 08:00:00 GMT"),
    "Date without seconds": named(Date="Fri, 15 Jan 2027 08:00 GMT"),
    "Date with a one-digit hour": named(Date="Fri, 15 Jan 2027 8:00:00 GMT"),
    "Date empty": named(Date=""),
    "Last-Modified in ISO 8601": named(Last_Modified="2027-01-15T08:00:00Z"),
    "Last-Modified as a number": named(Last_Modified="1700000000"),
    "Last-Modified with an offset": named(Last_Modified="Fri, 15 Jan 2027 08:00:00 +0100"),
    "Content-Encoding gzip of a plain body": named(Content_Encoding="gzip"),
    "Content-Encoding br of a plain body": named(Content_Encoding="br"),
    "Content-Encoding zstd of a plain body": named(Content_Encoding="zstd"),
    "Content-Encoding deflate of a plain body": named(Content_Encoding="deflate"),
    "Content-Encoding compress of a plain body": named(Content_Encoding="compress"),
    "Content-Encoding utf-8": named(Content_Encoding="utf-8"),
    "Content-Encoding none": named(Content_Encoding="none"),
    "Content-Encoding aws-chunked": named(Content_Encoding="aws-chunked"),
}
TYPES: dict[str, Mapping[str, str | None]] = {
    f"Content-Type {value!r}": named(Content_Type=value)
    for value in (
        "text/plain", "text/html", "application/xml", "application/octet-stream", "text/json", "json", "",
        "application/x-json", "application/javascript", "application/json;charset=latin-1", "multipart/form-data",
        "application/json; charset=utf-16", "application/json, application/json", "application/jsonp", "*/*", None,
        "application/json; charset=ascii", "binary/octet-stream", "application/json; charset=iso-8859-1", "text/x-json",
    )
}  # fmt: skip
TAGS: dict[str, Mapping[str, str | None]] = {
    "ETag without quotation marks": named(ETag="abc"),
    "ETag with apostrophes": named(ETag="'abc'"),
    "ETag with a lower-case w": named(ETag='w/"abc"'),
    "ETag with half a quotation mark": named(ETag='"abc'),
    "ETag with a space": named(ETag='"a b"'),
    "ETag empty": named(ETag=""),
    "ETag W alone": named(ETag="W/abc"),
    "ETag with -gzip outside": named(ETag='"abc"-gzip'),
    "strong ETag of all bodies": named(ETag='"always"'),
}
TWICE = ("Date", "Content-Type", "ETag", "Location", "Retry-After", "Last-Modified")


def fields() -> Iterator[Mutation]:
    """Yield deployments with header fields that are wrong."""
    everything: dict[str, Mapping[str, str | None]] = {**FIELDS, **TYPES, **TAGS}
    for name, changed in everything.items():
        change = setting(changed)
        yield from changing("http, the header of 200", name, change, OK_CONDITIONS, applies=is_ok)
        if name not in TAGS:
            yield from changing_refusals("http, the header of {}", name, change)
    for name in TWICE:
        repeated, operator = partial(_repeated, name), f"{name} twice"
        yield from changing("http, the header of 200", operator, repeated, OK_CONDITIONS, applies=is_ok)
        yield from changing("http, the header of 401", operator, repeated, ERROR_CONDITIONS, applies=having_status(401))


def _repeated(name: str, message: RawMessage, _: Received) -> RawMessage:
    value = dict(message.headers).get(name, DATES.get(name, "1"))
    return replace(message, headers=(*message.headers, (name, value), (name, value)))


DATES = {"ETag": 'W/"1"', "Last-Modified": "Fri, 01 Jan 2021 00:00:00 GMT", "Location": "/"}
