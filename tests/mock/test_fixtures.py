"""Valid deployment files, and the messages for invalid ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mock_server import FixtureError, load_deployment, load_fault
from mock_server.fixtures.deployments import Calls, RateLimit, deployment_names
from mock_server.fixtures.files import shipped_fixtures
from mock_server.fixtures.validation import OWN_KEYWORDS, SENTENCES

# YAML below `keys: {k: ...}`, and the message without the file.
BAD_KEYS = {
    "{trafic: {}}": "3 /keys/k/trafic: is not a known name; did you mean 'traffic'?",
    "{zzz: {}}": "3 /keys/k/zzz: is not a known name; valid: label, rate_limit, traffic, tokens, growth",
    "[1]": "3 /keys/k: must be a mapping, not a list",
    "null": "3 /keys/k: must be a mapping, not null",
    "{rate_limit: {rps: 10}}": "3 /keys/k/rate_limit: 'burst' is missing",
    "{rate_limit: {rps: .nan, burst: 1}}": "3 /keys/k/rate_limit/rps: must be a finite number",
    "{rate_limit: {rps: .inf, burst: 1}}": "3 /keys/k/rate_limit/rps: must be a finite number",
    "{rate_limit: {rps: -1, burst: 1}}": "3 /keys/k/rate_limit/rps: must be at least 0, not -1",
    "{rate_limit: {rps: '10', burst: 1}}": "3 /keys/k/rate_limit/rps: must be a number, not text",
    "{rate_limit: {rps: 1, burst: 0}}": "3 /keys/k/rate_limit/burst: must be at least 1, not 0",
    "{rate_limit: {rps: 1, burst: true}}": "3 /keys/k/rate_limit/burst: must be a whole number, not true or false",
    "{traffic: {d: {}}}": "3 /keys/k/traffic/d: must not be empty",
    "{traffic: {d: {fech: {requests: 1}}}}": "3 /keys/k/traffic/d/fech: is not a known name; did you mean 'fetch'?",
    "{traffic: {d: {ws: {requests: 1.5}}}}": "3 /keys/k/traffic/d/ws/requests: must be a whole number, "
    "not a number with a fraction",
    "{traffic: {d: {ws: {requests: 1, bytes: 1}}}}": "3 /keys/k/traffic/d/ws/bytes: is not a known name; "
    "valid: requests, failures",
    "{traffic: {d: {ws: {requests: 1, failures: 2}}}}": "3 /keys/k/traffic/d/ws/failures: must not be above "
    "'requests': 2 is more than 1",
    "{traffic: {d: {ws: {requests: 1e300}}}}": "3 /keys/k/traffic/d/ws/requests: must be at most 9007199254740991",
    "{traffic: {http://d: {ws: {requests: 1}}}}": "3 /keys/k/traffic/http:~1~1d: is not valid; expected "
    "a host name or an IP address without scheme, port or path, and without invisible characters",
    "{traffic: {1: {ws: {requests: 1}}}}": "3 /keys/k/traffic/1: must be text, not a whole number; "
    "put quotes around it",
}

BAD_FILES = {
    "": "1: is empty",
    "~": "1: must be a mapping, not null",
    "description: d": "1: 'keys' is missing",
    "description: d\nkeys: {}": "2 /keys: must not be empty",
    "description: 2024-01-01\nkeys: {k: {}}": "1 /description: must be text, not a date",
    "description: ''\nkeys: {k: {}}": "1 /description: must not be empty",
    "description: d\nkeys: {' k': {}}": "2 /keys/ k: is not valid; expected visible ASCII characters, "
    "as an HTTP header carries them; spaces only inside",
    'description: d\nkeys: {"k\\n": {}}': "2 /keys/k\\n: is not valid; expected visible ASCII "
    "characters, as an HTTP header carries them; spaces only inside",
    'description: d\nkeys: {"k\\e": {}}': "2 /keys/k\\x1b: is not valid; expected visible ASCII "
    "characters, as an HTTP header carries them; spaces only inside",
    "a: &a {b: *a}": "1: contains itself; an alias must not refer to one of its own ancestors",
    "description: d\nkeys: &k\n  k: *k": "3: contains itself; an alias must not refer to one of its own ancestors",
    "description: d\nkeys:\n  - &k\n    - *k": "3: contains itself; "
    "an alias must not refer to one of its own ancestors",
    "description: d\nkeys:\n\tk: {}": "3: is not valid YAML: has a tab as white space; use spaces",
    "description: @d\nkeys: {k: {}}": "1: is not valid YAML: found character '@' that cannot start any token; "
    "put quotes around the text",
    "description: d\nkeys: !!set {k}": "2 /keys: must be a mapping, not a set",
}


def messages(deployments: Path, text: str) -> list[str]:
    path = deployments / "bad.yaml"
    path.write_text(text)
    with pytest.raises(FixtureError) as caught:
        load_deployment("bad", deployments.parent)
    return [line.removeprefix(f"{path}:") for line in str(caught.value).splitlines()]


def test_a_folder_may_be_a_text(deployments: Path) -> None:
    (deployments / "mine.yaml").write_text("description: d\nkeys: {k: {}}\n")
    assert list(load_deployment("mine", str(deployments.parent)).keys) == ["k"]
    assert load_fault("body-is-empty", str(deployments.parent)).name == "body-is-empty"


@pytest.mark.parametrize("key", BAD_KEYS)
def test_an_invalid_key_is_rejected_with_line_pointer_and_advice(deployments: Path, key: str) -> None:
    assert messages(deployments, f"description: d\nkeys:\n  k: {key}\n") == [BAD_KEYS[key]]


@pytest.mark.parametrize("text", BAD_FILES)
def test_an_invalid_file_is_rejected_with_line_pointer_and_advice(deployments: Path, text: str) -> None:
    assert messages(deployments, text) == [BAD_FILES[text]]


@pytest.mark.parametrize("text", ["description: [", "keys: !!python/name:os.system {}", "--- a\n--- b"])
def test_invalid_yaml_is_rejected_in_one_line(deployments: Path, text: str) -> None:
    [message] = messages(deployments, text)
    assert "is not valid YAML" in message


def test_all_problems_are_reported_at_once_in_the_order_of_the_file(deployments: Path) -> None:
    found = messages(deployments, "descripton: d\nkeys:\n  a: {rate_limit: {rps: -1}}\n  b: []\n")
    assert [line.split(":")[0] for line in found] == [
        "1",
        "1 /descripton",
        "3 /keys/a/rate_limit",
        "3 /keys/a/rate_limit/rps",
        "4 /keys/b",
    ]


def test_only_the_first_twenty_problems_are_reported(deployments: Path) -> None:
    keys = "".join(f"  k{number}: []\n" for number in range(50))
    found = messages(deployments, f"description: d\nkeys:\n{keys}")
    assert len(found) == 21
    assert found[-1] == "... and 30 more"


@pytest.mark.parametrize(("name", "hint"), [("defualt", "did you mean 'default'?"), ("mine", "valid: default, other")])
def test_an_unknown_deployment_is_rejected_with_the_nearest_name_or_with_all(
    deployments: Path, name: str, hint: str
) -> None:
    for each in ("default", "other"):
        (deployments / f"{each}.yaml").touch()
    with pytest.raises(LookupError) as error:
        load_deployment(name, deployments.parent)
    assert str(error.value) == f"{name!r} is not a deployment; {hint}"


@pytest.mark.parametrize("name", ["../deployments/default", "default.yaml", "", "/etc/passwd"])
def test_a_deployment_is_a_name_and_not_a_path(name: str) -> None:
    with pytest.raises(LookupError, match="is not a deployment"):
        load_deployment(name)


def test_an_empty_folder_of_deployments_is_rejected(deployments: Path) -> None:
    with pytest.raises(FixtureError, match=r"has no deployment; add a file NAME\.yaml"):
        deployment_names(deployments.parent)


def test_a_key_has_its_own_limit_or_the_deployments_or_the_vendors(deployments: Path) -> None:
    own = "a: {rate_limit: {rps: 1, burst: 2}}"
    (deployments / "one.yaml").write_text(f"description: d\nkeys: {{{own}, b: {{}}}}\n")
    (deployments / "two.yaml").write_text(
        f"description: d\nrate_limit: {{rps: 0.5, burst: 3}}\nkeys: {{{own}, b: {{}}}}\n"
    )
    one, two = (load_deployment(name, deployments.parent).keys for name in ("one", "two"))
    assert [one["a"].rate_limit, one["b"].rate_limit] == [RateLimit(1.0, 2), RateLimit(10.0, 10)]
    assert [two["a"].rate_limit, two["b"].rate_limit] == [RateLimit(1.0, 2), RateLimit(0.5, 3)]


def test_a_count_written_as_a_float_is_still_a_count(deployments: Path) -> None:
    (deployments / "floats.yaml").write_text("description: d\nkeys: {k: {traffic: {d: {ws: {requests: 3.0}}}}}\n")
    calls = load_deployment("floats", deployments.parent).keys["k"].traffic["d"]["ws"]
    assert calls == Calls(3)
    assert isinstance(calls.requests, int)


WORDS = st.sampled_from(
    ["description", "rate_limit", "keys", "rps", "burst", "traffic", "fetch", "ws", "requests", "k"]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(VALUES)
def test_any_file_loads_or_is_rejected_line_by_line(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.mktemp("any") / "deployments" / "any.yaml"
    path.parent.mkdir()
    path.write_text(json.dumps(value))
    for line in problem_lines("any", path.parents[1]):
        assert line.startswith((f"{path}:", "... and "))


def problem_lines(name: str, fixtures: Path) -> list[str]:
    try:
        load_deployment(name, fixtures)
    except FixtureError as error:
        return str(error).splitlines()
    return []


def keywords(schema: Any, *, named: bool = False) -> set[str]:
    """Collect the keywords of a JSON Schema; the members of `properties` and its like are names instead."""
    if not isinstance(schema, dict):
        return set()
    here = set() if named else set(schema)
    names = ("properties", "$defs", *OWN_KEYWORDS)
    return here.union(*(keywords(value, named=not named and name in names) for name, value in schema.items()))


def test_the_schema_of_deployments_is_a_json_schema() -> None:
    Draft202012Validator.check_schema(json.loads((shipped_fixtures() / "deployment.schema.json").read_text()))


def test_every_keyword_of_a_schema_has_a_sentence_and_every_sentence_a_keyword() -> None:
    structure = {"$schema", "$ref", "$defs", "title", "description", "properties", "propertyNames", "items", "allOf"}
    schemas = [json.loads(path.read_text()) for path in shipped_fixtures().glob("*.schema.json")]
    found = set[str]().union(*(keywords(schema) for schema in schemas)) - structure
    assert found <= set(SENTENCES)
    assert set(SENTENCES) - found == {
        "anyOf",
        "oneOf",
        "dependentRequired",
        "maxItems",
    }  # the schemas of the control API have these


def test_the_shipped_deployments_are_valid() -> None:
    assert [load_deployment(name).name for name in deployment_names()] == ["default"]


def test_an_editor_finds_the_schema_of_each_shipped_deployment() -> None:
    for path in (shipped_fixtures() / "deployments").glob("*.yaml"):
        first = path.read_text().splitlines()[0]
        prefix, schema = first.split("=")
        assert prefix == "# yaml-language-server: $schema"
        assert (path.parent / schema).resolve() == shipped_fixtures() / "deployment.schema.json"


def test_the_default_deployment_has_a_busy_a_modest_and_a_fresh_key() -> None:
    keys = load_deployment().keys
    assert {name: len(key.traffic) for name, key in keys.items()} == {
        "demo-busy": 35,
        "demo-modest": 7,
        "demo-fresh": 0,
    }
    assert {protocol for calls in keys["demo-busy"].traffic.values() for protocol in calls} == {"fetch", "ws", "amqp"}
    assert {key.rate_limit for key in keys.values()} == {RateLimit()}
