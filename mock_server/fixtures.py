"""Deployments: what the mock pretends, read from YAML and validated before anything is served."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from referencing import Registry, Resource

from mock_server.names import UnknownNameError
from mock_server.validation import FixtureError, problems
from usage_contract import Source, SourceError, read
from usage_contract.sources import functions_for, own_folder, read_bytes

# How the name of a fixture ends.
SUFFIXES = (".yaml", ".yml")

PROTOCOLS = ("fetch", "ws", "amqp")

# A figure beyond it is no longer exact in JSON, as most programs read it.
MOST = 2**53


@dataclass(frozen=True)
class RateLimit:
    """A key's limit: `rps` tokens a second, up to `burst` of them.

    Source of the defaults: the vendor's authentication guide.
    """

    rps: float = 10.0
    burst: int = 10

    def __post_init__(self) -> None:
        """Raise ValueError for what is no limit."""
        if not (0 <= self.rps < math.inf and 1 <= self.burst <= MOST):
            raise ValueError(f"a limit has rps >= 0 and burst >= 1, not {self.rps} and {self.burst}")


@dataclass(frozen=True)
class Calls:
    """What one key did with one domain over one protocol; `failures` are among the `requests`."""

    requests: int
    failures: int = 0
    bytes: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError for figures that cannot be."""
        if not (0 <= self.failures <= self.requests <= MOST and 0 <= self.bytes <= MOST):
            raise ValueError(f"calls have 0 <= failures <= requests and bytes >= 0, up to {MOST}; these are {self}")


Traffic = Mapping[str, Mapping[str, Calls]]


@dataclass(frozen=True)
class Rate:
    """What one key does with one domain over one protocol in a second."""

    requests: float
    failures: float = 0.0
    bytes: float = 0.0


@dataclass(frozen=True)
class Key:
    """One API key: its limit, and its calls by domain and protocol.

    `tokens` are in its bucket at the start (None: all that it can hold); `growth` is what it does from then on.
    """

    rate_limit: RateLimit = RateLimit()
    traffic: Traffic = field(default_factory=dict)
    tokens: float | None = None
    growth: Mapping[str, Mapping[str, Rate]] = field(default_factory=dict)


@dataclass(frozen=True)
class Deployment:
    """What one running server pretends: its keys, by the text that a caller sends."""

    name: str
    description: str
    keys: Mapping[str, Key]

    def __post_init__(self) -> None:
        """Raise ValueError where nobody can ask."""
        if not self.keys:
            raise ValueError(f"the deployment {self.name} has no keys")


def folder() -> Path:
    """Return the folder of the fixtures: inside an installed package, or beside it in a checkout."""
    return own_folder(Path(__file__).with_name("fixtures"))


def yaml_files(folder: Path) -> dict[str, Path]:
    """Return the YAML files of a folder by name; the folder can be missing.

    Of `NAME.yaml` and `NAME.yml` the first is returned; reading it raises FixtureError.
    """
    return {path.stem: path for path in sorted(yaml_paths(folder), key=lambda path: path.suffix, reverse=True)}


def yaml_paths(folder: Path) -> list[Path]:
    """Return the YAML files of a folder, without hidden ones, which belong to editors."""
    try:
        names = functions_for(folder).listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / name for name in names if name.endswith(SUFFIXES) and not name.startswith(".")]


def deployment_names(fixtures: Path | None = None) -> list[str]:
    """Return the names of the deployments of a fixture folder, sorted.

    Raises FixtureError for a folder that has none.
    """
    deployments = (fixtures or folder()) / "deployments"
    names = sorted(yaml_files(deployments))
    if not names:
        raise FixtureError([SourceError(deployments, 1, "", "holds no deployment", "add a file NAME.yaml")])
    return names


def load_deployment(name: str = "default", fixtures: Path | None = None) -> Deployment:
    """Load one deployment by name from a fixture folder (default: the shipped one).

    Raises UnknownNameError, and FixtureError, with every problem of the file, for one that cannot be used.
    """
    names = deployment_names(fixtures)
    if name not in names:
        raise UnknownNameError("deployment", name, names)
    path = yaml_files((fixtures or folder()) / "deployments")[name]
    return _deployment(name, validated(path, "deployment").data)


def validated(path: Path, kind: str) -> Source:
    """Read a fixture of a kind that has a schema, such as "deployment".

    Raises FixtureError, with every problem of the file.
    """
    try:
        _check_name(path)
        source = read(path)
    except SourceError as error:
        raise FixtureError([error]) from None
    if found := problems(source, json.loads(read_bytes(folder() / f"{kind}.schema.json")), SCHEMAS):
        raise FixtureError(found)
    return source


def _check_name(path: Path) -> None:
    """Raise SourceError where two files have one name, so that neither is ignored in silence."""
    other = path.with_suffix(SUFFIXES[1])
    if path != other and other in yaml_paths(path.parent):
        raise SourceError(path, 1, "", f"has the same name as {other.name}", "remove or rename one of them")


def _schema(uri: str) -> Resource[Any]:
    return Resource.from_contents(json.loads(read_bytes(folder() / uri)))


SCHEMAS: Registry[Any] = Registry(retrieve=_schema)  # type: ignore[call-arg]  # attrs' alias, which mypy does not see


def _deployment(name: str, data: Mapping[str, Any]) -> Deployment:
    default = _rate_limit(data, RateLimit())
    keys = {name: key_of(facts, default) for name, facts in data["keys"].items()}
    return Deployment(name, data["description"], keys)


def key_of(facts: Mapping[str, Any], default: RateLimit = RateLimit()) -> Key:
    """Return the key that the facts of a fixture, already validated, describe."""
    growth = {
        domain: {protocol: Rate(**rates) for protocol, rates in protocols.items()}
        for domain, protocols in facts.get("growth", {}).items()
    }
    return Key(_rate_limit(facts, default), traffic_of(facts.get("traffic", {})), facts.get("tokens"), growth)


def traffic_of(facts: Mapping[str, Any]) -> Traffic:
    """Return the traffic that validated facts describe, by domain and protocol."""
    return {
        domain: {protocol: _calls(calls) for protocol, calls in protocols.items()}
        for domain, protocols in facts.items()
    }


def _rate_limit(facts: Mapping[str, Any], default: RateLimit) -> RateLimit:
    stated = facts.get("rate_limit")
    return RateLimit(float(stated["rps"]), int(stated["burst"])) if stated else default


def _calls(facts: Mapping[str, Any]) -> Calls:
    # JSON Schema takes 3.0 for an integer; the figures must not turn into floats.
    return Calls(**{name: int(count) for name, count in facts.items()})
