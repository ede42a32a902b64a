"""Writes the examples in openapi/documented.overlay.yaml: `python -m tools.contract_examples`.

They are the responses of the mock with the shipped deployment.
"""

from __future__ import annotations

import io
import shutil
import tempfile
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from mock_server import MockOptions, UsageMock, make_app
from mock_server.web.routes import CONTROL
from tests.support.wire import KEY, Clock, Response, send_request
from usage_contract import Contract, load
from usage_contract.contract import shipped_documents

OVERLAY = shipped_documents() / "documented.overlay.yaml"
DEPLOYMENT, EXAMPLE_KEY = "default", "demo-modest"
MARK = "  # `python -m tools.contract_examples` writes the actions below this line.\n"
SOURCE = f"mock: the response of the deployment `{DEPLOYMENT}` to"
LIMIT_HEADERS = ("Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining")

Action = dict[str, Any]


def overlay() -> str:
    """Return the text of the overlay with current examples."""
    text = io.StringIO()
    yaml = YAML()
    yaml.width, yaml.allow_unicode = 120, True
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump({"actions": list(_actions())}, text)
    actions = text.getvalue().partition("\n")[2]
    return OVERLAY.read_text().partition(MARK)[0] + MARK + textwrap.indent(textwrap.dedent(actions), "  ")


def _contract() -> Contract:
    """Return the contract without examples, whose targets can be missing in a new version."""
    with tempfile.TemporaryDirectory() as copy:
        documents = Path(copy) / "openapi"
        shutil.copytree(shipped_documents(), documents)
        (documents / OVERLAY.name).write_text(OVERLAY.read_text().partition(MARK)[0])
        return load("documented", documents)


def _actions() -> Iterator[Action]:
    contract = _contract()
    with UsageMock(make_app(contract, MockOptions(deployment=DEPLOYMENT), clock=Clock())) as mock:
        ok = send_request(mock.url, headers=[(KEY, EXAMPLE_KEY)])
        no_key = send_request(mock.url)
        unknown = send_request(mock.url, headers=[(KEY, "unknown")])
        overview = send_request(mock.url, "/")
        limited = send_request(mock.url, headers=[(KEY, EXAMPLE_KEY), ("Prefer", "code=429")])
    responses = "$.paths['/usage'].get.responses"
    yield _example(f"{responses}['200']", f"the key {EXAMPLE_KEY}", ok, 200)
    yield _example(f"{responses}['401']", "a request without a key", no_key, 401)
    yield _example(f"{responses}['403']", "an unknown key", unknown, 403)
    yield _example("$.components.responses.RateLimited", f"the key {EXAMPLE_KEY} over its limit", limited, 429)
    headers = contract.operations["get_usage"].responses["429"].headers
    values = {name: limited.headers[name] for name in LIMIT_HEADERS}
    yield {
        "target": "$.components.responses.RateLimited.headers",
        "description": f"{SOURCE} the key {EXAMPLE_KEY} over its limit.",
        "update": {
            name: {"example": int(value) if headers[name]["schema"]["type"] == "number" else value}
            for name, value in values.items()
        },
    }
    yield _example("$.paths['/'].get.responses['200']", "a request for the overview", overview, 200, CONTROL)


def _example(target: str, cause: str, response: Response, status: int, without: Iterable[str] = ()) -> Action:
    assert response.status == status, response
    members = {name: value for name, value in response.json.items() if name not in without}
    return {
        "target": f"{target}.content['application/json']",
        "description": f"{SOURCE} {cause}.",
        "update": {"example": members},
    }


if __name__ == "__main__":
    OVERLAY.write_text(overlay())
