"""The process from which gates are forked: it has imported and compiled all modules that a gate needs.

It has run the gate once against a fault, until the end, and once as users do.
That second run has the plugins that pytest loads by itself, and the embedded mock.
"""

from __future__ import annotations

import gc
import os
import tempfile
import time
from pathlib import Path

from mock_server import load_deployment
from mock_server.fixtures.faults import load_fault
from tests.support.forked_gate import Job, run_as_users_do, run_here

HERE, REAL_TIME = Path.cwd(), time.time
with tempfile.TemporaryDirectory() as folder:
    run_here(Job(Path(folder), load_fault("429-has-no-rate-limit-headers"), load_deployment(), writes_reports=True))
    run_as_users_do(Path(folder))
    os.chdir(HERE)
time.time = REAL_TIME
gc.disable()  # a run is too short for a collection, which would copy shared memory
gc.freeze()
