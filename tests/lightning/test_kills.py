"""Twenty kills, eight of them between the steps of saving: each run goes on as if unbroken."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_killed_runs_end_with_the_weights_of_an_unbroken_one(tmp_path):
    process = subprocess.run(
        [sys.executable, "-m", "tests.lightning.kill_run", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    assert len(lines) == 20
    assert [line for line in lines if not line.endswith(": True")] == []
    # the kills that count: some came after a checkpoint
    assert sum("resumed" in line for line in lines) > 2
