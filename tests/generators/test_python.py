"""Clients of Python generators read usage metrics and errors from the mock."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest

from tests.generators.conftest import python_tool, run, succeed, write_level
from usage_contract.levels import Level

KEY = "demo-modest"
LEVELS: tuple[Level, ...] = ("documented", "advisory")

CALLS = """\
import json, sys
from client import AuthenticatedClient, Client
from client.api.usage import get_usage
from client.models import ErrorBody, UsageResponse
url, key = sys.argv[1:]
with AuthenticatedClient(url, key, prefix="", auth_header_name="X-API-Key") as client:
    usage = get_usage.sync(client=client)
with Client(url) as client:
    error = get_usage.sync_detailed(client=client)
assert isinstance(usage, UsageResponse) and isinstance(error.parsed, ErrorBody)
print(json.dumps([usage.total, usage.rate_limit.burst, usage.top_domains[0].domain, error.parsed.detail]))
"""

VALIDATES = """\
import json, sys, urllib.request
from models import UsageResponse
from pydantic import ValidationError
url, key = sys.argv[1:]
with urllib.request.urlopen(urllib.request.Request(url + "/usage", headers={"X-API-Key": key})) as response:
    body = json.load(response)
usage = UsageResponse.model_validate(body)
for wrong in ({"total": "many"}, {"total": -1}, {"success_rate": 101}):
    try:
        UsageResponse.model_validate(body | wrong)
    except ValidationError:
        continue
    raise SystemExit(f"{wrong} is accepted")
print(json.dumps([usage.total, usage.rate_limit.burst, usage.top_domains[0].domain]))
"""


@pytest.mark.parametrize("level", LEVELS)
def test_openapi_python_client_reads_usage_metrics_and_errors(level: Level, mock_url: str, tmp_path: Path) -> None:
    document = write_level(level, tmp_path)
    options = ("--path", document, "--output-path", "client", "--meta", "none", "--fail-on-warning")
    succeed(python_tool("openapi-python-client", "generate", *options, folder=tmp_path))
    printed = succeed(run([sys.executable, "-c", CALLS, mock_url, KEY], tmp_path))
    assert json.loads(printed) == [3459, 10, "www.shopwell.example", "Missing or invalid API key."]


@pytest.mark.parametrize("level", LEVELS)
def test_datamodel_code_generator_makes_five_classes_that_validate(level: Level, mock_url: str, tmp_path: Path) -> None:
    options = ("--input-file-type", "openapi", "--output", "models.py", "--formatters", "builtin")
    document = write_level(level, tmp_path)
    model = "pydantic_v2.BaseModel"
    succeed(
        python_tool("datamodel-codegen", "--input", document, *options, "--output-model-type", model, folder=tmp_path)
    )
    body = ast.parse((tmp_path / "models.py").read_text()).body
    names = [node.name for node in body if isinstance(node, ast.ClassDef)]
    assert names == ["RateLimit", "ByProtocol", "TopDomain", "UsageResponse", "ErrorBody"]
    printed = succeed(run([sys.executable, "-c", VALIDATES, mock_url, KEY], tmp_path))
    assert json.loads(printed) == [3459, 10, "www.shopwell.example"]
