"""The only way to the deployment: it paces requests, keeps the budget, waits out 429, and records each exchange."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import count
from typing import ClassVar

from contract_tests.redaction.redactor import Redactor
from contract_tests.wire.clock import REAL_TIME, Clock, Timeouts
from contract_tests.wire.connection import Connection, UnreachableError, connect
from contract_tests.wire.messages import CLOSED_ENDINGS, LATE_ENDINGS, Credential, Exchange, Pool, Request
from contract_tests.wire.not_tested import MORE_REQUESTS, MORE_TIME, NotTested
from contract_tests.wire.pacing import Pace, retry_after
from contract_tests.wire.retention import Retention
from contract_tests.wire.target import ConnectionSettings

ATTEMPTS, ATTEMPTS_WITHOUT_VALID_KEY = 9, 3  # at a request whose responses have status 429
LONGEST_WAIT_WITHOUT_VALID_KEY = 2.0  # seconds: a longer Retry-After is meant for callers that guess keys
AFTER_A_HANG = 3.0  # seconds, divided by the number of hangs: the time-out, unless complete responses were slow
SHORTEST_TIMEOUT = 0.5  # seconds
CLOSED_SOON = 1.0  # seconds: a server that closes an idle connection so soon wanted to close it after its response
LAST_MOMENT = 1.0  # seconds: the time-out of a request that is sent when the run's time is nearly over
RECONNECTING = 5.0  # seconds during which connections are tried once one has failed: a restart takes less
FIRST_PAUSE = 0.1  # seconds before the second of these connections; each further pause is twice as long


@dataclass
class Transport:
    """Sends requests to one deployment.

    `journal` contains every exchange, also those with status 429. `unreachable_reason` is set once no connection can be
    opened, even after some seconds. `interruptions` are sentences about shorter times without a connection. `crashes`
    are requests that were sent twice, both times without a response, and no connection could be opened in between.
    `silent_addresses` did not answer while another address of the same host did. `exhausted` are keys with only 429
    responses, each with its last one. `throttled_reason` is the reason why a caller sends no more requests.
    `closed_unannounced` are exchanges after which the server closed the connection, and did not announce it.
    `is_recorded` states that the journal is a recording, and that nothing can be sent.
    """

    is_recorded: ClassVar[bool] = False

    settings: ConnectionSettings
    clock: Clock = REAL_TIME
    journal: list[Exchange] = field(default_factory=list)
    sent: int = 0
    unreachable_reason: str = ""
    interruptions: list[str] = field(default_factory=list)
    crashes: list[Exchange] = field(default_factory=list)
    silent_addresses: set[str] = field(default_factory=set)
    exhausted: dict[Credential, Exchange] = field(default_factory=dict)
    throttled_reason: dict[Credential | None, str] = field(default_factory=dict)
    closed_unannounced: list[Exchange] = field(default_factory=list)
    retention: Retention = field(default_factory=Retention)

    def __post_init__(self) -> None:
        self.timeouts = Timeouts.of(self.settings.timeout)
        self.ends = self.clock.now() + self.settings.max_time
        self._redact = Redactor(self.settings.secrets)
        self._pace = Pace(self.settings.keys, self.settings.max_rate)
        self._idle: dict[Pool, tuple[Connection, Exchange]] = {}
        self._hangs = 0
        self._has_awaited_close = False  # once a run: each time may take seconds

    @cached_property
    def _tls(self) -> ssl.SSLContext | None:
        if self.settings.target.scheme != "https":
            return None
        context = ssl.create_default_context(cafile=self.settings.ca_file)
        context.set_alpn_protocols(["http/1.1"])
        return context

    @property
    def problems(self) -> list[str]:
        """Sentences about temporary problems of the deployment that no request caused."""
        host = (self.settings.proxy or self.settings.target).host
        silent = sorted(self.silent_addresses)
        return [
            *self.interruptions,
            *(f"{address}, an address of {host}, did not answer; another address was used" for address in silent),
        ]

    def close(self) -> None:
        """Close the idle connections."""
        for connection, _ in self._idle.values():
            connection.close()
        self._idle.clear()

    def send(self, request: Request) -> Exchange:
        """Send one request and return its exchange; a 429 is waited out and the request sent again.

        Raises:
            NotTested: The request budget or the time is used up, or the deployment does not answer.
        """
        for attempt in count(1):
            self._wait(self._reserve([request]))
            if request.new_connection:
                self.close()  # an idle connection would keep a server of one thread busy
            exchange = self._send_once(request)
            if exchange.status != 429:
                break
            if request.credential in self.settings.keys:
                self._note_exhaustion(request.credential, attempt, exchange)
            elif self._is_final(attempt, exchange):
                break
            self._back_off(exchange)
        return exchange

    def _note_exhaustion(self, key: Credential, attempt: int, throttled: Exchange) -> None:
        """Note a valid key that was accepted once, and gets only 429 responses now; `_reserve` refuses it from then."""
        if attempt >= ATTEMPTS and any(each.status == 200 and each.request.credential == key for each in self.journal):
            self.exhausted[key] = throttled

    def _is_final(self, attempt: int, throttled: Exchange) -> bool:
        """Whether a 429 to a caller without a valid key is the response to judge.

        Raises:
            NotTested: The deployment throttles callers that guess keys.
        """
        is_last = attempt >= ATTEMPTS_WITHOUT_VALID_KEY or retry_after(throttled) > LONGEST_WAIT_WITHOUT_VALID_KEY
        others = (each for each in self.journal if each.request.credential not in self.settings.keys)
        if is_last and any(each.status != 429 for each in others):
            raise NotTested("callers without a valid key are throttled")
        return attempt >= ATTEMPTS_WITHOUT_VALID_KEY

    def send_concurrently(self, requests: Sequence[Request], *, is_paced: bool = True) -> list[Exchange]:
        """Send requests at the same time, each on its own connection.

        Raises:
            NotTested: The deployment accepts fewer connections at once.
        """
        if not requests:
            return []
        send_time = self._reserve(requests)
        if is_paced:
            self._wait(send_time)
        self.close()
        with ExitStack() as opened, ThreadPoolExecutor(len(requests)) as pool:
            # All connections are open before the first request, so that no response arrives before the last request.
            try:
                connections = list(pool.map(lambda _: opened.enter_context(closing(self._open())), requests))
            except UnreachableError as error:
                raise NotTested(f"{len(requests)} connections cannot be open at once: {error}") from None
            self.sent += len(requests)
            room = self.retention.room(len(requests))
            exchanges = list(pool.map(partial(self._send_on, room=room), connections, requests))
        for exchange in exchanges:
            self._learn(exchange)
        return exchanges

    def send_pipelined(self, requests: Sequence[Request], ahead: int = 0) -> list[Exchange]:
        """Send requests in one write on a new connection; in three, the first of `ahead` bytes and the last of two."""
        connection = self._connection_for(requests)
        room = self.retention.room(len(requests))
        exchanges = connection.pipeline(requests, self._timeouts(), ahead=ahead, room=room)
        connection.close()
        exchanges = [*map(self._as_evidence, exchanges)]
        self.journal += exchanges
        for exchange in exchanges:
            self._learn(exchange)
        return exchanges

    def send_and_await_close(self, request: Request, seconds: float | None = None) -> Exchange:
        """Send a request on a new connection, and wait for the server to close that after its response.

        It waits for some seconds, by default as long as the closing of a connection may take.
        """
        connection = self._connection_for([request])
        exchange = self._exchange(connection, request)
        timeouts = self._timeouts()
        awaited = timeouts.closing if seconds is None else min(seconds, timeouts.total)
        exchange = replace(exchange, is_closed=connection.ends(awaited))
        connection.close()
        return self._recorded(exchange)

    def send_beside_abandoned(self, abandoned: Sequence[Request], request: Request) -> Exchange:
        """Send a request while others are abandoned: the gate closes their connections before their responses.

        A further connection has sent half of the request, and remains open.
        The connection of the request is the first one: a server of one thread serves it before the others.

        Raises:
            NotTested: The deployment accepts fewer connections at once.
        """
        requests = [*abandoned, request]
        self._wait(self._reserve(requests))
        self.close()
        with ExitStack() as opened:
            try:
                connection, *others, half = [opened.enter_context(closing(self._open())) for _ in (*requests, "half")]
            except UnreachableError as error:
                raise NotTested(f"{len(requests) + 1} connections cannot be open at once: {error}") from None
            started = self.clock.now()
            problems = [each.begin(left, self._timeouts()) for each, left in zip(others, abandoned, strict=True)]
            for other in others:
                other.close()
            seconds = self.clock.now() - started
            for left, problem in zip(abandoned, problems, strict=True):
                problem = problem or "the gate closed the connection before the response"
                exchange = Exchange(left, ending="abandoned", problem=problem, started=started, seconds=seconds)
                self.journal.append(self._as_evidence(exchange))
            half.begin(request, self._timeouts(), part=0.5)
            self.clock.sleep(self._timeouts().grace)
            self.sent += len(requests)
            exchange = self._exchange(connection, request)
        return self._recorded(exchange)

    def _recorded(self, exchange: Exchange) -> Exchange:
        self.journal.append(exchange)
        self._learn(exchange)
        return exchange

    def pause(self, seconds: float) -> None:
        """Send nothing for some seconds, and forget the send times that earlier bursts have reserved."""
        self._wait(self.clock.now() + seconds)
        self._pace.forget_reservations(self.clock.now())

    def _reserve(self, requests: Sequence[Request]) -> float:
        """Reserve a send time for each request, and return the last one."""
        if self.unreachable_reason:
            raise NotTested(f"the deployment is not reachable any more: {self.unreachable_reason}")
        for credential in {request.credential for request in requests}:
            if credential in self.exhausted:
                raise NotTested(f"every request with {credential.label} gets a 429, also after Retry-After")
            if credential in self.throttled_reason:
                raise NotTested(self.throttled_reason[credential])
        self._check_budget(len(requests))
        return self._pace.reserve([request.credential for request in requests], self.clock.now())

    def _check_budget(self, requests: int) -> None:
        left = self.settings.max_requests - self.sent
        if left < requests:
            raise NotTested(
                f"the request budget (--max-requests {self.settings.max_requests}) has "
                f"{left or 'no'} request{'s' if left > 1 else ''} left",
                wanted=MORE_REQUESTS,
            )

    def _wait(self, until: float) -> None:
        if until > self.ends:
            raise NotTested(self._over, wanted=MORE_TIME)
        # Also without a wait, a server on this machine gets the time to close an idle connection.
        self.clock.sleep(max(0.0, until - self.clock.now()))

    def _send_once(self, request: Request) -> Exchange:
        kept = None if request.new_connection else self._idle_connection(request.pool)
        connection = kept or self._new_connection()
        self.sent += 1
        exchange = self._exchange(connection, request)
        if _is_unanswered(exchange):
            connection.close()
            connection, exchange = self._send_again(connection, exchange, was_kept=kept is not None)
        if connection.reusable and not request.new_connection:
            self._idle[request.pool] = (connection, exchange)
        else:
            if exchange.announces_closing and not self._has_awaited_close:
                self._has_awaited_close = True
                exchange = replace(exchange, is_closed=connection.ends(self._timeouts().closing))
            connection.close()
        return self._recorded(exchange)

    def _idle_connection(self, pool: Pool) -> Connection | None:
        """Return the kept connection; None if the server has closed it, so that no request is lost on it."""
        connection, last = self._idle.pop(pool, (None, None))
        if connection is None or not connection.is_closed():
            return connection
        connection.close()
        if last and self.clock.now() - last.ended < CLOSED_SOON:
            self.closed_unannounced.append(last)
        return None

    def _send_on(self, connection: Connection, request: Request, room: int) -> Exchange:
        with closing(connection):
            exchange = self._exchange(connection, request, room)
        self.journal.append(exchange)
        return exchange

    def _exchange(self, connection: Connection, request: Request, room: int | None = None) -> Exchange:
        room = self.retention.room() if room is None else room
        return self._as_evidence(connection.exchange(request, self._timeouts(), room))

    def _as_evidence(self, exchange: Exchange) -> Exchange:
        return self.retention.kept(replace(exchange, redact=self._redact, check_time=self.check_time))

    def _timeouts(self) -> Timeouts:
        """Return the time-outs; none of them ends much later than the run."""
        return self.timeouts.within(max(self.ends - self.clock.now(), LAST_MOMENT))

    def check_time(self) -> None:
        """Raise NotTested where the run's time is over."""
        if self.clock.now() >= self.ends:
            raise NotTested(self._over)

    @property
    def _over(self) -> str:
        return f"the {self.settings.max_time:g} s of --max-time are over"

    def _send_again(self, last: Connection, unanswered: Exchange, *, was_kept: bool) -> tuple[Connection, Exchange]:
        """Send a request again whose connection was closed without a response, unless the request may be the reason.

        The server may close a kept connection at any time (RFC 9112, section 9.3.1). Where no connection could be
        opened for some time after that, the server may have been restarted.

        Raises:
            NotTested: No connection can be opened, or the budget is used up; the unanswered exchange ends the journal.
        """
        interruptions = len(self.interruptions)
        try:
            self._check_budget(1)
            connection = self._new_connection()
        except NotTested:
            if not was_kept:  # the request may be the reason: its rule judges that
                return last, unanswered
            self.journal.append(unanswered)
            raise
        was_unreachable = len(self.interruptions) > interruptions
        if not (was_kept or was_unreachable):
            connection.close()
            return last, unanswered
        self.sent += 1
        exchange = self._exchange(connection, unanswered.request)
        if was_unreachable and _is_unanswered(exchange):
            self.crashes.append(exchange)
        return connection, exchange

    def _connection_for(self, requests: Sequence[Request]) -> Connection:
        """Wait for the send time of the requests, and open a connection for them alone."""
        self._wait(self._reserve(requests))
        self.close()
        connection = self._new_connection()
        self.sent += len(requests)
        return connection

    def _new_connection(self) -> Connection:
        try:
            return self._open()
        except UnreachableError:
            if not self.journal:
                raise
        return self._reconnect()

    def _reconnect(self) -> Connection:
        """Try again for some seconds to open a connection: the deployment may be restarted."""
        began, pause = self.clock.now(), FIRST_PAUSE
        while True:
            self._wait(self.clock.now() + pause)
            try:
                connection = self._open()
            except UnreachableError as error:
                left = began + RECONNECTING - self.clock.now()
                if left <= 0:
                    self.unreachable_reason = str(error)
                    raise NotTested(f"the deployment is not reachable any more: {error}") from None
                pause = min(2 * pause, left)
            else:
                lasted = f"{self.clock.now() - began:.1f} s"
                self.interruptions.append(f"the deployment was not reachable for {lasted} after request {self.sent}")
                return connection

    def _open(self) -> Connection:
        settings = self.settings
        return connect(settings.target, settings.proxy, self._tls, self._timeouts(), self.clock, self.silent_addresses)

    def _learn(self, exchange: Exchange) -> None:
        """Adapt the pace to a response, and shorten the time-outs after a hang.

        Raises:
            NotTested: The run's time ended while a response was awaited.
        """
        if exchange.ending in LATE_ENDINGS:
            self.check_time()
            self._hangs += 1
            slowest = max((each.seconds for each in self.journal if each.ending == "complete"), default=0.0)
            needed = max(AFTER_A_HANG / self._hangs, SHORTEST_TIMEOUT, 2 * slowest)
            self.timeouts = Timeouts.of(min(self.settings.timeout, needed))
        self._pace.learn(exchange)

    def _back_off(self, throttled: Exchange) -> None:
        """Send nothing for this caller until Retry-After is over; NotTested if the run ends before that."""
        credential, wait = throttled.request.credential, retry_after(throttled)
        left = self.ends - self.clock.now()
        if wait > left:
            who = credential.label if credential else "a caller without a key"
            self.throttled_reason[credential] = (
                f"{who} must wait {wait:.0f} s after a 429, and only {max(left, 0):.1f} s of --max-time are left"
            )
            raise NotTested(self.throttled_reason[credential])
        self._pace.back_off(credential, self.clock.now() + wait)


def _is_unanswered(exchange: Exchange) -> bool:
    """Whether the server closed the connection without a response."""
    return exchange.ending in CLOSED_ENDINGS and exchange.status is None
