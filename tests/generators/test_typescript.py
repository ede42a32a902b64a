"""Clients of TypeScript generators compile with `tsc --strict`, and read usage metrics from the mock."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.generators.conftest import HERE, NODE_MODULES, node_tool, run, succeed, write_level
from tests.support.tiers import NODE
from usage_contract.levels import Level

KEY = "demo-modest"
LEVELS: tuple[Level, ...] = ("documented", "advisory")
OPTIONAL = {"documented": "T | undefined", "advisory": "T"}

Generate = Callable[[Path, Path], list[str | Path]]
# The arguments of each generator; the first one is the name of its command.
GENERATORS: dict[str, Generate] = {
    "openapi-typescript": lambda document, out: ["openapi-typescript", document, "-o", out / "schema.d.ts"],
    "openapi-zod-client": lambda document, out: [
        *("openapi-zod-client", document, "-o", out / "zod.ts", "--export-schemas")
    ],
    "typed-openapi": lambda document, out: ["typed-openapi", document, "-o", out / "client.ts"],
    "hey-api": lambda document, out: ["openapi-ts", "-i", document, "-o", out, "-c", "@hey-api/client-fetch"],
    "orval": lambda document, out: ["orval", "--input", document, "--output", out / "client.ts"],
}


def generated(name: str, level: Level, folder: Path) -> Path:
    """Return a folder with a client that a generator has made, and the code that uses it."""
    for file in ("main.ts", "tsconfig.json"):
        shutil.copy(HERE / "clients" / file, folder)
    shutil.copy(HERE / "clients" / f"{name}.ts", folder / "usage.ts")
    (folder / "level.ts").write_text(f"export type Optional<T> = {OPTIONAL[level]};\n")
    (folder / "node_modules").symlink_to(NODE_MODULES)
    (folder / "generated").mkdir()
    command, *arguments = GENERATORS[name](write_level(level, folder), Path("generated"))
    succeed(node_tool(str(command), *arguments, folder=folder))
    return folder


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", GENERATORS)
def test_a_generated_client_compiles_and_reads_usage_metrics(
    name: str, level: Level, mock_url: str, tmp_path: Path
) -> None:
    folder = generated(name, level, tmp_path)
    succeed(node_tool("tsc", "--project", ".", folder=folder))
    printed = succeed(run([str(NODE), str(folder / "js" / "main.js"), mock_url, KEY], folder))
    assert json.loads(printed) == [3459, 10, "www.shopwell.example"]


def test_a_client_without_types_does_not_compile(tmp_path: Path) -> None:
    folder = generated("openapi-typescript", "documented", tmp_path)
    usage = folder / "usage.ts"
    usage.write_text(usage.read_text().replace("export type Usage = ", "export type Usage = unknown; type Old = "))
    done = node_tool("tsc", "--project", ".", folder=folder)
    assert done.returncode and "main.ts" in done.stdout
