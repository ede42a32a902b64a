"""The pace of requests, and the wait that a 429 requires."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from contract_tests.wire.dates import is_date, made_at, timestamp
from contract_tests.wire.limits import KEPT
from contract_tests.wire.messages import Credential, Exchange

VENDOR_RATE = 10.0  # requests a second: the authentication guide's default
OVERALL_RATE = 20.0  # requests a second: those without a valid key take no tokens of a customer
SHARE = 0.9  # of a key's rate; the rest is for other users of the deployment
GUARDING = frozenset({401, 403, 429, 503})  # statuses by which a deployment answers callers that guess keys
RECOVERY = 1.2  # times as fast after each response other than 429, up to the usual pace


@dataclass
class Pacer:
    """Reserves send times: at most `rate` a second, and none before `next_time`."""

    rate: float
    next_time: float = 0.0

    def __post_init__(self) -> None:
        self._usual = self.rate

    def set_rate(self, rate: float) -> None:
        """Use another rate from now on."""
        self.rate = self._usual = rate

    def slow_down(self) -> None:
        """Halve the rate after a 429."""
        self.rate = max(min(self.rate, VENDOR_RATE) / 2, 0.1)

    def speed_up(self) -> None:
        """Raise the rate again, at most to the usual one."""
        self.rate = min(self.rate * RECOVERY, self._usual)

    def reserve(self, now: float) -> float:
        """Reserve the send time of the next request, and return it."""
        at = max(now, self.next_time)
        self.next_time = at + 1 / self.rate
        return at


class Pace:
    """The pace of a run: of all requests, of callers with a valid key and of others, and of each key.

    Callers without a valid key have no pace of their own until the deployment throttles or blocks them.
    """

    def __init__(self, keys: Sequence[Credential], max_rate: float | None) -> None:
        rate = max_rate or VENDOR_RATE
        self._keys, self._is_given = keys, max_rate is not None
        self._all = Pacer(max_rate or OVERALL_RATE)
        self._valid_keys, self._others = Pacer(rate), Pacer(math.inf)
        self._by_key: dict[bytes | None, Pacer] = defaultdict(lambda: Pacer(math.inf))
        self._by_key.update({key.value: Pacer(rate) for key in keys})
        self._refusals: dict[Hashable, int | None] = {}

    def _own(self, credential: Credential | None) -> Pacer:
        return self._by_key[credential.value if credential else None]

    def reserve(self, callers: Iterable[Credential | None], now: float) -> float:
        """Reserve a send time for each caller, and return the last one."""
        return max(
            pacer.reserve(now)
            for caller in callers
            for pacer in (self._all, self._valid_keys if caller in self._keys else self._others, self._own(caller))
        )

    def forget_reservations(self, now: float) -> None:
        """Allow the next request of every caller now."""
        for pacer in (self._all, self._valid_keys, self._others, *self._by_key.values()):
            pacer.next_time = min(pacer.next_time, now)

    def back_off(self, caller: Credential | None, until: float) -> None:
        """Send nothing for this caller until a time, and less often after that."""
        own = self._own(caller)
        own.slow_down()
        own.next_time = max(own.next_time, until)

    def learn(self, exchange: Exchange) -> None:
        """Adapt the pace to the rate that the deployment states, and to a guard against callers without a valid key."""
        caller = exchange.request.credential
        if caller not in self._keys:
            self._notice_guard(exchange)
        own = self._own(caller)
        if exchange.status != 429:
            own.speed_up()
        if caller and not self._is_given and (rate := stated_rate(exchange)):
            own.set_rate(max(SHARE * rate, 0.1))
            for pacer in (self._all, self._valid_keys):
                pacer.rate = max(pacer.rate, SHARE * rate)

    def _notice_guard(self, exchange: Exchange) -> None:
        """Notice a deployment that has begun to throttle or to block callers without a valid key."""
        request = exchange.request
        names = [name.lower() for name, _ in request.fields]
        has_key = bool(request.credential and request.credential.value.strip())
        kind = (request.method, request.target, has_key, len(names) == len(set(names)))
        first = self._refusals.setdefault(kind, exchange.status)
        if exchange.status == 429 or (exchange.status != first and exchange.status in GUARDING):
            self._others.rate = max(SHARE * VENDOR_RATE, self._own(self._keys[0]).rate)


def stated_rate(exchange: Exchange) -> float | None:
    """Return the requests a second that usage metrics state for their key; None without a plausible rate."""
    if exchange.status != 200 or exchange.abridged or exchange.size > KEPT or not exchange.json.is_readable:
        return None
    limit = exchange.object.get("rate_limit")
    rate = limit.get("rps") if isinstance(limit, dict) else None
    return rate if isinstance(rate, int | float) and 0 < rate < 1e6 else None


def retry_after(exchange: Exchange) -> float:
    """Return the seconds to wait after a 429: at least one, also without Retry-After."""
    return max(1.0, stated_wait(exchange))


def stated_wait(exchange: Exchange) -> float:
    """Return the seconds of Retry-After; a date counts from the response's Date. Without Retry-After it is 1."""
    text = exchange.header("Retry-After").strip()
    if not is_retry_after(text):
        return 1.0
    if text.isdecimal():
        return float(text)
    return max(0.0, (timestamp(text) or 0.0) - made_at(exchange))


def is_retry_after(text: str) -> bool:
    """Whether the text is a number of seconds or an HTTP date (RFC 9110, section 10.2.3)."""
    return len(text) < 11 if text.isdecimal() and text.isascii() else is_date(text)
