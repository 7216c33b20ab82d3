"""docs/data.md lists what there is, and its Python runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import qsnn_plugins.data as package

from .test_yaml import MODULES

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text()


@pytest.mark.parametrize("name", MODULES)
def test_every_data_module_has_a_row(name):
    (row,) = re.findall(rf"^\| `{name}` \|.*$", PAGE, re.MULTILINE)
    assert row.count("|") == 6


def test_every_augmentation_has_a_row():
    from qsnn_plugins.data import frame_augmentation, image_transforms

    rows = set(
        re.findall(r"^\| `(\w+)` \| (?:all|\w+ ?\w* images|event data) \|", PAGE, re.MULTILINE)
    )
    assert rows == {*frame_augmentation.AUGMENTATIONS, *image_transforms.AUGMENTATIONS}


def test_the_recipes_are_of_data_modules():
    for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL):
        data = yaml.safe_load(block)["data"]
        getattr(package, data["class_path"])(**data["init_args"])


def test_its_python_runs():
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    use = "\nframes, labels = next(iter(Noise(8).train_dataloader()))\nprint(list(frames.shape))"
    command = [sys.executable, "-c", block + use]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == "[8, 10, 2, 48, 48]\n"
