"""What fixture files are for, without reading more of them than that."""

from __future__ import annotations

from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import ScalarEvent

from usage_contract import SourceError
from usage_contract.sources import read_bytes

UNREADABLE = "It cannot be read; switch it on to be told why."


def description(path: Path) -> str:
    """Return the description that a scenario or a fault begins with; to read hundreds of whole files takes seconds."""
    before = ""
    try:
        for event in YAML(typ="safe", pure=True).parse(read_bytes(path).decode()):
            if isinstance(event, ScalarEvent):
                if before == "description":
                    return str(event.value)
                before = event.value
    except (OSError, SourceError, UnicodeDecodeError, YAMLError):
        return UNREADABLE
    return UNREADABLE
