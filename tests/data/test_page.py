"""docs/data.md lists what there is, and its Python runs."""

import re
from pathlib import Path

import yaml

import qsnn_plugins.data as package

from .test_yaml import MODULES

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text()


def test_every_data_module_has_a_row():
    for name in MODULES:
        rows = re.findall(rf"^\| `{name}` \|.*$", PAGE, re.MULTILINE)
        assert [row.count("|") for row in rows] == [6], name


def test_every_augmentation_has_a_row():
    from qsnn_plugins.data import frame_augmentation, image_transforms

    rows = set(
        re.findall(r"^\| `(\w+)` \| (?:all .*|\w+ ?\w* images|event data) \|", PAGE, re.MULTILINE)
    )
    assert rows == {*frame_augmentation.AUGMENTATIONS, *image_transforms.AUGMENTATIONS}


def test_the_recipes_are_of_data_modules():
    for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL):
        data = yaml.safe_load(block)["data"]
        getattr(package, data["class_path"])(**data["init_args"])


def test_its_python_runs():
    names = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(block, names)
    frames, _ = next(iter(names["Noise"](8).train_dataloader()))
    assert frames.shape == (8, 10, 2, 48, 48)
