"""Splits of data sets that come without one."""

import pytest

from qsnn_plugins.data.class_splits import class_folds, split_classes
from qsnn_plugins.errors import ArgumentError

CLASSES = [[(label, number) for number in range(count)] for label, count in enumerate((10, 31, 2))]


@pytest.mark.parametrize("split", ["ordered", "random"])
@pytest.mark.parametrize(("fraction", "counts"), [(0.1, [1, 4, 1]), (0.2, [2, 7, 1])])
def test_each_class_is_split_alike(split, fraction, counts):
    train, test = split_classes(CLASSES, fraction, split)
    assert sorted(train + test) == [thing for part in CLASSES for thing in part]
    assert [sum(label == part for part, _ in test) for label in range(3)] == counts


def test_whole_tenths_stay_whole():
    """A tenth of 1,000 is 100, whatever floating point makes of it."""
    for fraction, whole, count in (
        (0.1, 1_000, 100),
        (0.2, 1_000, 200),
        (0.07, 100, 7),
        (1e-9, 9, 1),
    ):
        assert len(split_classes([range(whole)], fraction, "random")[1]) == count


def test_random_is_drawn_and_always_the_same():
    ordered = split_classes([range(1_000)], 0.1, "ordered")
    random = split_classes([range(1_000)], 0.1, "random")
    assert ordered[1] == list(range(900, 1_000))
    assert random == split_classes([range(1_000)], 0.1, "random")
    assert 350 < sum(random[1]) / 100 < 650
    # a draw that has to stay what it is: results are compared over it
    assert random[1][:8] == [1, 10, 15, 34, 41, 42, 49, 57]


def test_classes_are_drawn_apart():
    _, test = split_classes([range(100), range(100, 200)], 0.1, "random")
    assert [number + 100 for number in test[:10]] != test[10:]


@pytest.mark.parametrize(("argument", "value"), [("test_fraction", 1), ("split", "by_hand")])
def test_bad_settings_are_named(argument, value):
    settings = {"test_fraction": 0.1, "split": "random"} | {argument: value}
    with pytest.raises(ArgumentError, match=f"^{argument}="):
        split_classes(CLASSES, **settings)


def test_each_class_of_two_or_more_trains():
    classes = [range(1), range(30), range(40)]
    with pytest.raises(ArgumentError, match=r"^test_fraction=0\.97 .* at most 29/30, so that one"):
        split_classes(classes, 0.97, "random")
    train, test = split_classes(classes, 29 / 30, "random")
    assert (len(train), len(test)) == (2, 69)


def test_each_thing_tests_in_one_fold():
    splits = [class_folds(CLASSES, fold, 5) for fold in range(5)]
    everything = [thing for part in CLASSES for thing in part]
    assert sorted(thing for _, test in splits for thing in test) == everything
    for train, test in splits:
        assert sorted(train + test) == everything
        assert sum(label == 1 for label, _ in test) in (6, 7)


@pytest.mark.parametrize("fold", [-1, 5, 1.0, True])
def test_a_fold_that_is_not_there_is_named(fold):
    with pytest.raises(ArgumentError, match=r"^fold=.* an integer from 0 to 4"):
        class_folds(CLASSES, fold, 5)
