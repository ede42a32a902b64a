"""A fictitious version 2.3.0 of the vendor's document: automatic effects, and decisions of a person.

docs/contract.md describes the steps in the same order.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract_tests.metrics import schema
from contract_tests.support.gate import Gate
from contract_tests.wire.messages import Exchange, Request
from contract_tests.wire.transport import Transport
from mock_server import UsageMock, make_app
from tests.support.transport import settings
from tests.support.wire import KEY, send_request
from usage_contract import LEVELS, Contract, ContractError, load
from usage_contract.__main__ import main
from usage_contract.contract import shipped_documents
from usage_contract.levels import Level

# The vendor adds an operation and a member, and removes a member.
NEW_OPERATION = """\
  /agents:
    get:
      summary: Agents
      description: The agents of the network.
      operationId: get_agents
      responses:
        '200':
          description: The agents.
          content:
            application/json:
              schema:
                type: object
components:
"""
NEW_MEMBER = """\
        latency:
          type: number
          description: Median latency in seconds.
        success_rate:
"""
REMOVED_MEMBER = "        fail:\n          type: integer\n          description: Failed requests.\n"

# The decisions of a person: the removed member leaves both overlays, and the new member has a range.
REMOVED_ACTION = """\
  - target: $.components.schemas.UsageResponse.properties.fail
    description: 'document: "Failed requests" is a count.'
    update:
      minimum: 0
"""
NEW_ACTION = """\
  - target: $.components.schemas.UsageResponse.properties.latency
    description: 'document: "Median latency in seconds" is an amount.'
    update:
      minimum: 0
"""


def replace(path: Path, *changes: tuple[str, str]) -> None:
    """Replace texts in a file."""
    text = path.read_text()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(text)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The folder of the documents with the vendor's new document, and the overlays of the previous version."""
    documents = Path(shutil.copytree(shipped_documents(), tmp_path / "openapi"))
    replace(
        documents / "openapi.yaml",
        ("  version: 2.2.0", "  version: 2.3.0"),
        ("components:\n", NEW_OPERATION),
        ("        success_rate:\n", NEW_MEMBER),
        (REMOVED_MEMBER, ""),
    )
    return documents


@pytest.fixture
def decided(published: Path) -> Path:
    """The same folder after the decisions of a person."""
    replace(
        published / "documented.overlay.yaml",
        (REMOVED_ACTION, NEW_ACTION),
        ("          - not: {required: [fail]}\n", "          - not: {required: [latency]}\n"),
        ("        fail: 59\n", "        latency: 0.4\n"),
    )
    replace(published / "advisory.overlay.yaml", ("        - fail\n", "        - latency\n"))
    return published


@pytest.fixture
def gate(decided: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """A gate for the new version."""
    contracts = {level: load(level, decided) for level in LEVELS}
    monkeypatch.setattr(schema, "contract", contracts.__getitem__)
    for cached in (schema.validator, schema._validation):
        cached.cache_clear()
    options = settings("http://127.0.0.1:1")
    yield Gate(options, contracts["documented"], Transport(options))
    for cached in (schema.validator, schema._validation):
        cached.cache_clear()


def problems(body: object, level: Level) -> set[str]:
    """Return the problems that the rules on the schema report at a level."""
    exchange = Exchange(Request("GET", b"/usage", ()), 200, payload=json.dumps(body).encode())
    return {problem.problem for problem in schema.problems("get_usage", exchange, level)}


def test_validate_lists_the_actions_that_no_longer_apply(published: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(published)]) == 4
    (line,) = capfd.readouterr().err.splitlines()
    overlay = published / "documented.overlay.yaml"
    number = overlay.read_text().splitlines().index(REMOVED_ACTION.splitlines()[0]) + 1
    target = "target $.components.schemas.UsageResponse.properties.fail: matches nothing in the document"
    assert line.startswith(f"usage-contract: {overlay}:{number} /actions/3/target: {target}")


def test_validate_then_lists_the_requirements_that_are_left(published: Path, capfd: pytest.CaptureFixture[str]) -> None:
    replace(published / "documented.overlay.yaml", (REMOVED_ACTION, ""))
    assert main(["validate", str(published)]) == 4
    lines = capfd.readouterr().err.splitlines()
    assert [line.partition(": requires ")[0].rpartition("/openapi/")[2].split(":")[0] for line in lines] == [
        "documented.overlay.yaml",
        "advisory.overlay.yaml",
    ]
    assert all("requires 'fail', which the properties do not describe" in line for line in lines)


def test_validate_reports_an_example_without_a_required_member(
    decided: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    replace(decided / "documented.overlay.yaml", ("        latency: 0.4\n", ""))
    assert main(["validate", str(decided)]) == 4
    assert "example: is not valid against its schema: 'latency' is a required property" in capfd.readouterr().err


def test_validate_accepts_the_decided_documents(decided: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["validate", str(decided)]) == 0
    assert "operations: get_usage, get_agents, get_overview, get_health" in capfdbinary.readouterr().out.decode()


def test_types_and_members_apply_automatically(gate: Gate) -> None:
    assert problems({"latency": "fast"}, "specified") == {"/latency is not valid"}
    assert problems({"total": 1, "fail": "gone"}, "documented") == set()
    assert "latency" in gate.members and "fail" not in gate.members


def test_ranges_and_advisory_requirements_are_decisions(gate: Gate) -> None:
    assert problems({"latency": -1}, "documented") == {"/latency is not valid"}
    (missing,) = problems({"latency": 1}, "advisory")
    assert "success_rate" in missing and "fail" not in missing


def test_a_new_operation_is_in_the_contract_and_not_public(gate: Gate) -> None:
    agents = gate.contract.operations["get_agents"]
    assert (str(agents), agents.key_header) == ("GET /agents", "X-API-Key")
    assert gate.operation.id == "get_usage"
    assert not gate.is_public(Request("GET", b"/agents", ()))


def test_the_mock_does_not_start_until_it_derives_a_new_member(decided: Path) -> None:
    with pytest.raises(
        ContractError, match=r"the document names GET /usage 200\.latency, which the mock cannot derive"
    ):
        make_app(load("documented", decided))


def test_the_mock_follows_a_removed_member_and_logs_a_new_operation(
    decided: Path, caplog: pytest.LogCaptureFixture
) -> None:
    document: dict[str, Any] = load("documented", decided).document
    del document["components"]["schemas"]["UsageResponse"]["properties"]["latency"]
    with caplog.at_level(logging.WARNING), UsageMock(make_app(Contract("documented", document))) as mock:
        assert "fail" not in send_request(mock.url, headers=[(KEY, "demo-busy")]).json
        assert send_request(mock.url, "/agents", headers=[(KEY, "demo-busy")]).status == 404
        assert send_request(mock.url, "/").json["version"] == "2.3.0"
    assert caplog.messages == ["GET /agents (get_agents) is not simulated; it responds like an unknown path"]


def test_generators_get_the_new_version(decided: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["show", "--format", "json", "--documents", str(decided)]) == 0
    printed = json.loads(capfdbinary.readouterr().out)
    assert printed["info"]["version"] == "2.3.0"
    assert printed["components"]["schemas"]["UsageResponse"]["properties"]["latency"]["minimum"] == 0
