"""Arguments of another type, which Python hands on and YAML would not."""

import inspect

import numpy as np
import pytest

from qsnn_plugins.data import (
    CIFAR10,
    NMNIST,
    BatchMixing,
    BoxFilter,
    Digits,
    EventCamera,
    EventDigits,
    FrameBinning,
    Gen1,
    ImageNet,
    NCaltech101,
    SceneStyle,
    TinyImageNet,
)
from qsnn_plugins.data.checks import at_least, height_width, interval, one_of
from qsnn_plugins.data.rand_augment import GaussianRandAugment
from qsnn_plugins.errors import ArgumentError
from tests.data.test_yaml import MODULES, package

FLAGS = [
    (kind, name)
    for kind in (FrameBinning, *(getattr(package, module) for module in MODULES))
    for name, argument in inspect.signature(kind).parameters.items()
    if isinstance(argument.default, bool)
]


def test_flags_are_found():
    assert {name for _, name in FLAGS} == {"binary", "download", "allow_broken", "background"}


@pytest.mark.parametrize(("kind", "name"), FLAGS)
@pytest.mark.parametrize("value", ["false", 0, None])
def test_what_is_neither_true_nor_false_is_named(kind, name, value):
    """Any text counts as true in Python, "no" as well."""
    settings = {"time_steps": 2} if kind is FrameBinning else {}
    with pytest.raises(ArgumentError, match=f"^{name}={value!r} .*give True or False$"):
        kind(**settings | {name: value})


@pytest.mark.parametrize(
    ("kind", "argument", "value"),
    [
        (NCaltech101, "test_fraction", "0.2"),
        (NCaltech101, "split", ["random"]),
        (BatchMixing, "mixup", "a"),
        (BatchMixing, "cutmix", None),
        (BatchMixing, "until_epoch", "3"),
        (EventCamera, "mismatch", "0.1"),
        (EventCamera, "steps", 2.0),
        (GaussianRandAugment, "magnitude", "9"),
        (GaussianRandAugment, "spread", None),
        (Digits, "channels", True),
        (Digits, "channels", 3.0),
        (NMNIST, "fold", np.True_),
        (NMNIST, "fold", "1"),
        (CIFAR10, "root", 5),
        (NMNIST, "cache_dir", 5),
        (EventDigits, "size", (24, True)),
        (EventDigits, "bin_by", np.array(["time", "count"])),
    ],
)
def test_a_value_of_another_type_is_named(kind, argument, value):
    with pytest.raises(ArgumentError, match=f"^{argument}="):
        kind(**{argument: value})


@pytest.mark.parametrize("integer", [np.int64, np.uint8, np.array])
def test_integers_of_numpy_are_integers(integer):
    binning = FrameBinning(integer(2), size=integer(8))
    assert binning == FrameBinning(2, size=8)
    assert hash(binning) == hash(FrameBinning(2, size=8))
    assert type(at_least("steps", integer(3), 1)) is int
    assert [type(side) for side in height_width("size", (integer(3), integer(4)))] == [int, int]
    for kind, argument in (
        *((Digits, "channels"), (Digits, "size"), (TinyImageNet, "size"), (ImageNet, "size")),
        *((NMNIST, "time_steps"), (Gen1, "window"), (Gen1, "size")),
    ):
        data = kind(**{argument: integer(3 if argument == "channels" else 32)})
        assert {type(side) for side in data.frame_shape} == {int}
    assert NMNIST(fold=integer(1)).fold == 1
    assert BoxFilter(diagonal=integer(60)) == BoxFilter(diagonal=60)
    assert type(EventCamera(steps=integer(4)).steps) is int


def test_intervals_of_numpy_are_intervals():
    interval("objects", (np.int64(1), np.int64(2)), whole=True)
    interval("car", (np.float32(1), np.int64(2)))
    assert SceneStyle(objects=(np.int64(1), 2)) == SceneStyle(objects=(1, 2))


@pytest.mark.parametrize("value", [np.True_, True, 2.0, "2", None])
def test_what_is_no_integer_is_named(value):
    with pytest.raises(ArgumentError, match=r"^steps=.* an integer of at least 1$"):
        at_least("steps", value, 1)
    with pytest.raises(ArgumentError, match=r"^size="):
        height_width("size", value)


def test_a_word_is_a_str():
    with pytest.raises(ArgumentError, match=r"^bin_by="):
        one_of("bin_by", 1, ("time", "count"))
