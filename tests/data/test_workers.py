"""Processes that load batches end with the script that began them."""

import subprocess
import sys

import pytest

SCRIPT = """
import multiprocessing, os, signal
from qsnn_plugins.data.workers import WorkerLoader

loader = WorkerLoader(range(8), num_workers=2, batch_size=2, persistent_workers=True, **OPTIONS)
batches = iter(loader)
first = next(batches).tolist()
for worker in multiprocessing.active_children():
    os.kill(worker.pid, signal.SIGTERM)
rest = [batch.tolist() for batch in batches] if WHOLE else []
print(first, rest)
"""


STOPPED_AT_ONCE = "worker_init_fn=lambda worker: os.kill(os.getpid(), signal.SIGTERM)"


@pytest.mark.parametrize("options", ["", STOPPED_AT_ONCE])
@pytest.mark.parametrize("whole", [True, False])
def test_a_script_ends_with_its_workers(whole, options):
    script = SCRIPT.replace("WHOLE", str(whole)).replace("**OPTIONS", options)
    words = [sys.executable, "-c", script]
    process = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    rest = [[2, 3], [4, 5], [6, 7]] if whole else []
    assert (process.stdout, process.stderr) == (f"[0, 1] {rest}\n", "")
