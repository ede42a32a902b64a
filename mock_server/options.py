"""Options: one table, which the command line, the environment, the file and the documentation share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mock_server.suggestions import advice

PREFIX = "USAGE_MOCK_"

# Read if it is in the working directory, and no other file was named.
FILE = "usage-mock.toml"


class OptionError(Exception):
    """Options that cannot be used; `problems` holds a line for each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


class Option(NamedTuple):
    """One option: what it is called, how its text is read, what it is by default, what it is for."""

    name: str
    default: Any
    metavar: str
    read: Callable[[str], Any]
    help: str

    @property
    def attribute(self) -> str:
        """What it is called in Config."""
        return self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        """What it is called in the environment."""
        return PREFIX + self.attribute.upper()

    @property
    def is_switch(self) -> bool:
        """Whether it is on or off, as `--NAME` and `--no-NAME`."""
        return self.read is on_or_off

    @property
    def flags(self) -> tuple[str, ...]:
        """How it is named on the command line."""
        return (f"--{self.name}", f"--no-{self.name}") if self.is_switch else (f"--{self.name}",)

    @property
    def usage(self) -> str:
        """How it is written to get what is not the default."""
        return f"--{'no-' if self.default is True else ''}{self.name} {self.metavar}".rstrip()


# How the text of an option is read; each raises ValueError for what is none.


def on_or_off(text: str) -> bool:
    """Read a switch."""
    if text.lower() not in ("on", "off", "true", "false", "yes", "no", "1", "0"):
        raise ValueError(f"{text!r} is neither on nor off")
    return text.lower() in ("on", "true", "yes", "1")


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """Return a reader of whole numbers from `low` to `high`."""
    bounds = f"from {low} to {high}" if high is not None else f"of at least {low}"

    def read(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", text) or int(text) < low or (high is not None and int(text) > high):
            raise ValueError(f"{text!r} is no whole number {bounds}")
        return int(text)

    return read


def one_of(*choices: str) -> Callable[[str], str]:
    """Return a reader of one of several words."""

    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(_unknown(text, "one of the values", choices))
        return text

    return read


def status(text: str) -> int:
    """Read the status for an unknown key."""
    return int(one_of("401", "403")(text))


def option(default: Any, metavar: str, text: str, read: Callable[[str], Any] = str) -> Any:
    """Describe an option; its default is not read."""
    return field(default=default, metadata={"metavar": metavar, "read": read, "help": text})


@dataclass(frozen=True)
class Config:
    """What the command was told: the one table of options.

    A new one is a field here and a row in docs/mock.md; all else is derived. A switch is named for
    what is on, so that `--no-NAME` exists: `rate_limit`, not `no_rate_limit`.
    """

    config: Path | None = option(None, "FILE", "a TOML file of options", Path)
    host: str = option("127.0.0.1", "HOST", "address to listen on")
    port: int = option(8080, "PORT", "port to listen on; 0 picks a free one", whole(0, 65535))
    fixtures: Path | None = option(None, "DIR", "fixture folder instead of the shipped one", Path)
    deployment: str = option("default", "NAME", "keys to pretend: a file of deployments/")
    scenario: str | None = option(None, "NAME", "what happens to every account: a file of scenarios/")
    fault: str | None = option(None, "NAME[@NTH]", "what it does wrong: a file of faults/ or variants/")
    delay: str | None = option(None, "TEXT", "how late answers come: 0.2, 0.1..0.5 or 0.1~2 (seconds)")
    seed: int = option(0, "N", "what random delays come to", whole(0))
    state: str | None = option(None, "URL", "Redis or Valkey, for several processes: redis://HOST, unix:///SOCKET, ...")
    workers: int = option(1, "N", "processes behind the port; more than one need --state", whole(1, 1024))
    journal: int = option(1000, "N", "how many requests the journal holds", whole(1, 1_000_000))
    rate_limit: bool = option(True, "", "take tokens, and answer 429 when there are none", on_or_off)
    unknown_key_status: Literal[401, 403] = option(403, "STATUS", "answer to a key that nobody has: 401 or 403", status)
    cors: bool = option(True, "", "let pages of other origins ask", on_or_off)
    control_token: str | None = option(None, "TEXT", "what /__mock__/ wants to be told; without it: loopback only")
    tls_cert: Path | None = option(None, "FILE", "serve HTTPS with this certificate (PEM)", Path)
    tls_key: Path | None = option(None, "FILE", "the certificate's private key (PEM)", Path)
    grace: int = option(5, "SECONDS", "how long a stop waits for answers in flight", whole(0, 3600))
    reload: bool = option(True, "", "serve changed fixtures and documents without a restart", on_or_off)
    log: str = option("text", "FORM", "a line for each request: text, json or none", one_of("text", "json", "none"))


OPTIONS = tuple(Option(each.name.replace("_", "-"), each.default, **each.metadata) for each in fields(Config))
_BY_NAME = {each.name: each for each in OPTIONS}


class Given(NamedTuple):
    """A value that somebody gave to an option, and where."""

    option: Option
    where: str
    value: object


def configured(arguments: Mapping[str, object], environment: Mapping[str, str]) -> Config:
    """Return the options as the command line, the environment, a file and the defaults say, in this order.

    `arguments` are what the command line says, by attribute.
    Raises OptionError, with every problem that was found.
    """
    problems: list[str] = []
    typed = [
        Given(each, f"--{each.name}", arguments[each.attribute]) for each in OPTIONS if each.attribute in arguments
    ]
    exported = list(_environment(environment, problems))
    named = _values([*exported, *typed], problems)
    written = list(_file(named.get("config"), problems))
    values = _values(written, problems) | named
    if problems:
        raise OptionError(problems)
    return Config(**values)


def _values(given: Iterable[Given], problems: list[str]) -> dict[str, Any]:
    """Read values, of which a later one outranks an earlier one."""
    values: dict[str, Any] = {}
    for each in given:
        try:
            values[each.option.attribute] = _read(each.option, each.value)
        except ValueError as error:
            problems.append(f"{each.where}: {error}")
    return values


def _read(option: Option, value: object) -> Any:
    if isinstance(value, Path):
        return value
    if not isinstance(value, (str, int, float)) or (isinstance(value, bool) and not option.is_switch):
        raise ValueError(f"must be {'true or false' if option.is_switch else 'a text or a number'}")
    if value == "":  # an unset variable of a script must not open the mock to every host, or to an empty token
        raise ValueError("is empty; leave it out to have the default")
    return option.read(str(value))


def _environment(environment: Mapping[str, str], problems: list[str]) -> Iterator[Given]:
    by_variable = {each.variable: each for each in OPTIONS}
    for name, value in sorted(environment.items()):
        if name in by_variable and value:  # an empty one is how a CI system says that there is none
            yield Given(by_variable[name], name, value)
        elif name.startswith(PREFIX) and name not in by_variable:
            problems.append(_unknown(name, "a variable of the mock", by_variable))


def _file(named: Path | None, problems: list[str]) -> Iterator[Given]:
    path = named or Path(FILE)
    if not named and not path.is_file():
        return
    import tomllib

    try:
        text = path.read_text("utf-8-sig")  # some editors write a byte order mark
        data = tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:  # no UTF-8 and no TOML are both a ValueError
        problems.append(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}")
        return
    names = [name for name in _BY_NAME if name != "config"]
    for name, value in data.items():
        where = f"{path}:{_line(text, name)} {name}"
        if name not in names:
            problems.append(f"{path}:{_line(text, name)} {_unknown(name, 'an option', names)}")
        elif _BY_NAME[name].read is Path and isinstance(value, str) and value:
            yield Given(_BY_NAME[name], where, path.parent / value)
        else:
            yield Given(_BY_NAME[name], where, value)


def _line(text: str, name: str) -> int:
    found = re.search(rf"^[ \t]*\[*[ \t]*[\"']?{re.escape(name)}\b", text, re.MULTILINE)
    return text.count("\n", 0, found.start()) + 1 if found else 1


def _unknown(name: str, what: str, names: Iterable[str]) -> str:
    return f"{name!r} is not {what}; {advice(name, names)}"
