"""No key in any artefact, whatever the deployment does with it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

from tests.gate.conftest import Respond, Run, answer

KEY, OTHER = "canary-7h1s-1s-s3cr3t", "0th3r-canary-as-well"


def echo(head: bytes) -> bytes:
    """Answer everything with the whole request, and the keys in every spelling that comes to mind."""
    spelt = [KEY, KEY[::-1], KEY.upper(), KEY.encode().hex(), base64.b64encode(KEY.encode()).decode(), OTHER]
    body = repr(head.decode("latin-1")) + " ".join(spelt)
    return answer(body.encode(), fields=f"Content-Type: text/{KEY}\r\nX-Echo: {KEY}\r\nSet-Cookie: {OTHER}")


def leaks(folder: Path) -> list[str]:
    """Return the files and names below a folder that hold a run of eight characters of a key."""
    runs = {key[start : start + 8].lower() for key in (KEY, OTHER) for start in range(len(key) - 7)}
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in files if any(run in (path.name + path.read_text()).lower() for run in runs)]


def test_no_key_in_any_artefact_of_a_failing_run(run_gate: Callable[..., Run], serve: Callable[[Respond], str]) -> None:
    run = run_gate(
        *(
            "--base-url",
            serve(echo),
            "--max-rate",
            "1000",
            "-vv",
            "-ra",
            "--showlocals",
            "--full-trace",
            "--setup-show",
        ),
        *("-o", "log_cli=true", "--log-level=DEBUG", "-o", "junit_logging=all", "-p", "cacheprovider"),
        environment={"CONTRACT_API_KEY": KEY, "CONTRACT_API_KEY_2": OTHER},
    )
    assert run.code == 1
    assert "<redacted:1>" in run.output
    assert len(run.failed) > 5
    assert (run.folder / ".pytest_cache").exists() or "cacheprovider" in run.output
    assert leaks(run.folder) == []


def test_no_key_when_the_gate_itself_fails(run_gate: Callable[..., Run], serve: Callable[[Respond], str]) -> None:
    run = run_gate("--base-url", serve(lambda _: b""), "--full-trace", environment={"CONTRACT_API_KEY": KEY})
    assert run.code == 4
    assert leaks(run.folder) == []
