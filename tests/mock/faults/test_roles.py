"""A fault names the keys of any deployment by their roles, and no shipped file names a key."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mock_server import Fault, FixtureError, UsageMock, load_deployment, load_fault, make_app
from mock_server.fixtures.deployments import Calls, Deployment, Key, Rate, RateLimit
from mock_server.fixtures.faults import FOLDERS, fault_names, for_deployment
from mock_server.fixtures.files import shipped_fixtures
from mock_server.fixtures.roles import FORMS, ROLES, keys_by_role
from tests.support.wire import KEY, Clock, send_request, usage
from usage_contract import Contract

from .served import send_without_reading, shipped

USED = Key(
    RateLimit(5, 20),
    {
        f"{name}.example": {"fetch": Calls(count, count // 10, count * 100), "ws": Calls(3, 1)}
        for name, count in {"shop": 90, "news": 60, "maps": 30}.items()
    },
)
BUSIEST = replace(USED, traffic={**USED.traffic, "api.example": {"amqp": Calls(5000, 100)}})
SHIPPED = [path for kind in FOLDERS for path in sorted((shipped_fixtures() / kind).glob("*.yaml"))]
WITH_ROLES = [path.stem for path in SHIPPED if any(role in path.read_text() for role in ROLES)]


def own(**keys: Key) -> Deployment:
    return Deployment("own", "d", {name.replace("_", "-"): facts for name, facts in keys.items()})


THREE = own(never_sent=Key(), team_a_7f31=USED, team_b_90c2=BUSIEST)


def fault_of(tmp_path: Path, text: str) -> Fault:
    (tmp_path / "faults").mkdir(exist_ok=True)
    (tmp_path / "faults" / "own.yaml").write_text(f"description: d\nbreaks: []\n{text}\n")
    return load_fault("own", tmp_path)


def test_the_demo_keys_have_the_roles_that_the_shipped_files_name() -> None:
    assert keys_by_role(load_deployment()) == {
        "first key": "demo-busy",
        "busiest key": "demo-busy",
        "second key": "demo-modest",
        "unused key": "demo-fresh",
    }


def test_keys_are_ordered_by_their_requests_and_then_by_their_position() -> None:
    assert keys_by_role(THREE) == {
        "first key": "never-sent",
        "busiest key": "team-b-90c2",
        "second key": "team-a-7f31",
        "unused key": "never-sent",
    }
    equal = keys_by_role(own(one=Key(), two=Key(), three=Key()))
    assert equal == {"first key": "one", "busiest key": "one", "second key": "two", "unused key": "three"}


@pytest.mark.parametrize("facts", [USED, Key(growth={"a.example": {"fetch": Rate(1.0)}})])
def test_a_key_with_traffic_or_growth_is_not_unused(facts: Key) -> None:
    assert keys_by_role(own(one=facts)) == {"first key": "one", "busiest key": "one"}


@pytest.mark.parametrize("name", WITH_ROLES)
def test_a_shipped_file_can_be_applied_to_a_deployment_with_three_own_keys(
    name: str, contract: Contract, caplog: pytest.LogCaptureFixture
) -> None:
    async def no_sleep(_: float) -> None:
        pass

    fault = shipped(name)
    steps = tuple(replace(step, when=replace(step.when, after=0, first=None, every=1)) for step in fault.steps)
    app = make_app(contract, deployment=THREE, clock=Clock(), fault=replace(fault, steps=steps), sleep=no_sleep)
    with UsageMock(app) as mock:
        requests = [f"GET /usage HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\n\r\n".encode() for key in THREE.keys]
        send_without_reading(mock.url, *requests)
    assert [record.message for record in caplog.records] == []


def test_a_shipped_file_is_rejected_only_for_a_role_that_a_deployment_lacks() -> None:
    faults = {name: shipped(name) for name in fault_names()}
    assert roles_lacking(faults, own(only=USED)) == {"second key", "unused key"}
    assert roles_lacking(faults, own(only=Key())) == {"second key"}
    assert roles_lacking(faults, own(one=USED, two=BUSIEST)) == {"unused key"}
    assert roles_lacking(faults, own(one=USED, two=Key())) == set()


def roles_lacking(faults: dict[str, Fault], deployment: Deployment) -> set[str]:
    """Return the missing roles because of which a deployment rejects faults."""
    lacking = set()
    for name, fault in faults.items():
        try:
            for_deployment(fault, deployment)
        except FixtureError as error:
            for each in error.errors:
                found = re.fullmatch(rf"the deployment own has no (.+), which the fault {name} needs", each.problem)
                assert found, each
                lacking.add(found[1])
    return lacking


def test_no_shipped_file_names_a_key() -> None:
    keys = load_deployment().keys
    assert [path.stem for path in SHIPPED for key in keys if key in path.read_text()] == []


def test_roles_are_replaced_in_conditions_buckets_texts_patterns_and_received_edits(tmp_path: Path) -> None:
    text = r"""
buckets: [{keys: [second key, never-sent], burst: 3}]
received: [{op: replace, pattern: 'a{unused key}', with: '\1{unused key}'}]
do:
  - when: {key: busiest key, request: '^x-api-key: {second key}$', body: '{first key}'}
    as: '{first key}'
    recall: '{second key}'
    patch: [{op: replace, path: /a, value: ['{busiest key} {target}']}]
    body: [{op: replace, pattern: '{second key}', with: '{second key}'}]
    store: '{busiest key}'
"""
    fault = for_deployment(fault_of(tmp_path, text), own(b_1=BUSIEST, second=USED, never_sent=Key()))
    [step] = fault.steps
    assert fault.buckets[0].keys == ("second", "never-sent")
    assert fault.received == [{"op": "replace", "pattern": r"anever\-sent", "with": r"\1never-sent"}]
    assert (step.when.key, step.when.request.pattern) == ("b-1", "^x-api-key: second$")
    assert step.when.body is not None
    assert step.when.body.pattern == r"b\-1"
    assert (step.answer_as, step.recall, step.store) == ("b-1", "second", "b-1")
    assert step.changes.patch[0]["value"] == ["b-1 {target}"]
    assert step.changes.body[0]["pattern"] == "second"


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{base64 of {first key}}", "a2V5LTE="),
        ("Basic {base64 of :{first key}}", "Basic OmtleS0x"),
        ("{base64 of {first key}:}", "a2V5LTE6"),
        ("{hexadecimal of {first key}}", "6b65792d31"),
        ("{MD5 of {first key}}", "21af6b8b5e2244835679bbdbe0ab03a6"),
        ("{SHA-1 of {first key}}", "9e52503a0984e613e6ed5f6f9a3cf0b93b2d826b"),
        ("{SHA-256 of {first key}}", "be2974546978e3739e6d6da85c4be9f334ce32df2b9fd4b6ff1b55c0d57e9d44"),
        ("{reverse of {first key}}", "1-yek"),
        ("{first half of {first key}}|{second half of {first key}}", "ke|y-1"),
        ("{all but the first character of second half of {first key}}", "-1"),
        ("{all but the last character of {first key}}", "key-"),
        ('{"detail": {first key}}', '{"detail": key-1}'),
    ],
)
def test_a_placeholder_can_name_a_form_of_a_key(tmp_path: Path, text: str, filled: str) -> None:
    fault = fault_of(tmp_path, f"do:\n  - headers: {{set: {{X-Form: '{text}'}}}}")
    [step] = for_deployment(fault, own(key_1=Key())).steps
    assert step.changes.headers["set"]["X-Form"] == filled


KEY_WITH_SPECIAL_CHARACTERS = r"a.b\1(c[d"


def test_a_key_is_not_an_expression_in_a_pattern_or_in_the_text_that_replaces_one(
    contract: Contract, tmp_path: Path
) -> None:
    fault = fault_of(
        tmp_path,
        """do:
  - when: {request: '^x-api-key: {first key}$'}
    body: [{op: set, text: '<{first key}>'}, {op: replace, pattern: '<{first key}>', with: '[{first key}]'}]""",
    )
    deployment = Deployment("own", "d", {KEY_WITH_SPECIAL_CHARACTERS: Key(), "other": Key()})
    with UsageMock(make_app(contract, deployment=deployment, fault=fault)) as mock:
        assert usage(mock.url, KEY_WITH_SPECIAL_CHARACTERS).body.decode() == f"[{KEY_WITH_SPECIAL_CHARACTERS}]"
        assert usage(mock.url, "other").json["total"] == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "do: [{when: {key: unused key}, status: 500}]",
            ":3 /do/0/when/key: the deployment own has no unused key, which the fault own needs",
        ),
        (
            "do: [{body: [{op: set, text: '{second key}'}], headers: {set: {A: '{second key}'}}}]",
            ":3 /do/0/body/0/text: the deployment own has no second key, which the fault own needs",
        ),
        (
            "do: [{as: '{bussiest key}'}]",
            ":3 /do/0/as: 'bussiest key' is not a role of a key; did you mean 'busiest key'?",
        ),
        (
            "do: [{as: '{base46 of {first key}}'}]",
            ":3 /do/0/as: 'base46' is not a form of a key; did you mean 'base64'?",
        ),
        ("do: [{when: {key: unusd key}, status: 500}]", "names a key that own does not have; did you mean unused key?"),
    ],
)
def test_a_role_or_form_that_cannot_be_filled_is_rejected_in_one_sentence(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(FixtureError) as caught:
        for_deployment(fault_of(tmp_path, text), own(only=USED))
    assert str(caught.value).endswith(message)
    assert len(caught.value.errors) == 1


def test_a_lacking_role_is_reported_to_a_client_that_prefers_the_fault(contract: Contract) -> None:
    with UsageMock(make_app(contract, deployment=own(only=USED))) as mock:
        response = send_request(mock.url, "/usage", [(KEY, "only"), ("Prefer", "fault=body-is-null")])
    assert response.status == 400
    assert "the deployment own has no unused key, which the fault body-is-null needs" in response.json["detail"]


def test_the_document_names_every_role_and_form() -> None:
    document = (Path(__file__).parents[3] / "docs" / "faults.md").read_text()
    names: list[Any] = [name for name in (*ROLES, *FORMS) if f"`{name}`" not in document]
    assert names == []
