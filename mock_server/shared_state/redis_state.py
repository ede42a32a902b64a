"""The state of several processes in Redis or Valkey."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha1
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_type_hints
from urllib.parse import quote

import orjson

from mock_server.fixtures.delays import parse_delay
from mock_server.fixtures.deployments import Traffic, check_facts, traffic_of
from mock_server.options import fits
from mock_server.simulation.bucket import PARTS_PER_TOKEN, TokenBucket, tenths, ticks
from mock_server.simulation.clock import ClockOffset
from mock_server.simulation.overrides import Answer, FaultUse, ForcedResponse, Override, Overrides
from mock_server.simulation.state import (
    UNREAD,
    AccountRef,
    AccountSnapshot,
    BucketSpec,
    StaleError,
    StateUnavailableError,
    TakeResult,
    UnreadableStateError,
)

try:
    import redis.asyncio as redis
    from hiredis import pack_command
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import NoScriptError, RedisError, ResponseError
except ImportError:
    raise StateUnavailableError("a shared state needs the package redis: install usage-contract[redis]") from None

SCHEMES = {"redis": "redis", "rediss": "rediss", "unix": "unix", "valkey": "redis", "valkeys": "rediss"}
FORMS = "redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE][#NAME], also rediss://, valkey://, valkeys:// and unix://"

# The seconds after which a Redis that has not answered counts as unavailable.
REDIS_TIMEOUT = 1.0

# In the scripts: any version of the overrides.
_ANY = "*"

_SCRIPTS = {path.stem: path.read_bytes() for path in (Path(__file__).parent / "lua").glob("*.lua")}
_HASHES = {name: sha1(text, usedforsecurity=False).hexdigest() for name, text in _SCRIPTS.items()}

log = logging.getLogger("mock_server")

Command = tuple[Any, ...]


class RedisState:
    """The state in a Redis or Valkey.

    Args:
        url: The URL of the server.
        name: The name of the state, unless the fragment of the URL gives one.

    Raises:
        StateUnavailableError: The URL is not valid.
    """

    def __init__(self, url: str, name: str = "") -> None:
        url, _, own_name = url.partition("#")
        self._server = _Server(_connection(url))
        prefix = f"usage-mock:{{{quote(own_name or name, safe='')}}}:"  # the braces keep a cluster's scripts together
        self._version_key, self._settings_key = f"{prefix}version", f"{prefix}settings"
        self._counts, self._accounts = f"{prefix}counts", f"{prefix}accounts"
        self._account = f"{prefix}account:"
        self.version = ""

    async def take(
        self, bucket: BucketSpec, now: float, *, tokens: int, account: AccountRef, required: str | None = None
    ) -> TakeResult:
        """Take tokens from a bucket, if the latest overrides have the required version."""
        full = bucket.burst if bucket.tokens is None else min(bucket.burst, bucket.tokens)
        mantissa, divisor = bucket.rps.as_integer_ratio()  # the divisor is a power of two
        parts = (bucket.burst * PARTS_PER_TOKEN, round(full * PARTS_PER_TOKEN), tokens * PARTS_PER_TOKEN)
        at, shift = ticks(bucket.refilled_at(now)), divisor.bit_length() - 1
        arguments = (_ANY if required is None else required, f"bucket {bucket.name}", at, mantissa, shift, *parts)
        own_keys = (self._account + bucket.key, self._account + account.key)
        answer = await self._server.ask(_Take((self._version_key, self._accounts), own_keys, arguments))
        if answer is None:
            raise StaleError
        granted, level, since, version = answer
        snapshot = None
        if version.decode() != account.version:
            keys = [self._account + account.key, self._accounts]
            opening = _script("open", keys, f"since {account.name}", repr(now), secrets.token_hex(8))
            snapshot = _snapshot(account, await self._server.ask(opening))
        if granted:
            return TakeResult(tenths(level), snapshot=snapshot)
        kept = TokenBucket(bucket.rps, bucket.burst, now=now)
        kept.keep(level, since)
        return TakeResult(None, kept.retry_after(now), snapshot)

    async def look(self, bucket: BucketSpec, now: float) -> float:
        """Return the tokens of a bucket."""
        found = TokenBucket(bucket.rps, bucket.burst, now=now, tokens=bucket.tokens)
        if kept := await self._server.ask(("HGET", self._account + bucket.key, f"bucket {bucket.name}")):
            with _reading("A bucket"):
                level, since = kept.split()
                found.keep(int(level), int(since))
        return found.look(bucket.refilled_at(now))

    async def count(self, name: str) -> int:
        """Increase a counter and return its value."""
        return int(await self._server.ask(("HINCRBY", self._counts, name, 1)))

    async def counts(self, names: Sequence[str]) -> Sequence[int]:
        """Return the values of counters."""
        if not names:
            return []
        return [int(number or 0) for number in await self._server.ask(("HMGET", self._counts, *names))]

    async def forget_counts(self) -> None:
        """Reset all counters."""
        await self._server.ask(("DEL", self._counts))

    async def record(self, account: AccountRef, now: float, traffic: Traffic) -> None:
        """Record traffic of an account."""
        added = [
            argument
            for domain, protocols in traffic.items()
            for protocol, calls in protocols.items()
            for member, number in vars(calls).items()
            for argument in (orjson.dumps([account.name, domain, protocol, member]), number)
        ]
        keys = [self._account + account.key, self._accounts]
        since = f"since {account.name}"
        await self._server.ask(_script("record", keys, secrets.token_hex(8), since, repr(now), *added))

    async def snapshot(self, account: AccountRef, now: float) -> AccountSnapshot | None:
        """Return an account, unless the process has read this version."""
        since = f"since {account.name}"
        command = _script("look", [self._account + account.key], since, repr(now), account.version, UNREAD)
        answer = await self._server.ask(command)
        return _snapshot(account, answer) if answer else None

    async def latest(self) -> Overrides | None:
        """Return the latest overrides, unless this process has read them."""
        version, overrides = await self._server.ask(("MGET", self._version_key, self._settings_key))
        with _reading("The record of the overrides"):
            version = (version or b"").decode()
            if version == self.version:
                return None
            found = _load(overrides) if overrides else Overrides()
        self.version = version  # only of overrides that could be read
        return found

    async def change(
        self, overrides: Overrides, *, restart: bool = False, key: str | None = None, force: bool = False
    ) -> None:
        """Set the overrides of every process, if they derive from the latest ones or are forced."""
        version = secrets.token_hex(8)
        keys = [self._version_key, self._settings_key, self._accounts]
        if restart and key is not None:
            keys.append(self._account + key)
        forgotten = "all" if restart and key is None else ""
        known = _ANY if force else self.version
        shared = {"everyone": overrides.everyone, "keys": dict(overrides.keys), "clock": overrides.clock}
        dumped = orjson.dumps({**shared, "created_keys": dict(overrides.created_keys)})
        if not await self._server.ask(_script("change", keys, known, version, dumped, forgotten)):
            raise StaleError
        self.version = version

    async def close(self) -> None:
        """Close the connection."""
        await self._server.close()


class _Take(NamedTuple):
    """The arguments of taking tokens; a script handles any number of them."""

    shared: tuple[str, ...]
    keys: tuple[str, ...]
    arguments: tuple[Any, ...]


class _Server:
    """Sends commands to Redis on one connection.

    Commands that come in one tick, or while earlier ones are in flight, are sent together.
    The pool and the pipeline of redis-py would take as long as ten commands.
    """

    def __init__(self, connection: redis.Connection) -> None:
        self._connection = connection
        self._waiting: list[tuple[Command | _Take, asyncio.Future[Any]]] = []
        self._sending: asyncio.Task[None] | None = None
        self._is_away: bool | None = None  # None before the first command

    async def ask(self, command: Command | _Take) -> Any:
        """Return the result of a command.

        Raises:
            StateUnavailableError: Redis cannot be reached or refuses the command.
        """
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        self._waiting.append((command, answer))
        if self._sending is None:
            self._sending = loop.create_task(self._send())
        return await answer

    async def close(self) -> None:
        if self._sending is not None:
            await self._sending
        await self._connection.disconnect()

    async def _send(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            commands = [(each, future) for each, future in batch if not isinstance(each, _Take)]
            takes = [(each, future) for each, future in batch if isinstance(each, _Take)]
            requests = [each for each, _ in commands]
            if takes:
                keys = [*takes[0][0].shared, *(key for take, _ in takes for key in take.keys)]
                arguments = (argument for take, _ in takes for argument in take.arguments)
                requests.append(_script("take", keys, *arguments))
            answers = await self._results(requests)
            if takes:
                taken = answers.pop()
                answers += taken if isinstance(taken, list) else [taken] * len(takes)
            for (_, future), answer in zip([*commands, *takes], answers, strict=True):
                if future.done():  # the request was cancelled
                    continue
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
        self._sending = None

    async def _results(self, commands: list[Command]) -> list[Any]:
        answers: list[Any]
        try:
            async with asyncio.timeout(REDIS_TIMEOUT):  # redis-py's own time-out would start a task for each command
                answers = await self._execute(commands)
                missing = [index for index, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
                if missing:  # Redis forgets the scripts when it ends
                    await self._execute([("SCRIPT", "LOAD", text) for text in _SCRIPTS.values()])
                    late = await self._execute([commands[index] for index in missing])
                    for index, answer in zip(missing, late, strict=True):
                        answers[index] = answer
        except TimeoutError:
            answers = [RedisError(f"no answer within {REDIS_TIMEOUT:g} s")] * len(commands)
        except (RedisError, OSError) as error:
            answers = [error] * len(commands)
        except Exception as error:  # otherwise the requests would wait for ever
            log.exception("a command to the shared state has failed")
            answers = [error] * len(commands)
        answers = [_unavailable(answer) if isinstance(answer, Exception) else answer for answer in answers]
        self._log_availability(next((answer for answer in answers if isinstance(answer, Exception)), None))
        return answers

    def _log_availability(self, problem: Exception | None) -> None:
        """Log that the server has become unavailable, with the problem, or available (None)."""
        if problem and self._is_away is False:
            log.error("%s", problem)
        if not problem and self._is_away:
            log.warning("the shared state is back")
        self._is_away = problem is not None

    async def _execute(self, commands: list[Command]) -> list[Any]:
        connection = self._connection
        if connection.is_connected:
            try:
                has_ended = await connection.can_read()  # nothing, or an unexpected reply
            except (RedisError, OSError):
                has_ended = True
            if has_ended:
                await connection.disconnect()
        packed = [pack_command(command) for command in commands]  # redis-py's own is six times as slow
        await connection.send_packed_command(packed)  # this connects first if necessary
        return [await self._read() for _ in commands]

    async def _read(self) -> Any:
        try:
            return await self._connection.read_response()
        except ResponseError as error_response:
            return error_response


def _connection(url: str) -> redis.Connection:
    scheme, _, rest = url.partition("://")
    if not rest or scheme not in SCHEMES:
        raise StateUnavailableError(f"the URL of the shared state is not valid; expected {FORMS}")
    try:
        pool = redis.ConnectionPool.from_url(
            f"{SCHEMES[scheme]}://{rest}",
            socket_timeout=None,
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),  # Redis can have done a command whose reply was lost
        )
        # The connection is created but not opened: this reports unknown parameters.
        connection: redis.Connection = pool.make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError):  # the text can quote a password
        raise StateUnavailableError(f"the URL of the shared state is not valid; expected {FORMS}") from None
    return connection


def _unavailable(error: Exception) -> StateUnavailableError:
    return StateUnavailableError(f"the shared state (--state) cannot be used: {str(error) or type(error).__name__}")


def _script(name: str, keys: list[str], *arguments: Any) -> Command:
    return ("EVALSHA", _HASHES[name], len(keys), *keys, *arguments)


@contextmanager
def _reading(record: str) -> Iterator[None]:
    """Raise UnreadableStateError for a record of another program or version."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise UnreadableStateError(record, error) from None


def _snapshot(account: AccountRef, answer: tuple[bytes, bytes, list[bytes]]) -> AccountSnapshot:
    with _reading("An account"):
        version, since, fields = answer
        return AccountSnapshot(version.decode(), float(since), _traffic(account.name, fields))


def _traffic(name: str, fields: list[bytes]) -> Traffic:
    found: dict[str, dict[str, dict[str, int]]] = {}
    for field, number in zip(fields[::2], fields[1::2], strict=True):
        if field.startswith(b"["):
            owner, domain, protocol, what = orjson.loads(field)
            if owner == name:
                found.setdefault(domain, {}).setdefault(protocol, {})[what] = int(number)
    return traffic_of(found)


def _load(text: bytes) -> Overrides:
    data = orjson.loads(text)
    for facts in data["created_keys"].values():
        check_facts(facts)
    return Overrides(
        everyone=_override(data["everyone"]),
        keys={key: _override(override) for key, override in data["keys"].items()},
        created_keys=data["created_keys"],
        clock=_checked(ClockOffset(**data["clock"])),
    )


def _override(data: dict[str, Any]) -> Override:
    faults = None if data["faults"] is None else tuple(_checked(FaultUse(**use)) for use in data["faults"])
    answer = None if data["answer"] is None else _answer(data["answer"])
    found = _checked(Override(**{**data, "answer": answer, "faults": faults}))
    if found.active_delay is not None:
        parse_delay(found.active_delay)
    return found


def _answer(data: dict[str, Any]) -> Answer:
    first, *others = (_checked(ForcedResponse(**response)) for response in data["responses"])
    return _checked(Answer(**{**data, "responses": (first, *others)}))


T = TypeVar("T", Override, Answer, ForcedResponse, FaultUse, ClockOffset)


def _checked(read: T) -> T:
    """Return an object, or raise TypeError if a member has another type."""
    for name, hint in get_type_hints(type(read)).items():
        if not fits(getattr(read, name), hint):
            raise TypeError(f"{name} does not have its type")
    return read
