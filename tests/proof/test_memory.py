"""A run against large responses stays within its limits of memory and time."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from contract_tests.wire.limits import LARGEST_HEAD
from tests.support.forked_gate import GATE
from tests.support.gate import serving
from tests.support.large_bodies import ROWS, VALUES, WHOLE, deployment, response, usage

MEMORY = 200  # MB, of the whole process
MEASURED = """
import sys, pytest
code = pytest.main(sys.argv[1:])
print("MB", [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")][0])
sys.exit(code)
"""


HOSTILE: dict[str, list[bytes]] = {
    "values": [response(usage("more", value)) for value in VALUES.values()],
    "rows": [
        *(response(usage("top_domains", ROWS[name])) for name in ("top_domains", "empty rows", "wrong rows")),
        response(usage("by_protocol", ROWS["protocols"])),
    ],
    "heads and codings": [
        response(json.dumps(WHOLE).encode(), fields=b"a:b\r\n" * (LARGEST_HEAD // 6)),
        response(json.dumps(WHOLE).encode(), fields=b"X-Long: " + b"a" * (LARGEST_HEAD - 1024) + b"\r\n"),
        response(gzip.compress(usage("more", VALUES["objects"])), fields=b"Content-Encoding: gzip\r\n"),
        response(gzip.compress(usage("more", VALUES["numbers"])), fields=b"Content-Encoding: gzip\r\n"),
    ],
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_run_against_large_responses_stays_within_its_memory_and_time(kind: str, tmp_path: Path) -> None:
    with serving(deployment(*HOSTILE[kind])) as url:
        options = ["--base-url", url, "--max-rate", "1000", "--max-time", "40", "--report-dir", "out", "--intrusive"]
        arguments = [str(GATE), "-q", "-p", "no:cacheprovider", "--rootdir=.", *options]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "PYTEST_"))}
        run = subprocess.run(
            [sys.executable, "-c", MEASURED, *arguments],
            cwd=tmp_path,
            env=environment | {"CONTRACT_API_KEY": "main-key"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    sys.stdout.write(run.stdout[-6000:] + run.stderr[-2000:])  # pytest shows it if the test fails
    report = json.loads((tmp_path / "out" / "contract.json").read_text())
    memory = int(re.findall(r"MB (\d+)", run.stdout)[-1]) / 1000
    sys.stdout.write(f"{kind}: {memory:.0f} MB, {report['requests']} requests in {report['seconds']:.1f} s\n")
    assert memory <= MEMORY
    assert report["seconds"] <= 40 + 20 * 3  # --max-time, and some time to finish
    assert report["counts"]["gate error"] == 0
    assert report["counts"]["not tested"] > 0
    assert any("not all of a response of" in rule["reason"] for rule in report["rules"])
