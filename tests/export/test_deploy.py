"""The commands of docs/deploy.md, one after the other; the network is narrow and hardly trained."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qsnn_plugins.cli import exporting
from qsnn_plugins.export import to_integer
from tests.export.networks import counts, string_net

ROOT = Path(__file__).parents[2]
NARROW = " --model.network.width=0.0625"
SHORT = " --trainer.max_epochs=1 --trainer.limit_train_batches=4 --trainer.limit_val_batches=1"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_the_page_goes_from_training_to_a_program(tmp_path):
    page = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
    block = re.search(r"```bash\n(.*?)```", page, re.DOTALL).group(1)
    commands = block.replace("\\\n", " ").strip().splitlines()
    assert [command.split()[0] for command in commands] == [
        "lightning", "qsnn", "make", "vgg9/main",
    ]  # fmt: skip
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    printed = []
    for command in (commands[0] + NARROW + SHORT, commands[1] + NARROW, *commands[2:]):
        run = subprocess.run(
            command, shell=True, cwd=tmp_path, env={**os.environ, "PATH": path},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
        printed.append(run.stdout)
    assert "the same answer for 360 of 360 samples" in printed[1]
    answer = re.search(r"this prints (\d+):", printed[1]).group(1)
    assert printed[3].split() == [answer]


def test_the_printed_command_takes_a_folder_with_spaces(tmp_path):
    network, folder = string_net(), tmp_path / "a network's"
    folder.mkdir()
    said = exporting._sample(to_integer(network, counts()), counts(), folder)
    words = shlex.split(said.splitlines()[-1])
    assert words[2] == str(folder)
    assert words[-1] == str(folder / "sample.bin")


def test_the_printed_command_runs_a_program_in_this_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = exporting._sample(to_integer(string_net(), counts()), counts(), Path())
    assert shlex.split(said.splitlines()[-1])[4] == "./main"
