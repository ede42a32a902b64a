"""The `fetch` of Node.js reads responses of the mock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.command import serving
from tests.support.documents import blocks
from tests.support.readme import CHECKOUT
from tests.support.tiers import NODE

# The first version of Node.js that strips types.
STRIPS_TYPES = (22, 18)


def test_a_client_in_node_reads_usage_metrics_and_errors() -> None:
    script = """
      const get = async headers => {
        const response = await fetch(process.argv[1] + '/usage', {headers})
        const body = await response.json()
        return [response.status, body.api_key ?? response.headers.get('mock-reason')]
      }
      const all = [await get({'X-API-Key': 'demo-busy'}), await get({}), await get({Prefer: 'code=429'})]
      console.log(JSON.stringify(all))
    """
    with serving() as (_, url):
        command = [str(NODE), "--input-type=module", "-e", script, url]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[200, "demo-busy"], [401, "missing-key"], [429, "code-override"]]


def test_the_typescript_of_the_documentation_passes(tmp_path: Path) -> None:
    [block] = [block for block in blocks(CHECKOUT / "docs" / "testing.md") if block.language == "typescript"]
    version = subprocess.run([str(NODE), "--version"], capture_output=True, text=True, check=True).stdout
    # The example has no type annotations, so that an older Node.js runs it as JavaScript.
    ending = "mts" if tuple(map(int, version[1:].split(".")[:2])) >= STRIPS_TYPES else "mjs"
    (tmp_path / f"usage.test.{ending}").write_text(block.text)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [str(NODE), "--test", "--test-reporter", "tap", f"usage.test.{ending}"]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert "# pass 2\n# fail 0\n" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0
