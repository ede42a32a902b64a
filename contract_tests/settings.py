"""What a run is asked to do: options over environment over file over default."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from contract_tests.deviations import Deviation, read_deviations
from contract_tests.message import Credential
from contract_tests.rules import rule_ids
from usage_contract.contract import Level

MAIN_KEY = "CONTRACT_API_KEY"
KEY_FILE = "CONTRACT_API_KEY_FILE"
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True)
class Target:
    """Where the deployment is: scheme, host, port, and the path that every operation is below."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The Host field's value: the port is named where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"http": 80, "https": 443}[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme and authority, to which a raw target is appended."""
        return f"{self.scheme}://{self.authority}"

    @property
    def url(self) -> str:
        """The base URL without a trailing slash."""
        return self.origin + self.path

    @classmethod
    def parse(cls, option: str, url: str) -> Target:
        """Read an http or https URL; UsageError says which part of it is wrong."""
        try:
            parts = urlsplit(url)
            port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
        except ValueError as error:
            raise pytest.UsageError(f"{option}: {error}") from None
        if not port or not parts.hostname:
            raise pytest.UsageError(f"{option}: give an absolute URL such as https://staging.example")
        if parts.username or parts.query or parts.fragment:
            raise pytest.UsageError(f"{option}: a user name, query or fragment has no place in a base URL")
        return cls(parts.scheme, parts.hostname, port, parts.path.rstrip("/"))


@dataclass(frozen=True)
class Settings:
    """One run's settings; times are in seconds, `max_rate` in requests a second."""

    target: Target
    keys: tuple[Credential, ...]
    level: Level
    embedded: bool
    intrusive: bool
    require_complete: bool
    max_rate: float | None
    max_time: float
    max_requests: int
    timeout: float
    ca_file: Path | None
    proxy: Target | None
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    deviations: Mapping[str, Deviation]
    secrets: tuple[str, ...] = field(repr=False)


def keys_from(options: Sequence[str], environment: Mapping[str, str], file: str | None) -> tuple[Credential, ...]:
    """Return the keys of the first source that gives any: options, environment, key file.

    The environment's are CONTRACT_API_KEY, CONTRACT_API_KEY_2, CONTRACT_API_KEY_3 and so on; a key
    file holds one key a line, the main key first.
    """
    values = list(options) or _environment_keys(environment)
    file = file or environment.get(KEY_FILE)
    if not values and file:
        values = _key_file(Path(file))
    for index, value in enumerate(values, 1):
        if not value.strip() or not value.isprintable() or not value.isascii() or value != value.strip():
            raise pytest.UsageError(f"key {index} is empty or holds spaces or characters that no header carries")
    if len(set(values)) < len(values):
        raise pytest.UsageError("the same key is given twice; each further key must be another one")
    return tuple(
        Credential(value.encode(), _told(index), f"${MAIN_KEY}" if index == 1 else f"${MAIN_KEY}_{index}")
        for index, value in enumerate(values, 1)
    )


def _environment_keys(environment: Mapping[str, str]) -> list[str]:
    numbered = re.compile(rf"{MAIN_KEY}(?:_(\d+))?")
    found = {
        int(match[1] or 1): value
        for name, value in environment.items()
        if value and (match := numbered.fullmatch(name))
    }
    return [found[number] for number in sorted(found)]


def _key_file(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise pytest.UsageError(f"the key file {path} cannot be read: {error}") from None


def _told(index: int) -> str:
    return "the main key" if index == 1 else f"key {index}"


def header_from(text: str) -> tuple[str, str]:
    """Split one `--header 'Name: value'`; the value may be a secret and is never repeated."""
    name, colon, value = text.partition(":")
    if not colon or not TOKEN.fullmatch(name) or not value.strip().isprintable():
        raise pytest.UsageError("--header: give it as 'Name: value'")
    return name, value.strip()


def _proxy(url: str) -> Target:
    proxy = Target.parse("--proxy", url)
    if proxy.scheme != "http":
        raise pytest.UsageError("--proxy: it is spoken to by http; give it as http://host:port")
    return proxy


def settings_from(config: pytest.Config, target: Target, keys: tuple[Credential, ...], *, embedded: bool) -> Settings:
    """Read and check every option; UsageError says which one is wrong and what is valid."""
    option = config.option
    deviations = option.contract_known_deviations
    headers = tuple(header_from(text) for text in option.contract_header)
    proxy = option.contract_proxy or os.environ.get("CONTRACT_PROXY")
    ca_name = option.contract_ca_file or os.environ.get("CONTRACT_CA_FILE")
    ca_file = Path(ca_name) if ca_name else None
    if ca_file and not ca_file.is_file():
        raise pytest.UsageError(f"--ca-file: there is no file {ca_file}")
    is_remote = not embedded and not option.contract_plan
    return Settings(
        target=target,
        keys=keys,
        level=option.contract_level,
        embedded=embedded,
        intrusive=embedded or option.contract_intrusive,
        require_complete=option.contract_require_complete,
        max_rate=option.contract_max_rate,
        max_time=option.contract_max_time,
        max_requests=option.contract_max_requests,
        timeout=option.contract_timeout,
        ca_file=ca_file,
        proxy=_proxy(proxy) if proxy and is_remote else None,
        headers=headers,
        deviations=read_deviations(Path(deviations), rule_ids()) if deviations and not option.contract_plan else {},
        secrets=(*(key.value.decode() for key in keys), *(value for _, value in headers if value)),
    )
