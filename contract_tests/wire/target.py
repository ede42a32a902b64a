"""The address of the deployment under test, and the settings of the connections to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from contract_tests.wire.messages import Credential

OTHER_DOMAIN = "other-origin-55-tech.com"  # ends with the domain of the document's server
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Target:
    """The address of the deployment: scheme, host, port, and the path prefix of every operation."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The value of the Host field; the default port of the scheme is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme and authority."""
        return f"{self.scheme}://{self.authority}"

    @property
    def similar_origin(self) -> str:
        """The origin of another site: it begins with this host, and ends with the domain of the document's server."""
        host = self.host.replace(":", "-")  # of an IPv6 address
        return f"{self.scheme}://{host}.{OTHER_DOMAIN}"

    @property
    def url(self) -> str:
        """The base URL without a trailing slash."""
        return self.origin + self.path

    @classmethod
    def parse(cls, option: str, url: str) -> Target:
        """Read an http or https URL; UsageError names the part that is wrong."""
        if not url.isascii() or not url.isprintable() or " " in url:
            raise pytest.UsageError(
                f"{option}: the URL contains spaces, line ends or non-ASCII characters; percent-encode a path, and "
                "write a host name as xn--…"
            )
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:  # its own text may repeat a password
            raise pytest.UsageError(f"{option}: the host or the port is not valid; a port is 1 to 65535") from None
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
            raise pytest.UsageError(f"{option}: give an absolute URL such as https://staging.example")
        unwanted = {"a user name or password": "@" in parts.netloc, "a query": "?" in url, "a fragment": "#" in url}
        if found := [what for what, is_there in unwanted.items() if is_there]:
            raise pytest.UsageError(f"{option}: {' and '.join(found)} is not allowed")
        if port == 0:
            raise pytest.UsageError(f"{option}: 0 is not a port; a port is 1 to 65535")
        return cls(parts.scheme, parts.hostname, port or DEFAULT_PORTS[parts.scheme], parts.path.rstrip("/"))


@dataclass(frozen=True)
class ConnectionSettings:
    """The settings of the transport; times are in seconds, `max_rate` in requests a second.

    `keys` are valid API keys, the main one first. `secrets` are redacted from everything that is written. An
    `intrusive` run may send requests that affect other users of the deployment.
    """

    target: Target
    keys: tuple[Credential, ...]
    max_rate: float | None = None
    max_time: float = 120.0
    max_requests: int = 400
    timeout: float = 10.0
    ca_file: Path | None = None
    proxy: Target | None = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    intrusive: bool = False
