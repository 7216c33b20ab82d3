"""The README's Python runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_every_python_block_runs_in_order():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 3
    subprocess.run([sys.executable, "-c", "\n".join(blocks)], check=True, capture_output=True)
