"""Splits of recordings that come without one: so many of each class, always the same."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from qsnn_plugins.data.checks import one_of
from qsnn_plugins.errors import ArgumentError

ORDERS = ("ordered", "random")

_SEED = 42  # as in IM-SNN's code; no setting, so that results can be compared


def split_classes(
    classes: Sequence[Sequence[object]], test_fraction: float, split: str
) -> tuple[list[list[int]], list[list[int]]]:
    """Return the indices that train and those that test, of each class.

    Of a class of n, the test split gets ceil(test_fraction n), so that no class is without a test.

    Args:
        classes: The items of each class.
        test_fraction: Share of each class that tests: 0.1 splits 9:1, 0.2 splits 80:20.
        split: "ordered" tests on the last of each class; "random" draws them, with a fixed seed.

    Raises:
        ArgumentError: A setting is out of its range.

    Example:
        >>> split_classes(["abcdefghij", "klmno"], 0.2, "ordered")
        ([[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3]], [[8, 9], [4]])
    """
    check_split(test_fraction, split)
    train, test = [], []
    for label, items in enumerate(classes):
        order = np.arange(len(items))
        if split == "random":
            order = np.random.default_rng([_SEED, label]).permutation(order)
        # rounded first: 0.1 * 1,000 is a little more than 100 in some fractions
        first = len(items) - math.ceil(round(test_fraction * len(items), 6))
        train.append(sorted(order[:first].tolist()))
        test.append(sorted(order[first:].tolist()))
    return train, test


def check_split(test_fraction: float, split: str) -> None:
    """Refuse a split that cannot be.

    Raises:
        ArgumentError: `test_fraction` lies outside (0, 1), or `split` is unknown.

    Example:
        >>> check_split(0.1, "random")
    """
    if not 0 < test_fraction < 1:
        raise ArgumentError("test_fraction", test_fraction, "a number between 0 and 1")
    one_of("split", split, ORDERS)
