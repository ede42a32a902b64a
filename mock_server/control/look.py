"""The operations that look: the page, the document, the state, what can be switched on, figures."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from operator import itemgetter
from pathlib import Path

from aiohttp import web

from mock_server.control.context import ALWAYS, Call, Context, Operate, as_json, own_version
from mock_server.control.descriptions import description
from mock_server.control.document import PATH, document
from mock_server.control.views import clock_view, state_view
from mock_server.fixtures.deployments import yaml_files
from mock_server.fixtures.faults import FOLDERS
from mock_server.fixtures.library import Library
from usage_contract.sources import read_bytes

CONSOLE = Path(__file__).with_name("console.html")

_INLINE = r"<{0}(?:\s[^>]*)?>(.*?)</{0}>"


async def get_console(_: Context, __: Call) -> web.Response:
    """Answer the console page."""
    page = read_bytes(CONSOLE).decode()
    return _text(page, "text/html; charset=utf-8", {"Content-Security-Policy": policy(page)})


def policy(page: str) -> str:
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


async def get_document_as_yaml(_: Context, __: Call) -> web.Response:
    """Answer the document as it is written."""
    return _text(read_bytes(PATH).decode(), "application/yaml")


async def get_document_as_json(_: Context, __: Call) -> web.Response:
    """Answer the document as JSON."""
    return as_json(document())


async def get_control_health(context: Context, _: Call) -> web.Response:
    """Answer that the mock runs."""
    return as_json({"ok": True, "version": own_version(), "uptime": context.uptime})


async def get_state(context: Context, _: Call) -> web.Response:
    """Answer the state."""
    return as_json(await state_view(context))


async def get_clock(context: Context, _: Call) -> web.Response:
    """Answer the time."""
    return as_json(clock_view(context.simulator.clock))


async def get_metrics(context: Context, _: Call) -> web.Response:
    """Answer figures for Prometheus."""
    from mock_server.control.metrics import CONTENT_TYPE, metrics  # only who scrapes waits for its library

    return _text(metrics(context, await state_view(context)), CONTENT_TYPE)


async def get_scenarios(context: Context, _: Call) -> web.Response:
    """Answer the scenarios."""
    return as_json(await _choices(context.simulator.library, "scenarios"))


async def get_faults(context: Context, _: Call) -> web.Response:
    """Answer the faults and variants."""
    return as_json(await _choices(context.simulator.library, *FOLDERS))


async def _choices(library: Library, *kinds: str) -> list[dict[str, str]]:
    found = []
    for name, path in (file for kind in kinds for file in yaml_files(library.folder / kind).items()):
        found.append({"name": name, "description": description(path)})
        await asyncio.sleep(0)  # there are hundreds of files, and others wait for their answers
    return sorted(found, key=itemgetter("name"))


def _text(text: str, content_type: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(headers={"Content-Type": content_type, **ALWAYS, **(headers or {})}, body=text.encode())


OPERATIONS: tuple[Operate, ...] = (
    get_console,
    get_document_as_yaml,
    get_document_as_json,
    get_control_health,
    get_state,
    get_clock,
    get_metrics,
    get_scenarios,
    get_faults,
)
