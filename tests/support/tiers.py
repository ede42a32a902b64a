"""The tiers of the tests, each with the tools that it needs; a tier is a folder of `tests/` and a mark."""

from __future__ import annotations

import os
import shutil

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
NODE = shutil.which("node")
NPM = shutil.which("npm")
REDIS = shutil.which("redis-server") or shutil.which("valkey-server")

# tox hides CI from the commands that it runs, and keeps its value in another variable.
IN_CI = "true" in {os.environ.get("CI"), os.environ.get("__TOX_ENVIRONMENT_VARIABLE_ORIGINAL_CI")}

TIERS = {
    "proof": {},
    "browser": {"chromium": CHROMIUM is not None, "nodejs": NODE is not None},
    "state": {"redis-server": REDIS is not None},
    "packaging": {"git": shutil.which("git") is not None},
    "generators": {"nodejs": NODE is not None, "npm": NPM is not None},
    "image": {name: shutil.which(name) is not None for name in ("buildah", "debootstrap")},
}
# The expression that `-m` has for the everyday tests.
EVERYDAY = f"not ({' or '.join(TIERS)})"
# The tiers that decide whether a change lands (`.ci/run`); the others run in jobs of the workflow, or by hand (image).
DECISIVE = ("proof", "browser", "state", "packaging")


def missing_tools(tier: str) -> str:
    """Return the reason why a tier cannot run on this machine, or an empty text."""
    missing = [package for package, is_there in TIERS[tier].items() if not is_there]
    return f"tier {tier} needs {' and '.join(missing)} (Debian: apt-get install {' '.join(missing)})" if missing else ""
