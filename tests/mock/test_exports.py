"""`mock_server` exports each name that its users meet: in signatures, in documented errors and in the documents."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import mock_server
from mock_server import AsyncUsageMock, UsageMock, load_deployment, load_fault, make_app
from mock_server.testing.mock_view import MockView

FUNCTIONS: dict[str, Any] = {
    **{f"{cls.__name__}.{name}": method for cls in (MockView, AsyncUsageMock) for name, method in vars(cls).items()},
    **{f"UsageMock.{name}": method for name, method in vars(UsageMock).items()},
    "make_app": make_app,
    "load_deployment": load_deployment,
    "load_fault": load_fault,
}
ROOT = Path(__file__).parents[2]
PUBLIC = {
    name: getattr(function, "fget", None) or function
    for name, function in FUNCTIONS.items()
    if callable(getattr(function, "fget", None) or function) and not name.partition(".")[2].startswith("_")
}


def classes(hint: Any) -> Iterator[type[Any]]:
    """Yield the classes in a type."""
    if isinstance(hint, type) and not get_args(hint):
        yield hint
    for part in get_args(hint):
        yield from classes(part)


def test_imports_for_type_checkers_and_imports_on_demand_are_the_same() -> None:
    tree = ast.parse(Path(mock_server.__file__).read_text())
    [block] = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert {each.names[0].name: each.module for each in imports} == {
        name: f"mock_server.{module}" for name, module in mock_server._HOME.items()
    }
    assert all(getattr(mock_server, name).__name__ == name for name in mock_server.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_the_errors_in_a_docstring_are_exported(name: str) -> None:
    errors = re.findall(r"^\s+(\w+Error|\w+Warning):", inspect.getdoc(PUBLIC[name]) or "", re.MULTILINE)
    missing = [error for error in errors if not hasattr(builtins, error) and error not in mock_server.__all__]
    assert set(missing) <= {"ContractError"}  # of the package usage_contract


@pytest.mark.parametrize("name", PUBLIC)
def test_the_classes_in_a_signature_are_exported(name: str) -> None:
    hints = get_type_hints(PUBLIC[name], {**vars(inspect.getmodule(PUBLIC[name])), "UsageMock": UsageMock})
    own = {each for hint in hints.values() for each in classes(hint) if each.__module__.startswith("mock_server.")}
    typed_dicts = {each for each in own if hasattr(each, "__total__")}  # a call needs none of them
    injected = {"State"}  # an object of the project
    assert {each.__name__ for each in own - typed_dicts} - injected <= set(mock_server.__all__)


def test_the_members_of_a_deployment_are_exported() -> None:
    seen, waiting = set[str](), ["Deployment"]
    while waiting:
        name = waiting.pop()
        seen.add(name)
        hints = get_type_hints(getattr(mock_server, name))
        found = {each.__name__ for hint in hints.values() for each in classes(hint) if "mock_server" in each.__module__}
        waiting += found - seen
    assert seen <= set(mock_server.__all__)


def test_the_documents_import_only_exported_names() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    found = {
        name
        for page in pages
        for names in re.findall(r"from mock_server import ([\w, ]+)", page.read_text())
        for name in re.split(r",\s*", names.strip())
    }
    assert found
    assert found <= set(mock_server.__all__)
