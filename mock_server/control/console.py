"""The console page, the contract, and the document of the control API."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from aiohttp import web

from mock_server.control.context import Call, Context, ControlError, Operate, json_response, text_response
from mock_server.control.document import document, document_as_yaml
from usage_contract import ContractError, SourceError, load
from usage_contract.files import read_bytes
from usage_contract.sources import as_yaml

CONSOLE = Path(__file__).with_name("console.html")

_INLINE = r"<{0}(?:\s[^>]*)?>(.*?)</{0}>"


async def get_console(_: Context, __: Call) -> web.Response:
    """Return the console page."""
    page = read_bytes(CONSOLE).decode()
    return text_response(page, "text/html; charset=utf-8", {"Content-Security-Policy": content_security_policy(page)})


async def get_document_as_yaml(_: Context, __: Call) -> web.Response:
    """Return the document as YAML."""
    return text_response(document_as_yaml(), "application/yaml")


async def get_contract(context: Context, call: Call) -> web.Response:
    """Return the effective document that the mock serves, or that of another level."""
    contract, level = context.mock.routes.contract, call.query.get("level")
    if level not in (None, contract.level):
        try:
            contract = load(level)
        except (ContractError, SourceError) as error:
            raise ControlError(409, "invalid-document", str(error)) from None
    return text_response(as_yaml(contract.document), "application/yaml")


async def get_document_as_json(_: Context, __: Call) -> web.Response:
    """Return the document as JSON."""
    return json_response(document())


def content_security_policy(page: str) -> str:
    """Return the strictest Content-Security-Policy under which a page of one file works."""
    allowed = {
        "default-src": "'none'",
        "script-src": _hashes(page, "script"),
        "style-src": _hashes(page, "style"),
        "img-src": "data:",
        "connect-src": "'self'",
        "require-trusted-types-for": "'script'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {sources}" for name, sources in allowed.items())


def _hashes(page: str, element: str) -> str:
    texts = re.findall(_INLINE.format(element), page, re.DOTALL | re.IGNORECASE)
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
    return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"


OPERATIONS: tuple[Operate, ...] = (get_console, get_contract, get_document_as_yaml, get_document_as_json)
