"""All deployments of the search, and seeded samples of them."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from itertools import chain, zip_longest
from pathlib import Path

from tests.support.search.authentication import of_authentication
from tests.support.search.limits import of_limits
from tests.support.search.messages import of_messages
from tests.support.search.metrics import metric_mutations
from tests.support.search.mutations import Mutation

DOCUMENT = Path(__file__).parents[3] / "docs" / "mutants.md"


@cache
def explanations() -> Mapping[str, str]:
    """Return the reasons from docs/mutants.md for deployments that the gate accepts, by a pattern of their names."""
    section = DOCUMENT.read_text().partition("\n## ")[2]
    return dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", section, re.MULTILINE))


def is_explained(mutation: Mutation) -> bool:
    """Whether docs/mutants.md has a reason why the gate may accept a deployment."""
    return any(fnmatchcase(mutation.name, pattern) for pattern in explanations())


@cache
def mutations() -> Mapping[str, Mutation]:
    """Return all deployments that are broken, by name."""
    found = {}
    for mutation in chain(of_authentication(), of_messages(), metric_mutations(), of_limits()):
        if mutation.name in found:
            raise ValueError(f"{mutation.name}: two deployments have this name")
        found[mutation.name] = mutation
    return found


def sample(seed: int, limit: int, *words: str) -> list[Mutation]:
    """Return a seeded sample in which each group has its turn; of those whose names hold a word, if there are any."""
    groups: defaultdict[str, list[Mutation]] = defaultdict(list)
    for mutation in mutations().values():
        if not words or any(word in mutation.name for word in words):
            groups[mutation.group].append(mutation)
    draw = random.Random(seed)
    for members in groups.values():
        draw.shuffle(members)
    return list(_in_turn(groups.values()))[:limit]


def _in_turn(groups: Iterable[list[Mutation]]) -> Iterator[Mutation]:
    for row in zip_longest(*groups):
        yield from (each for each in row if each is not None)
