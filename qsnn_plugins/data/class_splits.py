"""Fixed splits for data sets without an official split, class by class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from qsnn_plugins.data.checks import one_of
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.spec.checks import as_integer, number

ORDERS = ("ordered", "random")

Thing = TypeVar("Thing")

_SEED = 42  # as in IM-SNN's code; no setting, so that results can be compared


def split_classes(
    classes: Sequence[Sequence[Thing]], test_fraction: float, split: str
) -> tuple[list[Thing], list[Thing]]:
    """Return the training and the test items, class by class, each in its order.

    Of n items of a class, ceil(test_fraction n) are in the test split, so every class is tested. A
    class of two or more is also trained.

    Args:
        classes: The items of each class.
        test_fraction: Share of each class in the test split: 0.1 splits 9:1, 0.2 splits 80:20.
        split: "ordered" uses the last items of each class for test; "random" draws them with a
            fixed seed.

    Raises:
        ArgumentError: A setting is out of its range, or leaves a class of two or more items none
            for training.

    Example:
        >>> split_classes(["abcdefghij", "klmno"], 0.2, "ordered")
        (['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'k', 'l', 'm', 'n'], ['i', 'j', 'o'])
    """
    check_split(test_fraction, split)
    least = min((size for size in map(len, classes) if size > 1), default=0)
    if least and _test_count(least, test_fraction) == least:
        allowed = f"at most {least - 1}/{least}, so that one of a class's {least} items trains"
        raise ArgumentError("test_fraction", test_fraction, allowed)
    train: list[Thing] = []
    test: list[Thing] = []
    for label, things in enumerate(classes):
        count = _test_count(len(things), test_fraction)
        order = np.arange(len(things))
        if split == "random":
            order = np.random.default_rng([_SEED, label]).permutation(order)
        tests = set(order[len(things) - count :].tolist())
        for index, thing in enumerate(things):
            (test if index in tests else train).append(thing)
    return train, test


def _test_count(size: int, test_fraction: float) -> int:
    # rounded first: 0.07 * 100 is a little more than 7
    return max(math.ceil(round(test_fraction * size, 6)), 1)


def class_folds(
    classes: Sequence[Sequence[Thing]], fold: int, folds: int
) -> tuple[list[Thing], list[Thing]]:
    """Return the training and the test items of one fold of a cross-validation.

    Each item is in the test split of one fold. The order is drawn with a fixed seed, class by
    class, and the sizes of the folds differ by at most one item per class.

    Args:
        classes: The items of each class.
        fold: Number of the test fold, from 0.
        folds: Number of folds.

    Raises:
        ArgumentError: If there is no such fold.

    Example:
        >>> tests = [class_folds(["abcdef", "ghi"], fold, 3)[1] for fold in range(3)]
        >>> [len(test) for test in tests], "".join(sorted(sum(tests, [])))
        ([3, 3, 3], 'abcdefghi')
    """
    check_fold(fold, folds)
    train: list[Thing] = []
    test: list[Thing] = []
    for label, things in enumerate(classes):
        order = np.random.default_rng([_SEED, label]).permutation(len(things))
        tests = set(order[fold::folds].tolist())
        for index, thing in enumerate(things):
            (test if index in tests else train).append(thing)
    return train, test


def check_fold(fold: int, folds: int) -> None:
    """Raise ArgumentError where there is no such fold."""
    if as_integer(fold) not in range(folds):
        raise ArgumentError("fold", fold, f"an integer from 0 to {folds - 1}")


def check_split(test_fraction: float, split: str) -> None:
    """Raise ArgumentError for a `test_fraction` outside (0, 1) or an unknown `split`."""
    number("a number between 0 and 1", lambda given: 0 < given < 1)("test_fraction", test_fraction)
    one_of("split", split, ORDERS)
