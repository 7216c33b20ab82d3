"""The data modules are built from a recipe's plain values, by their short names."""

import pytest
from jsonargparse import ArgumentParser

import qsnn_plugins.data as package
from qsnn_plugins.data import FramesDataModule, ImagesDataModule
from qsnn_plugins.errors import ArgumentError

from lightning import LightningDataModule  # isort: skip  (only after torchvision's operators are registered)

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


def test_shared_arguments():
    for name in MODULES:
        data = build(name, SHARED)
        assert type(data) is getattr(package, name)
        assert (data.batch_size, data.num_workers, data.seed) == (7, 1, 3), name


def test_what_a_network_needs_to_know_is_there_before_any_file_is_read():
    for name in MODULES:
        data = build(name, {})
        assert isinstance(data.num_classes, int), name
        assert data.time_steps is None or isinstance(data.time_steps, int), name
        channels, height, width = data.frame_shape
        assert min(channels, height, width) >= 1, name
        assert len(data.class_names) in (0, data.num_classes), name


DOWNLOADS = [n for n in MODULES if not n.endswith("Digits") and n not in ("Gen1", "EventScenes")]


def test_real_data_sets_have_a_root_and_ask_before_a_download():
    for name in DOWNLOADS:
        data = build(name, {"root": "elsewhere", "download": False, "augment": "none"})
        assert data.root.name == "elsewhere", name


def test_what_cannot_be_downloaded_says_where_to_get_it():
    for name in DOWNLOADS:
        if not (data := getattr(package, name)()).archives:
            with pytest.raises(ArgumentError, match=r"^download=True .*false: get it from htt"):
                type(data)(download=True)


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


def test_help_explains_every_argument():
    """What data modules share is explained in their base classes alone."""
    for name in MODULES:
        parser = ArgumentParser()
        parser.add_class_arguments(getattr(package, name), "data")
        options = [a for a in parser._actions if a.dest.startswith("data.")]
        assert {"data.batch_size", "data.seed"} <= {option.dest for option in options}
        for option in options:
            assert option.help, f"{name}: {option.dest}"
