"""Responses of programs in front of a deployment: HTML pages, and bot challenges."""

from __future__ import annotations

import re

from contract_tests.wire.messages import Exchange

LOOKED_AT = 4096  # bytes of a body
PAGE = re.compile(rb"\s*(<!--.*?-->\s*)*<(!doctype html|html)\b", re.IGNORECASE | re.DOTALL)
CHALLENGE = re.compile(r"just a moment|attention required|checking your browser|captcha|are you a human|bot detection")


def is_page(exchange: Exchange) -> bool:
    """Whether the body is an HTML page, which an API does not send."""
    is_html = exchange.media_type in {"text/html", "application/xhtml+xml"}
    return is_html and PAGE.match(exchange.body[:LOOKED_AT]) is not None


def is_challenge(exchange: Exchange) -> bool:
    """Whether a bot challenge was sent in front of the deployment."""
    text = exchange.body[:LOOKED_AT].decode("utf-8", "replace").lower()
    is_client_error_page = is_page(exchange) and (exchange.status or 0) < 500
    return exchange.header("cf-mitigated") == "challenge" or (
        is_client_error_page and CHALLENGE.search(text) is not None
    )
