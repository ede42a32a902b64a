"""Takes the pictures of the README, light and dark: `python -m tools.pictures`. It needs Chromium."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import requests
from playwright.sync_api import Browser, ViewportSize, expect

from mock_server import UsageMock
from tests.support.browser import Scheme, chromium
from tests.support.wire import TIMEOUT

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
SIZE: ViewportSize = {"width": 1100, "height": 720}
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
FAULT = "success-rate-is-a-fraction"


def take_pictures(folder: Path) -> None:
    """Write console-light.png, console-dark.png, report-light.png and report-dark.png into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        with UsageMock() as mock:
            mock.freeze()  # a bucket stays nearly empty
            mock.use("nearly-exhausted", key="demo-modest")
            for key in (*mock.keys, "", "an-unknown-key"):
                requests.get(f"{mock.url}/usage", headers={"X-API-Key": key} if key else {}, timeout=TIMEOUT)
            _take(browser, f"{mock.url}/__mock__/", "#faults button", folder / "console")
        with tempfile.TemporaryDirectory() as reports:
            _write_report(Path(reports))
            _take(browser, f"file://{reports}/contract/contract.html", "main", folder / "report")


def _write_report(folder: Path) -> None:
    with UsageMock(fault=FAULT) as mock:
        options = ["--base-url", mock.url, "--api-key", mock.api_key, "--max-rate", "1000", "--report-dir", "contract"]
        command = [sys.executable, "-m", "pytest", "-q", "--pyargs", "contract_tests", *options]
        done = subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=False)
    assert done.returncode == 1, "the gate must reject the fault"


def _take(browser: Browser, url: str, content: str, path: Path) -> None:
    for scheme in SCHEMES:
        with browser.new_context(viewport=SIZE, color_scheme=scheme) as context:
            page = context.new_page()
            page.goto(url)
            expect(page.locator(content).first).to_be_visible()
            page.screenshot(path=path.with_name(f"{path.name}-{scheme}.png"))


if __name__ == "__main__":
    take_pictures(FOLDER)
