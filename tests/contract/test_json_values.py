"""Documents are read as JSON values, without the additional types of YAML."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mock_server import make_app
from usage_contract import Contract, SourceError, load, read_document
from usage_contract.contract import shipped_documents

# Extensions, a date as version, a media type without schema, and a percent-encoded reference.
# Schema names with a space and status codes without quotes are not valid, but common.
UNUSUAL = """\
openapi: 3.1.0
info: {title: Surprises, version: 2026-11-28, x-audience: partners}
x-owner: the widget team
paths:
  x-note: {$ref: nowhere, get: a text}
  /usage:
    x-internal: true
    get:
      operationId: get_usage
      security: [{ApiKeyHeader: []}]
      responses:
        x-source: {$ref: nowhere}
        200:
          description: Usage metrics.
          headers: {x-trace: {$ref: '#/components/headers/x-trace'}}
          content:
            application/json: {schema: {$ref: '#/components/schemas/Usage%20Response'}, x-note: {$ref: nowhere}}
        401:
          description: Missing key.
          content: {application/json: {}}
        4XX: {$ref: '#/components/responses/Any', description: Any other error.}
        default: {$ref: '#/components/responses/Any'}
components:
  headers: {x-trace: {schema: {$ref: '#/components/schemas/Usage~1Trace'}}}
  responses: {Any: {description: Any error.}}
  securitySchemes: {ApiKeyHeader: {type: apiKey, in: header, name: X-API-Key}}
  schemas:
    Usage/Trace: {type: string}
    Usage Response:
      type: object
      properties: {total: {type: integer}, $ref: {type: string}, example: {$ref: '#/components/schemas/Usage~1Trace'}}
      examples: [{at: 12:30:00, day: 2026-11-28, $ref: nowhere}]
"""


@pytest.fixture
def unusual(tmp_path: Path) -> Contract:
    (tmp_path / "openapi.yaml").write_text(UNUSUAL)
    return load("specified", tmp_path)


def test_dates_are_texts(unusual: Contract) -> None:
    assert unusual.document["info"]["version"] == "2026-11-28"
    (example,) = unusual.document["components"]["schemas"]["Usage Response"]["examples"]
    assert example == {"at": "12:30:00", "day": "2026-11-28", "$ref": "nowhere"}


def test_status_codes_without_quotes_are_texts_and_extensions_are_skipped(unusual: Contract) -> None:
    operation = unusual.operations["get_usage"]
    assert list(unusual.operations) == ["get_usage"]
    assert list(operation.responses) == ["200", "401", "4XX", "default"]
    assert list(operation.responses["200"].headers) == ["x-trace"]  # a header's name, not an extension


def test_a_media_type_without_schema_accepts_any_value(unusual: Contract) -> None:
    response = unusual.operations["get_usage"].responses["401"]
    assert response.media_type == "application/json"
    assert (response.schema or {}).keys() == {"components", "paths"}


def test_percent_encoded_and_escaped_references_resolve(unusual: Contract) -> None:
    ok = unusual.operations["get_usage"].responses["200"]
    assert list((ok.schema or {})["properties"]) == ["total", "$ref", "example"]
    assert ok.headers["x-trace"]["schema"]["type"] == "string"


def test_a_reference_can_override_a_description(unusual: Contract) -> None:
    responses = unusual.operations["get_usage"].responses
    assert (responses["4XX"].description, responses["default"].description) == ("Any other error.", "Any error.")


def test_an_empty_security_requirement_permits_requests_without_a_key(tmp_path: Path) -> None:
    (tmp_path / "openapi.yaml").write_text(UNUSUAL.replace("[{ApiKeyHeader: []}]", "[{}, {ApiKeyHeader: []}]"))
    assert load("specified", tmp_path).operations["get_usage"].key_header is None


def test_the_siblings_of_a_reference_apply_as_well(tmp_path: Path) -> None:
    text = UNUSUAL.replace("Usage%20Response'}", "Usage%20Response', required: [total]}")
    (tmp_path / "openapi.yaml").write_text(text)
    schema = load("specified", tmp_path).operations["get_usage"].responses["200"].schema or {}
    assert (list(schema["properties"]), schema["allOf"]) == (["total", "$ref", "example"], [{"required": ["total"]}])


def test_the_mock_serves_documents_with_ranges_of_status_codes(tmp_path: Path) -> None:
    documents = tmp_path / "openapi"
    shutil.copytree(shipped_documents(), documents)
    path = documents / "openapi.yaml"
    path.write_text(path.read_text().replace("        '403':\n", "        5XX: {description: Any.}\n        '403':\n"))
    make_app(load("documented", documents))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: .inf\n", "1 /a: is inf, which JSON lacks; use a finite number"),
        ("a:\n- 1e999\n", "2 /a/0: is inf, which JSON lacks"),
        ("a: !!binary aGk=\n", "1 /a: is a bytes, which JSON lacks; use a text"),
        ("a: !!set {b}\n", "1 /a: is a set, which JSON lacks"),
        ("? [a]\n: 1\n", "1: has a name that is not a text"),
        ('a: "\\ud800"\n', "1 /a: contains half of a surrogate pair"),
        ("a: !own 1\n", "1: is not valid YAML: could not determine a constructor for the tag '!own'"),
        ("200: 1\n'200': 2\n", "2 /200: repeats the name of line 1"),
    ],
)
def test_a_value_that_json_lacks_is_an_error_with_its_position(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(SourceError) as error:
        read_document(path)
    assert str(error.value).startswith(f"{path}:{problem}")


def test_names_are_the_texts_as_written_and_merge_keys_are_merged(tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    path.write_text("a: &a {1.0: 1, true: 2, ~: 3, 0x1f: 4, 2026-11-28: 5}\nb:\n  <<: *a\n  z: 6\n")
    names = {"1.0": 1, "true": 2, "~": 3, "0x1f": 4, "2026-11-28": 5}
    assert read_document(path).data == {"a": names, "b": {**names, "z": 6}}
