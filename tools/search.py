"""Tries composed deployments and prints those that the gate judges wrongly: `python -m tools.search`.

Without options it tries a seeded sample of broken deployments; `--correct` tries unusual and correct ones.
`--held-out` tries deployments with names that were not used for the lists of the gate.
Words after the options select deployments by name.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.support.search.catalogue import sample
from tests.support.search.correct import correct
from tests.support.search.held_out import SAMPLES, held_out
from tests.support.search.judge import find, is_noticed
from tests.support.search.mutations import Mutation

SEED, LIMIT = 1, 3000


def judged(name: str) -> bool:
    """Return whether the gate notices a deployment."""
    with tempfile.TemporaryDirectory() as folder:
        return is_noticed(find(name), Path(folder))


def wrong(mutations: Sequence[Mutation], jobs: int) -> Iterator[Mutation]:
    """Yield the deployments that the gate judges wrongly, in order."""
    with ProcessPoolExecutor(jobs) as pool:
        for mutation, noticed in zip(mutations, pool.map(judged, [each.name for each in mutations]), strict=True):
            if noticed == mutation.is_correct:
                yield mutation


def main(arguments: Sequence[str]) -> None:
    """Print the deployments that the gate judges wrongly, and their number by group."""
    parser = argparse.ArgumentParser(prog="python -m tools.search", description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED, help="the seed of the sample")
    parser.add_argument("--limit", type=int, default=LIMIT, help="the size of the sample")
    parser.add_argument("--jobs", type=int, default=2, help="the number of processes")
    parser.add_argument("--held-out", choices=SAMPLES, help="try the deployments of a sample of held-out names")
    parser.add_argument("--correct", action="store_true", help="try correct deployments")
    parser.add_argument("words", nargs="*", help="parts of names")
    options = parser.parse_args(arguments)
    if options.correct or options.held_out:
        known = held_out(options.held_out) if options.held_out else correct(options.seed)
        chosen = list(known.values())[: options.limit]
        chosen = [each for each in chosen if not options.words or any(word in each.name for word in options.words)]
    else:
        chosen = sample(options.seed, options.limit, *options.words)
    started, sizes, found = time.monotonic(), Counter(each.group for each in chosen), Counter[str]()
    for mutation in wrong(chosen, options.jobs):
        found[mutation.group] += 1
        sys.stdout.write(f"{mutation.name}\n")
        sys.stdout.flush()
    sys.stdout.writelines(f"{count} of {sizes[group]}: {group}\n" for group, count in sorted(found.items()))
    outcome = "rejected" if options.correct else "accepted"
    total, seconds = found.total(), time.monotonic() - started
    sys.stdout.write(f"{total} of {len(chosen)} deployments are {outcome} ({seconds:.0f} s)\n")


if __name__ == "__main__":
    main(sys.argv[1:])
