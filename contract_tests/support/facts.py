"""Facts about the deployment under test, computed from the baseline exchanges.

A rule that sends requests needs facts about the deployment. For example, a rule about a key in the query needs a
deployment that refuses a request without a key, with any status code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain

from contract_tests.metrics.view import Stated, UsageMetrics, with_members
from contract_tests.support import wrong_keys
from contract_tests.wire.messages import AUTH_ERRORS, SUCCESSES, Credential, Exchange
from contract_tests.wire.not_tested import NotTested
from contract_tests.wire.strict_json import member_names, objects

TWO_KEYS = "two used keys"  # a need that the summary names
NO_SECOND_KEY = "it needs a second key (CONTRACT_API_KEY_2, or --api-key once more)"


@dataclass(frozen=True)
class Baseline:
    """The exchanges of the baseline requests, by credential.

    `members` are the names of the usage metrics in the 200 body.
    """

    valid: tuple[Exchange, ...]
    missing: tuple[Exchange, ...]
    unknown: tuple[Exchange, ...]
    members: frozenset[str]

    @classmethod
    def of(cls, exchanges: Iterable[Exchange], members: frozenset[str]) -> Baseline:
        """Sort baseline exchanges by credential."""
        exchanges = tuple(exchanges)
        missing = tuple(each for each in exchanges if each.request.credential is None)
        unknown = tuple(each for each in exchanges if each.request.credential == wrong_keys.UNKNOWN)
        valid = tuple(each for each in exchanges if each.request.credential not in {None, wrong_keys.UNKNOWN})
        return cls(valid, missing, unknown, members)

    def refusals(self, *credentials: Credential | None) -> frozenset[int]:
        """Return the status codes that refuse these credentials here: 401 and 403, and this deployment's own."""
        refused = [self.missing if credential is None else self.unknown for credential in credentials]
        own = {each.status for each in chain(*refused) if each.status is not None and self._is_refused(each)}
        return AUTH_ERRORS | own

    def has_valid_key(self) -> bool:
        """Whether each request with a valid key was answered 200 with a whole response."""
        return all(each.is_complete_200 for each in self.valid)

    def has_readable_body(self) -> bool:
        """Whether each body in response to a valid key can be read as a JSON object."""
        return all(not each.coding_problem and isinstance(each.json.value, dict) for each in self.valid)

    def refuses_missing_key(self) -> bool:
        """Whether each request without a key was refused."""
        return all(map(self._is_refused, self.missing))

    def refuses_unknown_key(self) -> bool:
        """Whether each request with an unknown key was refused."""
        return all(map(self._is_refused, self.unknown))

    def _is_refused(self, exchange: Exchange) -> bool:
        """Whether an exchange ended with a refusal: a status other than 2xx, and no usage metrics."""
        is_error = exchange.status not in {None, *SUCCESSES}
        return is_error and not contains_metrics(exchange, self.members)


@dataclass(frozen=True)
class Fact:
    """One property of the deployment that rules need.

    `missing` is the sentence that is printed where the deployment lacks it; `reported_by` are the ids of the rules
    that report the lack.
    """

    name: str
    missing: str
    reported_by: tuple[str, ...]
    holds: Callable[[Baseline], bool] = field(repr=False)


def contains_metrics(exchange: Exchange, members: frozenset[str]) -> bool:
    """Whether the response body has two or more usage metrics in one object, at any depth.

    Of a body that was not kept whole, only the beginning is searched.
    """
    if exchange.abridged:
        begins_as_json = exchange.payload.lstrip().startswith((b"{", b"["))
        return begins_as_json and len(members & member_names(exchange.payload)) > 1
    if not exchange.json.is_readable:
        return len(members & member_names(exchange.body)) > 1
    return any(len(members & each.keys()) > 1 for each in objects(exchange.json.value))


VALID_KEY = Fact(
    "valid key",
    "a baseline request with a valid key was not answered 200 with a whole response",
    ("auth/valid-key-is-200", "http/responses-are-complete"),
    Baseline.has_valid_key,
)
READABLE_BODY = Fact(
    "readable body",
    "the 200 body of a baseline request cannot be read as a JSON object",
    ("schema/body-is-json", "http/content-encoding-matches-the-body", "schema/body-has-the-specified-types"),
    Baseline.has_readable_body,
)
MISSING_KEY_REFUSED = Fact(
    "missing key refused",
    "a baseline request without a key was not refused",
    ("auth/missing-key-is-401",),
    Baseline.refuses_missing_key,
)
UNKNOWN_KEY_REFUSED = Fact(
    "unknown key refused",
    "a baseline request with an unknown key was not refused",
    ("auth/unknown-key-is-refused",),
    Baseline.refuses_unknown_key,
)


def check_facts(needs: Iterable[Fact], baseline: Baseline) -> None:
    """Raise NotTested for the first fact that does not hold."""
    for fact in needs:
        if not fact.holds(baseline):
            raise NotTested(fact.missing, because=fact.reported_by)


NEEDS_VALID_KEY = (VALID_KEY,)
NEEDS_READABLE_BODY = (VALID_KEY, READABLE_BODY)
NEEDS_AUTH_ERRORS = (MISSING_KEY_REFUSED, UNKNOWN_KEY_REFUSED)
FACTS = (*NEEDS_READABLE_BODY, *NEEDS_AUTH_ERRORS)
READING = (*VALID_KEY.reported_by, *READABLE_BODY.reported_by)  # the rules that report why a body cannot be read


def having(usage_metrics: Iterable[UsageMetrics], *names: str) -> list[Stated]:
    """Return the usage metrics that have all the members, with the members' values; NotTested if none has."""
    found = list(with_members(usage_metrics, *names))
    if not found:
        because = (*READING, "schema/body-has-the-documented-ranges", "schema/body-has-every-documented-member")
        raise NotTested(f"no 200 response has a valid {' and '.join(names)}", because=because)
    return found
