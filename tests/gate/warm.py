"""What the runs of the matrix are forked from: a process that has run the gate once, to the end and to a failure."""

from __future__ import annotations

import gc
import os
import tempfile
from pathlib import Path

from mock_server.faults import load_fault
from tests.gate.matrix import run_in

HERE = Path.cwd()
with tempfile.TemporaryDirectory() as folder:
    run_in(Path(folder), load_fault("429-has-no-headers"))
    os.chdir(HERE)
gc.disable()  # a run ends before a collector is worth its time, and one that looks at all this would copy it
