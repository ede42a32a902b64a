"""Keys that no output of a run may contain, and a deployment that echoes them."""

from __future__ import annotations

import base64
from pathlib import Path

from tests.support.gate import http_response

KEY, OTHER = "canary-7h1s-1s-s3cr3t", "0th3r-canary-as-well"


def echo(head: bytes) -> bytes:
    """Return a response that contains the whole request, and the keys in several spellings."""
    spelt = [KEY, KEY[::-1], KEY.upper(), KEY.encode().hex(), base64.b64encode(KEY.encode()).decode(), OTHER]
    body = repr(head.decode("latin-1")) + " ".join(spelt)
    return http_response(body.encode(), fields=f"Content-Type: text/{KEY}\r\nX-Echo: {KEY}\r\nSet-Cookie: {OTHER}")


def leaks(folder: Path) -> list[str]:
    """Return the files below a folder whose name or text contains eight consecutive characters of a key."""
    runs = {key[start : start + 8].lower() for key in (KEY, OTHER) for start in range(len(key) - 7)}
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in files if any(run in (path.name + path.read_text()).lower() for run in runs)]
