"""The reasons for error responses: words for the header field Mock-Reason, and sentences for people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

# The reasons of a request without one API key in its header field, and of one whose key has no account.
NO_KEY = ("missing-key", "key-is-repeated", "key-in-authorization", "key-in-query")
UNKNOWN_KEY = ("unknown-key", "key-has-a-scheme", "key-is-quoted", "key-has-spaces")

# The sentence for each reason, except that of a fault; {} is the name of the header field with the API key.
SENTENCES: Mapping[str, str] = {
    "missing-key": "The request has no {}, or an empty one.",
    "key-in-authorization": "The request has Authorization instead of {}.",
    "key-in-query": "The request has an API key in its URL instead of {}.",
    "key-is-repeated": "The request has {} more than once.",
    "unknown-key": "The mock does not have the API key, or a scenario revokes it.",
    "key-is-quoted": "The value of {} is in quotation marks; send the API key alone.",
    "key-has-a-scheme": "The value of {} begins with the name of a scheme, such as Bearer; send the API key alone.",
    "key-has-spaces": "The value of {} contains spaces; send the API key alone.",
    "rate-limit-exceeded": "The bucket of the API key has no token; the client has to wait for Retry-After.",
    "code-override": "An override demands the status code.",
    "invalid-preference": "The value of a preference in Prefer is not valid.",
    "fault-not-applicable": "The fault cannot be applied to the response.",
    "not-found": "The document has no such path.",
    "method-not-allowed": "The document does not have the method for the path.",
    "expectation-failed": "The request expects something else than 100-continue.",
    "request-entity-too-large": "A fault that reads bodies accepts at most one mebibyte.",
    "malformed-request": "The request is not valid HTTP, so the mock does not know its method and its target.",
    "target-is-too-long": "The request target is longer than the mock accepts.",
    "field-is-too-long": "A header field of the request is longer than the mock accepts.",
    "too-many-fields": "The request has more header fields than the mock accepts.",
    "internal-error": "The mock failed; its log has the reason.",
    "state-unavailable": "The shared state is unavailable.",
    "state-unreadable": "The shared state cannot be read.",
    "unknown-name": "Another process has switched on a scenario or fault that this one does not have.",
}

_SCHEME = re.compile(r"(bearer|basic|token|api-?key|x-api-key)[:=]?\s", re.IGNORECASE)
_QUOTED = re.compile(r"([\"'`]).*\1|[\u2018\u201c].*[\u2019\u201d]", re.DOTALL)


@lru_cache(maxsize=256)
def reason_of_unknown(key: str) -> str:
    """Return the reason why the value of the header field is not an API key of the mock."""
    if _SCHEME.match(key):
        return "key-has-a-scheme"
    if _QUOTED.fullmatch(key):
        return "key-is-quoted"
    return "key-has-spaces" if any(map(str.isspace, key)) else "unknown-key"
