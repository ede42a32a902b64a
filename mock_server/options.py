"""Options: one list, for the command, the environment, a file, UsageMock and make_app alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, TypedDict, get_args, get_origin, get_type_hints

PREFIX = "USAGE_MOCK_"


class OptionError(ValueError):
    """Options that cannot be used.

    Args:
        problems: A line for each problem.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


Reader = Callable[[str], Any]

SWITCH_VALUES = {
    **dict.fromkeys(("1", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys(("0", "false", "f", "no", "n", "off"), False),
}


def switch(text: str) -> bool:
    """Return whether a text means on."""
    if text.strip().lower() not in SWITCH_VALUES:
        raise ValueError(f"{text!r} is not valid; expected on or off")
    return SWITCH_VALUES[text.strip().lower()]


def fault(text: str) -> str:
    """Return `NAME` or `NAME@N`, where N is the number of a request, from 1."""
    name, at, number = text.partition("@")
    if at and not (name and number.isascii() and number.isdecimal() and int(number)):
        raise ValueError(f"{text!r} is not valid; expected NAME or NAME@N, where N is the number of a request, from 1")
    return text


def api_key(text: str) -> str:
    """Return a key that a client can send in a header; the error does not quote it."""
    if not re.fullmatch(r"[!-~]([ -~]{0,254}[!-~])?", text):
        raise ValueError("a key is not valid; expected 1 to 256 visible ASCII characters, and spaces only inside")
    return text


def integer(low: int, high: int = 10**18 - 1) -> Reader:
    """Return a reader of a whole number in ASCII digits."""

    def read(text: str) -> int:
        if re.fullmatch(r"-?[0-9]{1,18}", text) and low <= int(text) <= high:
            return int(text)
        raise ValueError(f"{text!r} is not a whole number from {low} to {high}")

    return read


def seconds(high: int) -> Reader:
    """Return a reader of a number of seconds, with decimals if needed."""

    def read(text: str) -> float:
        if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) and float(text) <= high:
            return float(text)
        raise ValueError(f"{text!r} is not a number of seconds from 0 to {high}")

    return read


def seconds_text(delay: float | str) -> str:
    """Return a delay as a text; it can be a number of seconds."""
    if isinstance(delay, str | int):  # an integer can be too large for a float
        return str(delay)
    return f"{delay:.6f}".rstrip("0").rstrip(".")


def choice(*values: object) -> Reader:
    """Return a reader of one of several values."""
    by_text = {str(value): value for value in values}
    *others, last = by_text

    def read(text: str) -> object:
        if text not in by_text:  # all of them: the closest one can be the wrong one
            raise ValueError(f"{text!r} is not valid; expected {', '.join(others)} or {last}")
        return by_text[text]

    return read


class Option(NamedTuple):
    """One option.

    Attributes:
        attribute: The name in MockOptions.
        default: The default; None for an option without one.
        metavar: The placeholder of the value in help texts.
        reader: Reads the value from a text, or raises ValueError.
        help: The help text.
        repeats: The option has several values: a list, or a text that is split at spaces.
    """

    attribute: str
    default: Any
    metavar: str
    reader: Reader
    help: str
    repeats: bool = False

    @property
    def name(self) -> str:
        """The name on the command line and in the file."""
        return self.attribute.replace("_", "-")

    @property
    def variable(self) -> str:
        """The name in the environment."""
        return PREFIX + self.attribute.upper()

    @property
    def is_switch(self) -> bool:
        """Whether the option is on or off, as `--NAME` and `--no-NAME`."""
        return self.reader is switch

    def read(self, value: object) -> Any:
        """Return the value of the option in a text, a number or a path; in a list or a text for several values.

        Raises:
            ValueError: The value is not valid.
        """
        if not self.repeats:
            return self._read_one(value)
        values = texts(value) if isinstance(value, str | list | tuple) else [value]
        if self.reader is fault:  # unlike a key, its name has no space
            values = fault_names(values)
        if not values:
            raise ValueError("is empty; omit it for the default")
        return tuple(map(self._read_one, values))

    def _read_one(self, value: object) -> Any:
        if not isinstance(value, (str, int, float, Path)) or (isinstance(value, bool) and not self.is_switch):
            raise ValueError(f"must be {'true or false' if self.is_switch else 'a text or a number'}")
        if value == "":  # an unset variable of a script must not mean every host, or an empty token
            raise ValueError("is empty; omit it for the default")
        if isinstance(value, float) and not value.is_integer():
            return self.reader(seconds_text(value))
        return self.reader(str(value))


def texts(value: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the values of an option with several values."""
    return tuple(value.split() if isinstance(value, str) else value or ())


def fault_names(value: str | Iterable[Any] | None) -> tuple[Any, ...]:
    """Return the names of faults; a text, also one in a list, is split at spaces."""
    values = [value] if isinstance(value, str) else value or ()
    return tuple(name for each in values for name in (each.split() if isinstance(each, str) and each else [each]))


def _option(default: Any, metavar: str, text: str, reader: Reader = str, *, repeats: bool = False) -> Any:
    return field(default=default, metadata={"metavar": metavar, "help": text, "reader": reader, "repeats": repeats})


@dataclass(frozen=True)
class MockOptions:
    """The options of a mock.

    A new option is a field here, a member of UsageMockOptions for type checkers, and a row in docs/mock.md.
    Everything else is derived.
    A switch has the name of what is on, so that `--no-NAME` exists: `rate_limit`, not `no_rate_limit`.

    Raises:
        TypeError: A value has another type.
        ValueError: A value is not valid.
    """

    config: Path | None = _option(None, "FILE", "TOML file to read options from", Path)
    host: str = _option("127.0.0.1", "HOST", "address to listen on")
    port: int = _option(8080, "PORT", "port to listen on; 0 picks a free port", integer(0, 65535))
    fixtures: Path | str | None = _option(None, "DIR", "fixture folder whose files add to the shipped ones", Path)
    deployment: str = _option("default", "NAME", "deployment to serve: a file in deployments/")
    scenario: str | None = _option(None, "NAME", "scenario of every API key: a file in scenarios/")
    fault: str | Sequence[str] | None = _option(
        None,
        "NAME[@N]",
        "fault to apply (@N: to request number N only): a file in faults/ or variants/; repeatable",
        fault,
        repeats=True,
    )
    server: str | None = _option(None, "NAME", "kind of server, which no fault replaces: a file in variants/")
    key: str | Sequence[str] | None = _option(
        None, "KEY", "API key that is added to those of the deployment; repeatable", api_key, repeats=True
    )
    delay: float | str | None = _option(
        None, "DELAY", "delay of every response in seconds: 0.2, 0.1..0.5 (even) or 0.1~2 (median~p99)"
    )
    seed: int = _option(0, "N", "seed of random delays", integer(0))
    state: str | None = _option(
        None, "URL", "Redis or Valkey server with the state of several processes: redis://HOST, unix:///SOCKET"
    )
    workers: int = _option(1, "N", "number of processes behind the port; more than one need --state", integer(1, 1024))
    journal: int = _option(1000, "N", "number of requests that the journal keeps", integer(1, 1_000_000))
    rate_limit: bool = _option(True, "", "limit the rate of requests: return 429 when a bucket is empty", switch)
    unknown_key_status: Literal[401, 403] = _option(
        403, "STATUS", "status code for an unknown API key: 401 or 403", choice(401, 403)
    )
    cors: bool = _option(True, "", "send CORS headers, so that web pages of other origins can call the mock", switch)
    control_token: str | None = _option(
        None, "TOKEN", "token of the control API; without one, only this machine has access"
    )
    tls_cert: Path | str | None = _option(None, "FILE", "certificate for HTTPS (PEM)", Path)
    tls_key: Path | str | None = _option(None, "FILE", "private key of the certificate (PEM)", Path)
    grace: float = _option(5, "SECONDS", "seconds that a stopping mock waits for unfinished responses", seconds(3600))
    reload: bool = _option(True, "", "serve changed files without a restart", switch)
    log: str = _option(
        "text", "FORMAT", "format of the log on standard error: text, json or none", choice("text", "json", "none")
    )
    #: Where the command has found the value of an option, such as "usage-mock.toml:2 fault"; not an option.
    places: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the types and ranges of all values."""
        hints = _hints()
        for option in OPTIONS:
            value, hint = getattr(self, option.attribute), hints[option.attribute]
            if not fits(value, hint):
                raise TypeError(f"{option.attribute}: {value!r} is not valid; expected {_described(hint)}")
            if isinstance(value, (str, int, float, list, tuple)):
                try:
                    option.read(value)
                except ValueError as error:
                    raise ValueError(f"{option.attribute}: {error}") from None

    @property
    def fixture_folder(self) -> Path | None:
        """The fixture folder; None for the shipped one."""
        return None if self.fixtures is None else Path(self.fixtures)

    @property
    def tls_files(self) -> tuple[Path, Path] | None:
        """The certificate and its key; None without TLS.

        Raises:
            OptionError: One of them is missing.
        """
        if self.tls_cert is None and self.tls_key is None:
            return None
        if self.tls_cert is None:
            raise OptionError([f"{self.place('tls_key')}: {self.place('tls_cert')} is missing; set both or neither"])
        if self.tls_key is None:
            raise OptionError([f"{self.place('tls_cert')}: {self.place('tls_key')} is missing; set both or neither"])
        return Path(self.tls_cert), Path(self.tls_key)

    def place(self, attribute: str) -> str:
        """Return the subject of a message about an option: where the user has set it, or its name."""
        return self.places.get(attribute, attribute)

    @property
    def delay_text(self) -> str | None:
        """The delay as a text."""
        return None if self.delay is None else seconds_text(self.delay)


@cache
def _hints() -> dict[str, Any]:
    return get_type_hints(MockOptions)


class UsageMockOptions(TypedDict, total=False):
    """The members of MockOptions that UsageMock accepts, for type checkers; a test compares both."""

    host: str
    port: int
    fixtures: Path | str | None
    scenario: str | None
    fault: str | Sequence[str] | None
    server: str | None
    key: str | Sequence[str] | None
    delay: float | str | None
    seed: int
    state: str | None
    journal: int
    rate_limit: bool
    unknown_key_status: Literal[401, 403]
    cors: bool
    control_token: str | None
    tls_cert: Path | str | None
    tls_key: Path | str | None
    grace: float


OPTIONS = tuple(
    Option(option.name, option.default, **option.metadata) for option in fields(MockOptions) if option.metadata
)


def fits(value: object, hint: Any) -> bool:
    """Return whether a value has the type of a hint; a whole number is a float, and `True` is not a number."""
    if get_origin(hint) is Literal:
        return type(value) in map(type, get_args(hint))
    if get_origin(hint) in (Sequence, tuple):
        return isinstance(value, list | tuple) and all(fits(item, get_args(hint)[0]) for item in value)
    if get_origin(hint) is Mapping:
        name, item = get_args(hint)
        return isinstance(value, dict) and all(fits(key, name) and fits(value[key], item) for key in value)
    if kinds := get_args(hint):
        return any(fits(value, kind) for kind in kinds)
    number = (int, float) if hint is float else hint
    return isinstance(value, number) and (hint is bool or not isinstance(value, bool))


_KINDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
    Sequence[str]: "a list of texts",
    NoneType: "None",
}


def _described(hint: Any) -> str:
    """Return the values in words that have the type of a hint."""
    kinds = get_args(hint) if get_origin(hint) in (Literal, UnionType) else (hint,)
    return " or ".join(str(_KINDS.get(kind, kind)) for kind in kinds)
