"""Writes docs/rules.md and the usual requests of each rule: `python -m tools.rules_document`."""

from __future__ import annotations

import json
import tempfile
import textwrap
from itertools import groupby
from pathlib import Path

from contract_tests.run.plan import with_own_fixtures
from contract_tests.run.verdicts import Verdict
from mock_server.fixtures.faults import fault_names, load_fault
from tests.support.proof import Result, run_against

CHECKOUT = Path(__file__).parents[1]
DOCUMENT = CHECKOUT / "docs" / "rules.md"
TYPICAL = CHECKOUT / "contract_tests" / "run" / "typical_requests.json"
WIDTH = 140  # characters of a line
HEAD = """# The rules

Each rule is one promise. `python -m tools.rules_document` writes this page from the rules and from `fixtures/faults/`.

*Requests* is the number of requests that only this rule sends to the embedded mock.
All rules share {shared} more. The number for an intrusive rule depends on the bucket that it empties.
*Needs* lists [facts](gate.md#facts) about the deployment.
*Not tested after* lists rules that find the same defect in the same exchanges.
*Proven by* lists the faults that the rule must notice.
"""


def measured() -> Result:
    """Return a run of all rules against the mock."""
    with tempfile.TemporaryDirectory() as folder:
        return run_against(None, Path(folder))


def typical_requests(result: Result) -> str:
    """Return the requests of each rule, and of each fixture that rules share, that sends any, as JSON."""
    costs = {verdict.rule: result.cost(verdict) for verdict in result.verdicts}
    rules = {
        rule.id: costs[rule] - sum(result.of_fixtures.get(name, 0) for name in fixtures)
        for rule, fixtures in with_own_fixtures(costs)
    }
    sent = {"fixtures": result.of_fixtures, "rules": rules}
    typical = {kind: {name: number for name, number in each.items() if number} for kind, each in sent.items()}
    return json.dumps(typical, indent=1, sort_keys=True) + "\n"


def document(result: Result) -> str:
    """Return the text of docs/rules.md."""
    proofs = {name: load_fault(name).breaks for name in fault_names()}
    parts = [HEAD.format(shared=result.shared)]
    for group, verdicts in groupby(sorted(result.verdicts, key=_id), key=lambda verdict: _id(verdict).split("/")[0]):
        parts += [f"## {group}\n", *(_entry(result, verdict, proofs) for verdict in verdicts)]
    return "\n".join(parts)


def _id(verdict: Verdict) -> str:
    return verdict.rule.id


def _entry(result: Result, verdict: Verdict, proofs: dict[str, tuple[str, ...]]) -> str:
    rule = verdict.rule
    cost = "intrusive" if rule.intrusive else result.cost(verdict)
    needs = f"- needs: {', '.join(fact.name for fact in rule.needs)}\n" if rule.needs else ""
    repeats = f"- not tested after: {', '.join(f'`{each}`' for each in rule.repeats)}\n" if rule.repeats else ""
    proof = ", ".join(f"`{name}`" for name, breaks in sorted(proofs.items()) if rule.id in breaks)
    text = (
        f"### `{rule.id}`\n\n{rule.promise}\n\n- level: {rule.level}\n- source: {rule.source}\n"
        f"- requests: {cost}\n{needs}{repeats}- proven by: {proof}\n"
    )
    return "\n".join(map(_wrapped, text.split("\n")))


def _wrapped(line: str) -> str:
    indent = "  " if line.startswith("- ") else ""
    return textwrap.fill(line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    run = measured()
    TYPICAL.write_text(typical_requests(run))
    DOCUMENT.write_text(document(run))
