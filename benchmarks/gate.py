"""Measures the cost of a run of the gate, and the use of its probes: `python -m benchmarks.gate [--all] [--json FILE]`.

One run against the embedded mock measures requests, seconds and memory for each rule.
A second, profiled run measures the CPU time for each package.
`--probes` instead runs the gate against every fault, and prints for each probe the faults that only this probe finds.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import re
import resource
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Generator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import contract_tests
from benchmarks.measure import machine
from contract_tests.run.verdicts import verdicts_key
from mock_server.fixtures.faults import load_fault
from tests.support.proof import BROKEN, run_against

GATE = str(Path(contract_tests.__file__).parent)
KIB = 1024


@dataclass
class Meter:
    """A pytest plugin that measures time and memory of each rule."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Measure one rule."""
        started, before, sent = time.perf_counter(), _resident(), _requests(item)
        result = yield
        rule = dict(item.user_properties).get("rule", item.name)
        row = {"rule": rule, "requests": _requests(item) - sent, "seconds": round(time.perf_counter() - started, 3)}
        self.rows.append(row | {"mib": round(_resident() - before, 1)})
        return result


def _requests(item: pytest.Item) -> int:
    return item.config.stash[verdicts_key].requests


def _resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / KIB / KIB


def run(meter: Meter) -> float:
    """Run the gate in this process without its output, and return its seconds."""
    started = time.perf_counter()
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        code = pytest.main([GATE, "-q", "-p", "no:cacheprovider"], plugins=[meter])
    assert code == 0, f"the gate's exit code was {code}"
    return time.perf_counter() - started


def run_in_new_process(*arguments: str) -> None:
    """Run this module in a new process, so that a run does not profit from the imports of an earlier one."""
    child = os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-m", "benchmarks.gate", *arguments])
    assert child == 0, f"exit code {child}"


def metered(all_rules: bool, file: Path | None) -> None:
    """Print the cost of each rule, or of the ten most expensive ones."""
    meter = Meter()
    seconds = run(meter)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB
    total = {"rules": len(meter.rows), "requests": sum(row["requests"] for row in meter.rows)}
    total |= {"seconds": round(seconds, 1), "peak_mib": round(peak, 1)}
    print(machine(), total, "", sep="\n")
    print(f"{'requests':>8} {'seconds':>8} {'MiB':>6}  rule")
    rows = sorted(meter.rows, key=lambda row: -row["seconds"])
    for row in rows if all_rules else rows[:10]:
        print(f"{row['requests']:>8} {row['seconds']:>8} {row['mib']:>6}  {row['rule']}")
    if file:
        file.write_text(json.dumps({"machine": machine(), "total": total, "rules": rows}, indent=2) + "\n")


def profiled() -> None:
    """Print the CPU time of a run for each package."""
    profile = cProfile.Profile(time.process_time)
    profile.enable()
    run(Meter())
    profile.disable()
    spent: Counter[str] = Counter()
    for (file, _, _), (_, _, own, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        spent[_package(file)] += own
    print("\nCPU time of the main thread of the gate, profiled:")
    for package, seconds in spent.most_common(12):
        print(f"{100 * seconds / spent.total():>7.0f} %  {package}")


def _package(file: str) -> str:
    parts = Path(file).parts
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1].removesuffix(".py")
    ours = [name for name in ("contract_tests", "mock_server", "usage_contract") if name in parts]
    return ours[0] if ours else "Python itself"


def without_port(label: str) -> str:
    """Return the label of a request without the mock's port, which is another one in each run."""
    return re.sub(r"(?<=//127\.0\.0\.1):\d+", "", label)


def probes(words: Sequence[str]) -> None:
    """Print for each probe the faults that only this probe finds, of those whose names contain one of the words."""
    only_with: defaultdict[str, list[str]] = defaultdict(list)
    found_with: Counter[str] = Counter()
    for name in [name for name in BROKEN if not words or any(word in name for word in words)]:
        with tempfile.TemporaryDirectory() as folder:
            labels = {without_port(label) for label in run_against(load_fault(name), Path(folder)).labels}
        found_with.update(labels)
        if len(labels) == 1:
            only_with[next(iter(labels))].append(name)
    with tempfile.TemporaryDirectory() as folder:
        sent = {without_port(label) for label in run_against(None, Path(folder)).requests}
    for label in sorted(sent | found_with.keys(), key=lambda label: (len(only_with[label]), found_with[label], label)):
        print(f"alone {len(only_with[label])}, of {found_with[label]}: {label}: {', '.join(only_with[label][:3])}")


def main() -> None:
    """Run the measurements that the options select."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="every rule, not the ten most expensive")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--probes", nargs="*", metavar="WORD", help="faults by probe; words select faults by name")
    parser.add_argument("--profiled", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.probes is not None:
        probes(options.probes)
        return
    if options.profiled:
        profiled()
        return
    metered(options.all, options.json)
    run_in_new_process("--profiled")


if __name__ == "__main__":
    main()
