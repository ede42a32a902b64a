"""The state of several processes, on one machine or many, in Redis or Valkey."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from contextvars import ContextVar
from functools import lru_cache
from hashlib import sha1
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import orjson

from mock_server.fixtures.deployments import Calls, Traffic
from mock_server.simulation.bucket import PARTS_PER_TOKEN, TokenBucket, tenths, ticks
from mock_server.simulation.clock import Standing
from mock_server.simulation.overrides import Behaviour, FaultUse, Settings
from mock_server.simulation.state import UNREAD, BucketSpec, Known, Recorded, StaleError, StateUnavailableError, Taken

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

# A Redis that does not answer within this many seconds is as good as away.
PATIENCE = 1.0

# The version of the settings that a request goes by; ANY if it has just looked at the latest.
ANY = "*"
GOES_BY: ContextVar[str] = ContextVar("GOES_BY", default=ANY)

_SCRIPTS = {path.stem: path.read_bytes() for path in (Path(__file__).parent / "lua").glob("*.lua")}
_HASHES = {name: sha1(text, usedforsecurity=False).hexdigest() for name, text in _SCRIPTS.items()}

log = logging.getLogger("mock_server")

Command = tuple[Any, ...]


class RedisState:
    """Keeps the state at a URL, apart from others by a name: that of the URL, or else `name`.

    Raises StateUnavailableError for a URL that is none.
    """

    def __init__(self, url: str, name: str = "") -> None:
        url, _, own_name = url.partition("#")
        self._server = _Server(_connection(url))
        prefix = f"usage-mock:{{{quote(own_name or name, safe='')}}}:"  # the braces keep a cluster's scripts together
        self._version_key, self._settings_key = f"{prefix}version", f"{prefix}settings"
        self._counts, self._accounts = f"{prefix}counts", f"{prefix}accounts"
        self._account = f"{prefix}account:"
        self.version = ""

    async def take(self, bucket: BucketSpec, now: float, tokens: int, account: Known) -> Taken:
        """Take tokens from a bucket, unless the settings have changed since those that the request goes by."""
        answer = await self._server.ask(self._taking(bucket, now, tokens, account, GOES_BY.get()))
        if answer is None:  # the script says nothing of what goes by other settings
            raise StaleError
        granted, level, since, version = answer
        news = await self._open(account, now) if version.decode() != account.version else None
        if granted:
            return Taken(tenths(level), news=news)
        kept = TokenBucket(bucket.rps, bucket.burst, now)
        kept.keep(level, since)
        return Taken(None, kept.retry_after(now), news)

    async def look(self, bucket: BucketSpec, now: float) -> float:
        """Return how many tokens a bucket holds."""
        found = TokenBucket(bucket.rps, bucket.burst, now, bucket.tokens)
        if kept := await self._server.ask(("HGET", self._account + bucket.key, f"bucket {bucket.name}")):
            level, since = kept.split()
            found.keep(int(level), int(since))
        return found.look(now)

    async def count(self, name: str) -> int:
        """Count one more of something."""
        return int(await self._server.ask(("HINCRBY", self._counts, name, 1)))

    async def counted(self, names: Sequence[str]) -> Sequence[int]:
        """Return how many there were of each of some things."""
        if not names:
            return []
        return [int(number or 0) for number in await self._server.ask(("HMGET", self._counts, *names))]

    async def forget_counts(self) -> None:
        """Count everything from one again."""
        await self._server.ask(("DEL", self._counts))

    async def record(self, account: Known, now: float, traffic: Traffic) -> None:
        """Keep traffic of an account."""
        added = [
            argument
            for domain, each in traffic.items()
            for protocol, calls in each.items()
            for what, number in vars(calls).items()
            for argument in (orjson.dumps([account.name, domain, protocol, what]), number)
        ]
        keys = [self._account + account.key, self._accounts]
        await self._server.ask(_script("record", keys, _unused(), f"since {account.name}", repr(now), *added))

    async def recorded(self, account: Known, now: float) -> Recorded | None:
        """Return what was done to an account, if that is not known yet."""
        since = f"since {account.name}"
        asked = _script("look", [self._account + account.key], since, repr(now), account.version, UNREAD)
        answer = await self._server.ask(asked)
        return _recorded(account, answer) if answer else None

    async def latest(self) -> Settings | None:
        """Return the settings that are not known yet, if there are such."""
        version, settings = await self._server.ask(("MGET", self._version_key, self._settings_key))
        version = (version or b"").decode()
        if version == self.version:
            return None
        self.version = version
        return _loaded(settings) if settings else Settings()

    async def change(self, settings: Settings, *, anew: bool = False, key: str | None = None) -> None:
        """Make settings those of every process, if they came from the latest."""
        version = _unused()
        keys = [self._version_key, self._settings_key, self._accounts]
        if anew and key is not None:
            keys.append(self._account + key)
        what = "all" if anew and key is None else ""
        if not await self._server.ask(_script("change", keys, self.version, version, _dumped(settings), what)):
            raise StaleError
        self.version = version

    async def close(self) -> None:
        """Disconnect."""
        await self._server.close()

    def _taking(self, bucket: BucketSpec, now: float, tokens: int, account: Known, version: str) -> _Take:
        full = bucket.burst if bucket.tokens is None else min(bucket.burst, bucket.tokens)
        return _Take(
            (self._version_key, self._accounts),
            (self._account + bucket.key, self._account + account.key),
            (
                version,
                f"bucket {bucket.name}",
                ticks(now),
                *_in_binary(bucket.rps),
                bucket.burst * PARTS_PER_TOKEN,
                round(full * PARTS_PER_TOKEN),
                tokens * PARTS_PER_TOKEN,
            ),
        )

    async def _open(self, account: Known, now: float) -> Recorded:
        keys = [self._account + account.key, self._accounts]
        answer = await self._server.ask(_script("open", keys, f"since {account.name}", repr(now), _unused()))
        return _recorded(account, answer)


class _Take(NamedTuple):
    """One question to a bucket; a script answers any number of them."""

    shared: tuple[str, ...]
    keys: tuple[str, ...]
    arguments: tuple[Any, ...]


class _Server:
    """Asks Redis; what is asked while an earlier question is under way, or in one tick, goes out together.

    One connection carries it all: redis-py's pool and pipeline take as long as ten questions.
    """

    def __init__(self, connection: redis.Connection) -> None:
        self._connection = connection
        self._waiting: list[tuple[Command | _Take, asyncio.Future[Any]]] = []
        self._sending: asyncio.Task[None] | None = None
        self._is_away: bool | None = None  # at the start nobody knows

    async def ask(self, command: Command | _Take) -> Any:
        """Return the answer to a command, or to a question to a bucket.

        Raises StateUnavailableError.
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
            answers = await self._answers([each for each, _ in commands], [each for each, _ in takes])
            for (_, future), answer in zip([*commands, *takes], answers, strict=True):
                if future.done():  # whoever asked has gone
                    continue
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
        self._sending = None

    async def _answers(self, commands: list[Command], takes: list[_Take]) -> list[Any]:
        if not takes:
            return await self._told(commands)
        *answers, taken = await self._told([*commands, _taking(takes)])
        return answers + (taken if isinstance(taken, list) else [taken] * len(takes))

    async def _told(self, commands: list[Command]) -> list[Any]:
        answers: list[Any]
        try:
            async with asyncio.timeout(PATIENCE):  # redis-py's own costs a task for each sending
                answers = await self._execute(commands)
                if any(isinstance(answer, NoScriptError) for answer in answers):
                    answers = await self._taught(commands, answers)
        except TimeoutError:
            answers = [RedisError(f"no answer within {PATIENCE:g} s")] * len(commands)
        except (RedisError, OSError) as error:
            answers = [error] * len(commands)
        except Exception as error:  # whatever it is, nobody may wait for ever
            log.exception("the shared state could not be asked")
            answers = [error] * len(commands)
        answers = [_unavailable(answer) if isinstance(answer, Exception) else answer for answer in answers]
        self._notice(next((answer for answer in answers if isinstance(answer, Exception)), None))
        return answers

    async def _taught(self, commands: list[Command], answers: list[Any]) -> list[Any]:
        """Teach Redis the scripts, which it forgets when it ends, and ask again what needed them."""
        await self._execute([("SCRIPT", "LOAD", text) for text in _SCRIPTS.values()])
        missing = [index for index, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        late = await self._execute([commands[index] for index in missing])
        found = dict(zip(missing, late, strict=True))
        return [found.get(index, answer) for index, answer in enumerate(answers)]

    async def _execute(self, commands: list[Command]) -> list[Any]:
        connection = self._connection
        if connection.is_connected and await self._has_ended():
            await connection.disconnect()
        packed = [pack_command(command) for command in commands]  # redis-py's own is Python, and six times as slow
        await connection.send_packed_command(packed)  # it connects where that is due
        return [await self._read() for _ in commands]

    async def _has_ended(self) -> bool:
        """Whether Redis has closed the connection, or says what nobody has asked."""
        try:
            return await self._connection.can_read()
        except (RedisError, OSError):
            return True

    async def _read(self) -> Any:
        try:
            return await self._connection.read_response()
        except ResponseError as refusal:
            return refusal

    def _notice(self, problem: Exception | None) -> None:
        if problem and self._is_away is False:
            log.error("%s", problem)
        if not problem and self._is_away:
            log.warning("the shared state is back")
        self._is_away = problem is not None


def _connection(url: str) -> redis.Connection:
    scheme, _, rest = url.partition("://")
    if not rest or scheme not in SCHEMES:
        raise StateUnavailableError(f"what was given is no URL of a shared state; write {FORMS}")
    try:
        pool = redis.ConnectionPool.from_url(
            f"{SCHEMES[scheme]}://{rest}",
            socket_timeout=None,
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),  # what was asked once may have been done once
        )
        # It is made, not opened: that tells of parameters that nobody knows.
        connection: redis.Connection = pool.make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError):  # its text may quote a password
        raise StateUnavailableError(f"what was given is no URL of a shared state; write {FORMS}") from None
    return connection


def _unavailable(error: Exception) -> StateUnavailableError:
    return StateUnavailableError(f"the shared state (--state) cannot be used: {error or type(error).__name__}")


def _script(name: str, keys: list[str], *arguments: Any) -> Command:
    return ("EVALSHA", _HASHES[name], len(keys), *keys, *arguments)


def _taking(takes: list[_Take]) -> Command:
    keys = [*takes[0].shared, *(key for take in takes for key in take.keys)]
    return _script("take", keys, *(argument for take in takes for argument in take.arguments))


@lru_cache(maxsize=1024)
def _in_binary(rate: float) -> tuple[int, int]:
    """Return a rate as MANTISSA and SHIFT: it is MANTISSA / 2^SHIFT."""
    mantissa, power = rate.as_integer_ratio()
    return mantissa, power.bit_length() - 1


def _unused() -> str:
    return secrets.token_hex(8)


def _recorded(account: Known, answer: tuple[bytes, bytes, list[bytes]]) -> Recorded:
    version, since, fields = answer
    return Recorded(version.decode(), float(since), _traffic(account.name, fields))


def _traffic(name: str, fields: list[bytes]) -> Traffic:
    found: dict[str, dict[str, dict[str, int]]] = {}
    for field, number in zip(fields[::2], fields[1::2], strict=True):
        if field.startswith(b"["):
            owner, domain, protocol, what = orjson.loads(field)
            if owner == name:
                found.setdefault(domain, {}).setdefault(protocol, {})[what] = int(number)
    return {
        domain: {protocol: Calls(**numbers) for protocol, numbers in each.items()} for domain, each in found.items()
    }


def _dumped(settings: Settings) -> bytes:
    shared = {"everybody": settings.everybody, "keys": dict(settings.keys), "clock": settings.clock}
    return orjson.dumps({**shared, "made": sorted(settings.made)})


def _loaded(text: bytes) -> Settings:
    data = orjson.loads(text)
    return Settings(
        everybody=_behaviour(data["everybody"]),
        keys={key: _behaviour(each) for key, each in data["keys"].items()},
        made=frozenset(data["made"]),
        clock=Standing(**data["clock"]),
    )


def _behaviour(data: dict[str, Any]) -> Behaviour:
    fault = data["fault"] and FaultUse(**data["fault"])
    return Behaviour(**{**data, "fault": fault})
