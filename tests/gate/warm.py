"""What the runs of the matrix are forked from: a process that has run the gate once."""

from __future__ import annotations

import gc
import os
import tempfile
from pathlib import Path

from tests.gate.matrix import run_in

HERE = Path.cwd()
with tempfile.TemporaryDirectory() as folder:
    run_in(Path(folder), None)
    os.chdir(HERE)
gc.freeze()  # a collector that looks at it would copy it
