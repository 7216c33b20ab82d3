"""The data modules are built from a recipe's plain values, by their short names."""

import pytest
from jsonargparse import ArgumentParser

import qsnn_plugins.data as package
from qsnn_plugins.data import FramesDataModule, ImagesDataModule

from lightning import LightningDataModule  # isort: skip  (only after torchvision is mended)

MODULES = [
    name
    for name in package.__all__
    if isinstance(kind := getattr(package, name), type)
    and issubclass(kind, LightningDataModule)
    and kind not in (FramesDataModule, ImagesDataModule)
]
SHARED = {"batch_size": 7, "num_workers": 1, "seed": 3}


def build(name, values):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--data", type=LightningDataModule)
    config = parser.parse_object({"data": {"class_path": name, "init_args": values}})
    return parser.instantiate_classes(config).data


def test_there_are_the_papers_data_sets():
    assert set(MODULES) == {
        *("CIFAR10", "CIFAR100", "TinyImageNet", "ImageNet", "Digits"),
        *("CIFAR10DVS", "DVS128Gesture", "NCaltech101", "NCars", "NMNIST", "EventDigits"),
        *("Gen1", "EventScenes"),
    }


@pytest.mark.parametrize("name", MODULES)
def test_shared_arguments(name):
    data = build(name, SHARED)
    assert type(data) is getattr(package, name)
    assert (data.batch_size, data.num_workers, data.seed) == (7, 1, 3)


DOWNLOADS = [n for n in MODULES if not n.endswith("Digits") and n not in ("Gen1", "EventScenes")]


@pytest.mark.parametrize("name", DOWNLOADS)
def test_real_data_sets_have_a_root_and_ask_before_a_download(name):
    data = build(name, {"root": "elsewhere", "download": False, "augment": "none"})
    assert data.root.name == "elsewhere"


@pytest.mark.parametrize(
    ("name", "values", "shape"),
    [
        ("CIFAR10", {"augment": "autoaugment"}, (3, 32, 32)),
        ("ImageNet", {"classes": ["n01440764"], "size": 160, "resize": 192}, (3, 160, 160)),
        ("ImageNet", {"augment": "crop_flip"}, (3, 224, 224)),
        ("Digits", {"channels": 1, "size": 16}, (1, 16, 16)),
        ("NCaltech101", {"size": [48, 64], "test_fraction": 0.2}, (2, 48, 64)),
        ("CIFAR10DVS", {"augment": "nda", "split": "random"}, (2, 48, 48)),
        ("DVS128Gesture", {"size": 128, "augment": "nda"}, (2, 128, 128)),
        ("Gen1", {"root": "elsewhere", "size": [120, 152], "filter": {"side": 5}}, (2, 120, 152)),
        ("EventScenes", {"size": 96, "style": {"objects": [2, 4]}}, (2, 96, 96)),
    ],
)
def test_particular_arguments(name, values, shape):
    assert build(name, values).frame_shape == shape
