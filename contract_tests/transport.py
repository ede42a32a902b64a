"""The one way to the deployment: paced, budgeted, patient with 429, and remembering every answer."""

from __future__ import annotations

import math
import ssl
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from functools import partial
from itertools import count

from contract_tests.clock import REAL_TIME, Clock
from contract_tests.connection import Connection, Timeouts, UnreachableError, connect
from contract_tests.message import CLOSED, KEPT, Answer, Credential, Request
from contract_tests.not_tested import NotTested
from contract_tests.redaction import Redactor
from contract_tests.retention import Retention
from contract_tests.settings import Settings

VENDOR_RATE = 10.0  # requests a second: the authentication guide's default
SHARE = 0.9  # of a key's rate; the rest is left to whoever shares the deployment
MOMENT = 2.0  # seconds: a longer Retry-After to a caller without a valid key is meant for those who guess
PATIENCE = 3  # times that a caller without a valid key is sent away with 429
AGENT = "usage-contract/"  # how the User-Agent of every request begins that is not about its User-Agent
AFTER_A_HANG = 3.0  # seconds: a deployment that hung once does not get the full time-out again, if it is not slow
LAST_MOMENT = 1.0  # seconds: what a request gets that is sent when the run's time is nearly over
RECOVERY = 1.2  # times as fast after each answer that is no 429, until the pace is what it was


@dataclass
class Pacer:
    """Hands out send times, `rate` a second at most and none before `next_time`."""

    rate: float
    next_time: float = 0.0

    def __post_init__(self) -> None:
        self._usual = self.rate

    def state(self, rate: float) -> None:
        """Take another rate for the usual one."""
        self.rate = self._usual = rate

    def slow_down(self) -> None:
        """Halve the rate, as a 429 asks for."""
        self.rate = max(min(self.rate, VENDOR_RATE) / 2, 0.1)

    def speed_up(self) -> None:
        """Come closer to the usual rate again."""
        self.rate = min(self.rate * RECOVERY, self._usual)

    def reserve(self, now: float) -> float:
        """Return the time at which the next request may go, and take that place."""
        at = max(now, self.next_time)
        self.next_time = at + 1 / self.rate
        return at


@dataclass
class Transport:
    """Sends requests to one deployment; `journal` holds every answer, 429s included."""

    settings: Settings
    clock: Clock = REAL_TIME
    journal: list[Answer] = field(default_factory=list)
    sent: int = 0
    lost: str = ""
    starved: dict[Credential, Answer] = field(default_factory=dict)
    sent_away: dict[Credential | None, str] = field(default_factory=dict)
    retention: Retention = field(default_factory=Retention)

    def __post_init__(self) -> None:
        self.timeouts = Timeouts.of(self.settings.timeout)
        self.ends = self.clock.now() + self.settings.max_time
        self._redact = Redactor(self.settings.secrets)
        self._overall = Pacer(self.settings.max_rate or VENDOR_RATE)
        rate = self.settings.max_rate or VENDOR_RATE
        # Who has no valid key has no pace of his own until he is throttled.
        self._by_key: dict[bytes, Pacer] = defaultdict(lambda: Pacer(math.inf))
        self._by_key.update({key.value: Pacer(rate) for key in self.settings.keys})
        self._without_key = Pacer(math.inf)
        self._idle: dict[bool, Connection] = {}  # one for callers with a valid key, one for the others
        self._tls = self._tls_context() if self.settings.target.scheme == "https" else None

    def _tls_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.settings.ca_file)
        context.set_alpn_protocols(["http/1.1"])
        return context

    def spent(self) -> str:
        """Say what the run has cost."""
        seconds = self.settings.max_time - (self.ends - self.clock.now())
        return f"{self.sent} requests in {seconds:.1f} s"

    def close(self) -> None:
        """Close the idle connections."""
        for connection in self._idle.values():
            connection.close()
        self._idle.clear()

    def send(self, request: Request, *, fresh: bool = False, lane: bool | None = None) -> Answer:
        """Send one request and return its answer, waiting out each 429.

        A key that nobody issued has no limit that others could have used up, so it is not waited for
        more than a few times. `fresh` asks for a connection of its own; `lane` chooses the kept one of
        callers with a valid key, or that of the others, which is otherwise the caller's own. Raises
        NotTested when the budget, the time or the deployment has gone.
        """
        for attempt in count(1):
            self._wait(self._reserve([request]))
            if fresh:
                self.close()  # a server of one thread is not kept busy by a connection that idles
            answer = self._once(request, fresh=fresh, lane=lane)
            self._learn(answer)
            if answer.status != 429 or self._is_enough(attempt, answer):
                break
            self._back_off(answer)
        return answer

    def _is_enough(self, attempt: int, throttled: Answer) -> bool:
        """Whether a 429 is the answer to take; to a valid key it never is, and one that is starved says so next time.

        Raises NotTested where those who guess are kept off.
        """
        key = throttled.request.credential
        if key in self.settings.keys:
            if attempt >= 3 * PATIENCE and any(a.status == 200 and a.request.credential == key for a in self.journal):
                self.starved[key] = throttled
            return False
        is_kept_off = attempt >= PATIENCE or retry_after(throttled) > MOMENT
        if is_kept_off and any(a.status != 429 for a in self.journal if a.request.credential not in self.settings.keys):
            raise NotTested("callers without a valid key are throttled")
        return attempt >= PATIENCE

    def together(self, requests: Iterable[Request], *, paced: bool = True) -> list[Answer]:
        """Send requests at the same time, each on a connection of its own; NotTested where there cannot be as many."""
        requests = list(requests)
        if not requests:
            return []
        place = self._reserve(requests)
        if paced:
            self._wait(place)
        self.close()
        with ExitStack() as opened, ThreadPoolExecutor(len(requests)) as pool:

            def opening(_: Request) -> Connection:
                return opened.enter_context(closing(self._open()))

            # All are open before the first one asks, or the first answers would be there before the last questions.
            try:
                connections = list(pool.map(opening, requests))
            except UnreachableError as error:
                raise NotTested(f"{len(requests)} connections cannot be open at once: {error}") from None
            self.sent += len(requests)
            room = self.retention.room(len(requests))
            answers = list(pool.map(partial(self._asked_once, room=room), connections, requests))
        for answer in answers:
            self._learn(answer)
        return answers

    def pipelined(self, requests: Sequence[Request], ahead: int = 0) -> list[Answer]:
        """Send requests in one write on a connection of their own, `ahead` bytes before the rest."""
        self._wait(self._reserve(requests))
        self.close()
        connection, _ = self._connection(True, fresh=True)
        self.sent += len(requests)
        started = self.clock.now()
        room = self.retention.room(len(requests))
        answers = connection.pipeline(requests, self.settings.target.origin, self._patience(), ahead, room)
        connection.close()
        answers = [self._as_evidence(answer, started) for answer in answers]
        self.journal += answers
        for answer in answers:
            self._learn(answer)
        return answers

    def last(self, request: Request) -> tuple[Answer, bool]:
        """Send a request on a connection of its own, and say whether the other side closed that after its answer."""
        self._wait(self._reserve([request]))
        self.close()
        connection, _ = self._connection(True, fresh=True)
        self.sent += 1
        answer = self._exchanged(connection, request)
        closed = connection.ends(self._patience().closing)
        connection.close()
        self.journal.append(answer)
        self._learn(answer)
        return answer, closed

    def rest(self, seconds: float) -> None:
        """Send nothing for a while, and forget what earlier bursts have reserved."""
        self._wait(self.clock.now() + seconds)
        for pacer in (self._overall, self._without_key, *self._by_key.values()):
            pacer.next_time = min(pacer.next_time, self.clock.now())

    def _reserve(self, requests: Sequence[Request]) -> float:
        """Return when the last of some requests may go."""
        if self.lost:
            raise NotTested(f"the deployment is not reachable any more: {self.lost}")
        for credential in {request.credential for request in requests}:
            if credential in self.starved:
                raise NotTested(f"{credential.told} is answered 429 however often Retry-After is honoured")
            if credential in self.sent_away:
                raise NotTested(self.sent_away[credential])
        self._afford(len(requests))
        now = self.clock.now()
        return max(
            max(self._overall.reserve(now), self._own_pacer(request.credential).reserve(now)) for request in requests
        )

    def _afford(self, requests: int) -> None:
        left = self.settings.max_requests - self.sent
        if left < requests:
            raise NotTested(
                f"the budget of {self.settings.max_requests} requests (--max-requests) has only {left} left",
                wanted="more --max-requests",
            )

    def _own_pacer(self, credential: Credential | None) -> Pacer:
        return self._by_key[credential.value] if credential else self._without_key

    def _wait(self, until: float) -> None:
        if until > self.ends:
            raise NotTested(self._over, wanted="more --max-time")
        if until > self.clock.now():
            self.clock.sleep(max(0.0, until - self.clock.now()))  # it may have become time since

    def _once(self, request: Request, *, fresh: bool, lane: bool | None = None) -> Answer:
        lane = request.credential in self.settings.keys if lane is None else lane
        connection, reused = self._connection(lane, fresh=fresh)
        self.sent += 1
        answer = self._exchanged(connection, request)
        if reused and answer.ending in CLOSED and answer.status is None:
            # The server may close an idle connection at any time (RFC 9112, section 9.3.1).
            connection.close()
            connection = self._again(answer)
            self.sent += 1
            answer = self._exchanged(connection, request)
        if connection.reusable and not fresh:
            self._idle[lane] = connection
        else:
            connection.close()
        self.journal.append(answer)
        return answer

    def _asked_once(self, connection: Connection, request: Request, room: int) -> Answer:
        with closing(connection):
            answer = self._exchanged(connection, request, room)
        self.journal.append(answer)
        return answer

    def _exchanged(self, connection: Connection, request: Request, room: int | None = None) -> Answer:
        started = self.clock.now()
        room = self.retention.room() if room is None else room
        answer = connection.exchange(request, self.settings.target.origin, self._patience(), room)
        return self._as_evidence(answer, started)

    def _as_evidence(self, answer: Answer, started: float) -> Answer:
        curl = self._curl(answer.request)
        return self.retention.kept(
            replace(answer, curl=curl, started=started, redact=self._redact, check_time=self.check_time)
        )

    def _patience(self) -> Timeouts:
        """Return the time-outs, none of which is much longer than the run."""
        return self.timeouts.within(max(self.ends - self.clock.now(), LAST_MOMENT))

    def check_time(self) -> None:
        """Raise NotTested where the run's time is over."""
        if self.clock.now() >= self.ends:
            raise NotTested(self._over)

    @property
    def _over(self) -> str:
        return f"the {self.settings.max_time:g} s of --max-time are over"

    def _again(self, unanswered: Answer) -> Connection:
        """Open another connection; where that fails, the journal ends with the request that stopped all."""
        try:
            self._afford(1)
            return self._open()
        except NotTested:
            self.journal.append(unanswered)
            raise
        except UnreachableError as error:
            self.journal.append(unanswered)
            self.lost = str(error)
            raise NotTested(f"the deployment is not reachable any more: {error}") from None

    def _connection(self, lane: bool, *, fresh: bool) -> tuple[Connection, bool]:
        if lane in self._idle and not fresh:
            return self._idle.pop(lane), True
        try:
            return self._open(), False
        except UnreachableError as error:
            if not self.journal:
                raise
            self.lost = str(error)
            raise NotTested(f"the deployment is not reachable any more: {error}") from None

    def _open(self) -> Connection:
        return connect(self.settings.target, self.settings.proxy, self._tls, self._patience(), self.clock)

    def _curl(self, request: Request) -> str:
        authority = self.settings.target.authority.encode()
        skipped = {(b"Host", authority), (b"Accept-Encoding", b"identity")}
        skipped |= {(name, value) for name, value in request.fields if value.startswith(AGENT.encode())}
        return request.curl(self.settings.target.origin, skipped, self.settings.keys)

    def _learn(self, answer: Answer) -> None:
        """Pace the key by the rate that the deployment states, and be brief with one that hangs.

        Raises NotTested where a response was not waited for because the run's time is over.
        """
        if answer.ending in {"timeout", "deadline"}:
            self.check_time()
            slowest = max((each.seconds for each in self.journal if each.ending == "complete"), default=0.0)
            self.timeouts = Timeouts.of(min(self.settings.timeout, max(AFTER_A_HANG, 2 * slowest)))
        if answer.status != 429:
            self._own_pacer(answer.request.credential).speed_up()
        is_small = answer.size <= KEPT and not answer.abridged
        stated = answer.status == 200 and answer.request.credential and is_small and answer.json.is_readable
        limit = answer.object.get("rate_limit") if stated else None
        rate = limit.get("rps") if isinstance(limit, dict) else None
        if (
            not answer.request.credential
            or not isinstance(rate, int | float)
            or not 0 < rate < 1e6
            or self.settings.max_rate
        ):
            return
        self._by_key[answer.request.credential.value].state(max(SHARE * rate, 0.1))
        self._overall.rate = max(self._overall.rate, SHARE * rate)

    def _back_off(self, throttled: Answer) -> None:
        """Keep this caller silent until Retry-After is over; NotTested where the run is over before that."""
        credential, wait = throttled.request.credential, retry_after(throttled)
        left = self.ends - self.clock.now()
        if wait > left:
            who = credential.told if credential else "a caller without a key"
            self.sent_away[credential] = (
                f"{who} must wait {wait:.0f} s after a 429, and of --max-time {max(left, 0):.1f} s are left"
            )
            raise NotTested(self.sent_away[credential])
        pacer = self._own_pacer(credential)
        pacer.slow_down()
        pacer.next_time = max(pacer.next_time, self.clock.now() + wait)


def retry_after(answer: Answer) -> float:
    """Return how many seconds the answer asks to wait: at least a second, also where it does not say."""
    return max(1.0, stated_wait(answer))


def stated_wait(answer: Answer) -> float:
    """Return how many seconds Retry-After names, by the answer's own clock where it is a date; 1 without it."""
    text = (answer.header("Retry-After") or "").strip()
    if not is_retry_after(text):
        return 1.0
    if text.isdecimal():
        return float(text)
    return max(0.0, parsedate_to_datetime(text).timestamp() - made_at(answer))


def made_at(answer: Answer) -> float:
    """Return when an answer was made, in seconds since 1970: by its Date, and without one just now."""
    text = (answer.header("Date") or "").strip()
    return parsedate_to_datetime(text).timestamp() if is_date(text) else time.time()


def is_retry_after(text: str) -> bool:
    """Whether the text is a number of seconds or an HTTP date (RFC 9110, section 10.2.3)."""
    return len(text) < 11 if text.isdecimal() and text.isascii() else is_date(text)


def is_date(text: str) -> bool:
    """Whether the text is an HTTP date (RFC 9110, section 5.6.7)."""
    try:
        parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return False
    return True
