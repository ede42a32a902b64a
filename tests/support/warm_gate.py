"""The process that collected gates are forked from: it has run the gate once, to a failure and to the end."""

from __future__ import annotations

import gc
import os
import tempfile
import time
from pathlib import Path

from mock_server import load_deployment
from mock_server.fixtures.faults import load_fault
from tests.support.forked_gate import Job, run_here

HERE, REAL_TIME = Path.cwd(), time.time
with tempfile.TemporaryDirectory() as folder:
    run_here(Job(Path(folder), load_fault("429-has-no-rate-limit-headers"), load_deployment(), writes_reports=True))
    os.chdir(HERE)
time.time = REAL_TIME
gc.disable()  # a run ends before a collection is worth its time, and a collection would copy shared memory
gc.freeze()
