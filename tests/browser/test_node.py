"""The mock as Node's fetch sees it."""

from __future__ import annotations

import json
import subprocess

from tests.support.command import serving
from tests.support.tiers import NODE


def test_a_client_in_node_sees_figures_and_refusals() -> None:
    script = """
      const ask = async headers => {
        const answer = await fetch(process.argv[1] + '/usage', {headers})
        const body = await answer.json()
        return [answer.status, body.api_key ?? answer.headers.get('mock-reason')]
      }
      const all = [await ask({'X-API-Key': 'demo-busy'}), await ask({}), await ask({Prefer: 'code=429'})]
      console.log(JSON.stringify(all))
    """
    with serving() as (_, url):
        command = [str(NODE), "--input-type=module", "-e", script, url]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[200, "demo-busy"], [401, "missing-key"], [429, "no-token"]]
