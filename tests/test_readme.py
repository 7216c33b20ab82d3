"""The Python of the README and of the guide runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    ("README.md", 3),
    *(
        pytest.param(page, count, marks=pytest.mark.slow)
        for page, count in (("docs/guide.md", 5), ("docs/deploy.md", 4))
    ),
]


@pytest.mark.parametrize(("page", "count"), PAGES)
def test_every_python_block_runs_in_order(page, count, tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert len(blocks) == count
    command = [sys.executable, "-c", "\n".join(blocks)]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
