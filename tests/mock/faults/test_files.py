"""Fault files: the messages for invalid ones, and the validity of the shipped ones."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from mock_server import FixtureError, UsageMock, load_deployment, load_fault, make_app
from mock_server.command.cli import main
from mock_server.fixtures.faults import FOLDERS, Fault, fault_names
from mock_server.fixtures.files import shipped_fixtures
from mock_server.masking import mask_key
from tests.support.wire import Clock
from usage_contract import Contract

from .served import Serve, modest_metrics, raw_response, send_without_reading, shipped

DOCS = (Path(__file__).parents[3] / "docs" / "faults.md").read_text()
SCHEMA = json.loads((shipped_fixtures() / "fault.schema.json").read_text())
THEMES = SCHEMA["properties"]["theme"]["enum"]
DEPLOYMENT = load_deployment()
SHIPPED = [path for kind in FOLDERS for path in sorted((shipped_fixtures() / kind).glob("*.yaml"))]

# The YAML below `do:`, and the message without the file's name.
BAD_STEPS = {
    "{}": "4 /do/0: must not be empty",
    "{pach: []}": "4 /do/0/pach: is not a known name; did you mean 'patch'?",
    "{patch: []}": "4 /do/0/patch: must not be empty",
    "{patch: [{op: relace, path: /a, value: 1}]}": "4 /do/0/patch/0/op: must not be 'relace'; did you mean 'replace'?",
    "{patch: [{op: add, path: /a}]}": "4 /do/0/patch/0: 'value' is missing",
    "{patch: [{op: copy, path: /a}]}": "4 /do/0/patch/0: 'from' is missing",
    "{patch: [{op: drift, path: /a}]}": "4 /do/0/patch/0: 'by' is missing",
    "{patch: [{op: add, path: a, value: 1}]}": "4 /do/0/patch/0/path: is not valid; expected a JSON Pointer "
    "(RFC 6901), such as /rate_limit/rps; empty for the whole body",
    "{body: [{op: replace, pattern: x}]}": "4 /do/0/body/0: 'with' is missing",
    "{head: [{op: replace, pattern: '(', with: ''}]}": "4 /do/0/head/0/pattern: is not a valid regular expression: "
    "missing ), unterminated subpattern at position 0",
    "{body: [{op: set, base64: '*'}]}": "4 /do/0/body/0/base64: is not a valid base64 text: "
    "Only base64 data is allowed",
    "{body: [{op: encode, charset: utf-9}]}": "4 /do/0/body/0/charset: is not a valid character encoding: "
    "unknown encoding: utf-9",
    "{body: [{op: encode, charset: hex}]}": "4 /do/0/body/0/charset: is not a valid character encoding: "
    "'hex' is not a text encoding; use codecs.encode() to handle arbitrary codecs",
    "{end: hagn}": "4 /do/0/end: must not be 'hagn'; did you mean 'hang'?",
    "{framing: 7}": "4 /do/0/framing: must be text, not a whole number",
    "{when: {every: 0}, status: 500}": "4 /do/0/when/every: must be at least 1, not 0",
    "{when: {request: '['}, status: 500}": "4 /do/0/when/request: is not a valid regular expression: "
    "unterminated character set at position 0",
    "{when: {path: 'a{99999999999999}'}, status: 500}": "4 /do/0/when/path: is not a valid regular expression: "
    "the repetition number is too large",
    "{when: {body: '(?a)(?u)x'}, status: 500}": "4 /do/0/when/body: is not a valid regular expression: "
    "ASCII and UNICODE flags are incompatible",
    r"{body: [{op: lower, pattern: '\u0041'}]}": "4 /do/0/body/0/pattern: is not a valid regular expression: "
    r"bad escape \u at position 0",
    "{when: {status: 200}, status: 500}": "4 /do/0/when/status: must be a list, not a whole number",
}


def messages(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "faults" / "bad.yaml"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(FixtureError) as caught:
        load_fault("bad", tmp_path)
    return [line.removeprefix(f"{path}:") for line in str(caught.value).splitlines()]


@pytest.mark.parametrize("step", BAD_STEPS)
def test_an_invalid_step_is_rejected_with_line_pointer_and_advice(tmp_path: Path, step: str) -> None:
    found = messages(tmp_path, f"description: d\nbreaks: []\ndo:\n  - {step}\n")
    assert BAD_STEPS[step] in found


def test_a_deeply_nested_expression_is_rejected(tmp_path: Path) -> None:
    step = f"{{when: {{body: '{'(' * 3000}'}}, status: 500}}"
    [message] = messages(tmp_path, f"description: d\nbreaks: []\ndo:\n  - {step}\n")
    assert message.startswith("4 /do/0/when/body: is not a valid regular expression: maximum recursion")


def test_an_id_that_no_rule_can_have_is_rejected(tmp_path: Path) -> None:
    [message] = messages(tmp_path, "description: d\nbreaks: [Schema]\n")
    assert message.startswith("2 /breaks/0: is not valid; expected the id of a rule, such as ")


def test_an_unknown_fault_is_rejected_with_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--fault", "total-is-text", "--port", "0"]) == 4
    assert "'total-is-text' is not a fault; did you mean 'total-is-a-text'?" in capsys.readouterr().err


def test_a_fault_with_an_unknown_key_is_rejected(serve: Serve) -> None:
    message = f":5 /do/0/when/key: names a key that default does not have; did you mean {mask_key('demo-busy')}?"
    with pytest.raises(FixtureError, match=re.escape(message)):
        serve("when: {key: demo-bussy}, status: 500")
    with pytest.raises(FixtureError, match=r":3 /buckets/0/keys/1: .*; name one of its keys"):
        serve(more="buckets: [{keys: [demo-busy, x]}]")


def test_the_command_checks_faults_as_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for kind, text in (("deployments", "description: d\nkeys: {k: {}}"), ("variants", "description: d")):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "one.yaml").write_text(text)
    assert main(["check", str(tmp_path)]) == 4
    output = capsys.readouterr()
    assert output.out == "1 of 1 deployments are valid\n0 of 1 faults are valid\n"
    assert "one.yaml:1: 'breaks' is missing" in output.err


def test_the_shipped_files_are_valid(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(shipped_fixtures())]) == 0
    assert f"{len(SHIPPED)} of {len(SHIPPED)} faults are valid" in capsys.readouterr().out


def test_names_are_unique() -> None:
    assert len(set(fault_names())) == len(SHIPPED)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_fault_names_its_rules_and_a_variant_names_none(path: Path) -> None:
    fault = shipped(path.stem)
    assert bool(fault.breaks) == (path.parent.name == "faults")
    assert path.read_text().startswith("# yaml-language-server: $schema=../fault.schema.json\n")
    assert fault.description.endswith(".")
    assert fault.source.data["theme"] in THEMES


def test_the_document_describes_each_theme_with_matching_faults() -> None:
    rows = re.findall(r"^\| ([A-Z][A-Za-z ]+) \| .* \| (`.*`) \|$", DOCS, re.MULTILINE)
    assert [theme for theme, _ in rows] == THEMES
    for theme, examples in rows:
        names = re.findall("`(.+?)`", examples)
        assert {shipped(name).source.data["theme"] for name in names} == {theme}


def without_counts(fault: Fault) -> Fault:
    steps = [replace(step, when=replace(step.when, after=0, first=None, every=1)) for step in fault.steps]
    return replace(fault, steps=tuple(steps))


@pytest.mark.parametrize("name", fault_names())
def test_a_shipped_file_can_be_applied_to_every_response(
    name: str, contract: Contract, caplog: pytest.LogCaptureFixture
) -> None:
    async def no_sleep(_: float) -> None:
        pass

    app = make_app(contract, deployment=DEPLOYMENT, clock=Clock(), fault=without_counts(shipped(name)), sleep=no_sleep)
    with UsageMock(app) as mock:
        send_without_reading(
            mock.url,
            *(
                f"{method} /usage HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\n\r\n".encode()
                for method in ("GET", "HEAD")  # two requests for each key
                for key in ("demo-busy", "demo-modest", "demo-fresh", "nobody", "")
            ),
        )
    assert [record.message for record in caplog.records] == []


def test_the_schema_is_a_json_schema_that_describes_each_member() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    members = [member for part in (SCHEMA, *SCHEMA["$defs"].values()) for member in part.get("properties", {}).items()]
    assert [name for name, member in members if not {"title", "description", "$ref", "enum"} & set(member)] == []


def test_the_document_names_every_member() -> None:
    parts = [SCHEMA, *(SCHEMA["$defs"][name] for name in ("step", "when", "edit"))]
    names = {name for part in parts for name in part["properties"]}
    names |= set(SCHEMA["$defs"]["edit"]["properties"]["op"]["enum"]) - {"op"}
    assert [name for name in sorted(names) if f"`{name}" not in DOCS and f"{name}:" not in DOCS] == []


def test_received_bytes_can_be_edited_before_parsing(serve: Serve) -> None:
    url = serve("status: 203", more="received: [{op: replace, pattern: '^GET /nowhere ', with: 'GET /usage '}]")
    assert raw_response(url, b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 203")
    assert modest_metrics(url)["api_key"] == "demo-modest"
