"""The options of a run. Precedence: command line, environment, file, default."""

from __future__ import annotations

import os
import re
import ssl
from argparse import ArgumentTypeError
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from contract_tests.redaction.spellings import SHORTEST_SECRET
from contract_tests.run.deviations import Deviation, read_deviations
from contract_tests.support.rules import rule_ids
from contract_tests.wire.messages import Credential
from contract_tests.wire.target import ConnectionSettings, Target
from usage_contract.levels import LEVELS, Level
from usage_contract_pytest.arguments import OPTIONS

REQUEST_BUDGET, INTRUSIVE_REQUEST_BUDGET = 400, 1000  # requests: emptying buckets takes many
GENERATED_REQUESTS = 200  # requests more, for what --hypothesis-profile thorough generates
SET_BY_THE_GATE = {"host", "content-length", "transfer-encoding", "connection"}
IS_FLAG = {option.name: option.is_flag for option in OPTIONS}
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True)
class Settings(ConnectionSettings):
    """The options of one run."""

    level: Level = "documented"
    embedded: bool = False
    require_complete: bool = False
    deviations: Mapping[str, Deviation] = field(default_factory=dict)


def add_options(parser: pytest.Parser) -> None:
    """Add the gate's options to pytest's."""
    group = parser.getgroup("contract", "contract gate")

    def add(option: str, text: str, **more: Any) -> None:
        action = {"action": "store_true"} if IS_FLAG[option] else {}
        group.addoption(option, dest=destination(option), help=text, **action, **more)

    def add_list(option: str, text: str, metavar: str) -> None:
        add(option, text, action="append", default=[], metavar=metavar)

    keys = "API key of the deployment, the main key first; prefer CONTRACT_API_KEY, CONTRACT_API_KEY_2, ..."
    add_list("--api-key", keys, "KEY")
    add("--api-key-file", "file with one API key a line, the main key first (or CONTRACT_API_KEY_FILE)", metavar="FILE")
    add_list("--traffic", "judge the exchanges in a HAR file, and send nothing; repeatable", "FILE")
    level = "level of the contract; rules above it do not fail the run (default: documented)"
    add("--level", level, choices=LEVELS, default="documented")
    add("--rules", "list every rule, and send nothing")
    add("--rules-json", "list every rule as JSON, and send nothing")
    add_list("--rule", "run the rule with this id; repeatable", "ID")
    add("--plan", "print how many requests each rule usually sends, and send nothing")
    add("--known-deviations", "TOML file of accepted failures, each with an expiry date", metavar="FILE")
    add("--intrusive", "also run the rules that can affect other users of the deployment")
    add("--require-complete", "exit with code 4 if a rule was not tested")
    add("--max-rate", "requests a second (default: 0.9 of each key's rate limit)", type=_positive, metavar="N")
    add("--max-time", "seconds for the whole run (default: 120)", type=_positive, metavar="S")
    budget = f"requests for the whole run (default: {REQUEST_BUDGET}, with --intrusive {INTRUSIVE_REQUEST_BUDGET})"
    add("--max-requests", budget, type=_count, metavar="N")
    first_byte = "seconds until the first byte of a response (default: 10)"
    add("--answer-timeout", first_byte, type=_answer_timeout, metavar="S")
    add_list("--header", "header for every request, such as a gateway needs; its value is redacted", "'NAME: VALUE'")
    add("--ca-file", "certificates of a private CA, in PEM (or CONTRACT_CA_FILE)", metavar="FILE")
    add("--report-dir", "folder for the reports contract.json, contract.md and contract.html", metavar="DIR")
    add("--compare", "contract.json of an earlier run; report what has changed since", metavar="REPORT")
    add("--proxy", "HTTP proxy (or CONTRACT_PROXY)", metavar="URL")


def destination(option: str) -> str:
    """Return the name of the attribute that has the value of an option."""
    return f"contract_{option.strip('-').replace('-', '_')}"


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text} is not a positive whole number")
    return int(text)


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ArgumentTypeError(f"{text} is not a positive number")
    return number


def _answer_timeout(text: str) -> float:
    seconds = _positive(text)
    if not 0.1 <= seconds <= 3600:
        raise ArgumentTypeError(f"{text} is not between 0.1 and 3600 seconds")
    return seconds


def header_from(text: str) -> tuple[str, str]:
    """Split one `--header 'Name: value'`; the value may be a secret, and is never printed."""
    name, colon, value = text.partition(":")
    if not colon or not TOKEN.fullmatch(name) or not value.strip().isprintable():
        raise pytest.UsageError("--header: give it as 'Name: value'")
    if name.lower() in SET_BY_THE_GATE:
        raise pytest.UsageError(f"--header: {name} is set by the gate itself; a header for a gateway has another name")
    return name, value.strip()


def _proxy(value: str | None) -> Target | None:
    source, url = _source(value, "--proxy", "CONTRACT_PROXY")
    if not url:
        return None
    proxy = Target.parse(source, url)
    if proxy.scheme != "http":
        raise pytest.UsageError(f"{source}: only http is supported; write http://host:port")
    return proxy


def _check_key_log(path: str) -> None:
    """Raise UsageError where Python cannot write the TLS secrets that SSLKEYLOGFILE requests."""
    try:
        Path(path).open("a").close()
    except OSError as error:
        raise pytest.UsageError(
            f"SSLKEYLOGFILE: {path} cannot be written: {error.strerror}. Unset the variable, or name another file"
        ) from None


def _certificates(value: str | None) -> Path | None:
    source, path = _source(value, "--ca-file", "CONTRACT_CA_FILE")
    if not path:
        return None
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # SSLError is one
        why = "it contains no certificate in PEM" if isinstance(error, ssl.SSLError) else error.strerror
        raise pytest.UsageError(f"{source}: {path} cannot be used: {why}") from None
    return Path(path)


def _source(value: str | None, option: str, variable: str) -> tuple[str, str | None]:
    """Return the name and the value of an option, or else those of its variable."""
    return (option, value) if value else (variable, os.environ.get(variable))


def deviations_from(option: Any) -> Mapping[str, Deviation]:
    """Read the file of --known-deviations, if it is given."""
    file = option.contract_known_deviations
    return read_deviations(Path(file), rule_ids()) if file else {}


def settings_from(config: pytest.Config, target: Target, keys: tuple[Credential, ...], *, embedded: bool) -> Settings:
    """Read and check every option; UsageError names the one that is wrong, and what is valid."""
    option = config.option
    headers = tuple(header_from(text) for text in option.contract_header)
    proxy = _proxy(option.contract_proxy)
    ca_file = _certificates(option.contract_ca_file)
    if (key_log := os.environ.get("SSLKEYLOGFILE")) and (ca_file or target.scheme == "https"):
        _check_key_log(key_log)
    intrusive = embedded or option.contract_intrusive
    budget = INTRUSIVE_REQUEST_BUDGET if intrusive else REQUEST_BUDGET
    if option.hypothesis_profile == "thorough":
        budget += GENERATED_REQUESTS
    return Settings(
        target=target,
        keys=keys,
        level=option.contract_level,
        embedded=embedded,
        intrusive=intrusive,
        require_complete=option.contract_require_complete,
        max_rate=option.contract_max_rate,
        max_time=option.contract_max_time or ConnectionSettings.max_time,
        max_requests=option.contract_max_requests or budget,
        timeout=option.contract_answer_timeout or ConnectionSettings.timeout,
        ca_file=ca_file,
        proxy=None if embedded else proxy,
        headers=headers,
        deviations=deviations_from(option),
        secrets=(*(key.text for key in keys), *(v for _, v in headers if len(v) >= SHORTEST_SECRET)),
    )
