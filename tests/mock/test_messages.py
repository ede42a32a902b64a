"""Messages name what a user has written wrong, and the repair."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mock_server import AsyncUsageMock, FixtureError, MockOptions, UsageMock, load_deployment
from mock_server.command.cli import main
from mock_server.fixtures.problems import text_of
from mock_server.masking import mask_key
from tests.support.control_api import JSON, Api
from usage_contract import SourceError
from usage_contract.sources import read, read_document


@pytest.mark.parametrize("reader", [read, read_document])
def test_a_repeated_name_is_reported_with_both_lines(tmp_path: Path, reader: Callable[[Path], object]) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("description: d\nkeys:\n  a: {}\n  b: [{c: 1}, {c: 1,\n    'c': 2}]\n")
    with pytest.raises(SourceError) as caught:
        reader(path)
    assert str(caught.value) == f"{path}:5 /keys/b/1/c: repeats the name of line 4; remove or rename one of them"


def test_a_repeated_name_of_another_type_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("1: a\n0x1: b\n")
    with pytest.raises(SourceError, match=r"a.yaml:2 /0x1: repeats a name in another spelling"):
        read(path)


def test_the_same_name_in_two_mappings_and_in_a_merged_one_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: &a {b: 1}\nc: {<<: *a, b: 2}\n")
    assert read(path).data == {"a": {"b": 1}, "c": {"b": 2}}


def test_a_repeated_key_is_masked(deployments: Path) -> None:
    (deployments / "default.yaml").write_text("description: d\nkeys:\n  secret-key: {}\n  secret-key: {}\n")
    with pytest.raises(FixtureError) as caught:
        load_deployment(fixtures=deployments.parent)
    assert f"default.yaml:4 /keys/{mask_key('secret-key')}: repeats the name of line 3" in text_of(caught.value)
    assert "secret-key" not in text_of(caught.value)


@pytest.mark.parametrize("text", ["[" * 5000, "[" * 5000 + "]" * 5000, "- " * 5000])
def test_deep_nesting_is_reported_in_words(deployments: Path, text: str) -> None:
    (deployments / "default.yaml").write_text(text)
    with pytest.raises(FixtureError, match=r"default\.yaml: is nested too deeply; nest fewer values$"):
        load_deployment(fixtures=deployments.parent)


def test_deep_nesting_in_a_file_of_options_is_reported_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "usage-mock.toml"
    path.write_text("key = " + "[" * 5000 + "]" * 5000)
    assert main(["--config", str(path)]) == 4
    assert capsys.readouterr().err == f"usage-mock: {path}: is nested too deeply\n"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"code": 503, "code": 429}', "body: 'code' is given twice"),
        (b'{"key": "a", "traffic": [{"c": 1}, {"c": 1, "d": {"e": 1, "\\u0065": 2}}]}', "body: 'e' is given twice"),
        (b"[" * 100 + b'{"a":1,"a":2}' + b"]" * 100, "body: 'a' is given twice"),
    ],
)
def test_a_repeated_member_of_a_body_is_rejected(unlimited: UsageMock, body: bytes, detail: str) -> None:
    response = Api(unlimited.url).request("PATCH", "/behaviour", headers=JSON, raw=body)
    assert (response.status, response.json["detail"]) == (422, detail)


@pytest.mark.parametrize("depth", [1000, 100_000])
def test_a_deeply_nested_body_is_rejected(unlimited: UsageMock, depth: int) -> None:
    body = b"[" * depth + b"]" * depth
    response = Api(unlimited.url).request("PATCH", "/behaviour", headers=JSON, raw=body)
    assert response.status in (400, 422)
    assert re.search("nested too deeply|depth limit exceeded|must be a mapping", response.json["detail"])


@pytest.mark.parametrize("value", ["404", "402", "x"])
def test_a_wrong_choice_is_reported_with_all_values(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--unknown-key-status", value]) == 4
    assert capsys.readouterr().err == f"usage-mock: --unknown-key-status: '{value}' is not valid; expected 401 or 403\n"


def test_a_wrong_choice_of_an_argument_is_reported_with_all_values() -> None:
    with pytest.raises(ValueError, match=r"^log: 'txt' is not valid; expected text, json or none$"):
        MockOptions(log="txt")


@pytest.mark.parametrize("mock_class", [UsageMock, AsyncUsageMock])
@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda mock: mock.answer(503, bad=2), "answer() got an unexpected keyword argument 'bad'"),
        (lambda mock: mock.use(), "use() missing 1 required positional argument: 'scenario'"),
        (lambda mock: mock.fail("body-is-null", None, 1), "fail() takes from 2 to 3 positional arguments"),
    ],
)
def test_a_wrong_argument_is_reported_with_the_class_of_the_caller(
    mock_class: type[Any], call: Callable[[Any], object], problem: str
) -> None:
    with pytest.raises(TypeError) as caught:
        call(mock_class())
    assert str(caught.value).startswith(f"{mock_class.__name__}.{problem}")


def test_blocking_methods_have_names_and_documentation_of_their_class() -> None:
    methods = dict(inspect.getmembers(UsageMock, inspect.isfunction))
    assert methods["answer"].__qualname__ == "UsageMock.answer"
    assert methods["answer"].__doc__ == AsyncUsageMock.answer.__doc__
