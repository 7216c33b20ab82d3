"""Errors go from process to process and stay what they are."""

import pickle

import pytest
from torch.utils.data import DataLoader

from qsnn_plugins import errors
from qsnn_plugins.cli.failures import RecipeError

ERRORS = [
    errors.QSNNError("a sentence"),
    errors.ArgumentError("bits", 0, "an integer from 1 to 8"),
    errors.ArgumentTypeError("mem", 0, "None"),
    errors.StateError("reset_net"),
    errors.UnknownOptionError("spec.weight", "bit", "bits"),
    errors.DataError("a.bin is empty"),
    errors.BackendError("cpp", "there is no compiler g++"),
    errors.DependencyError("a figure", "matplotlib", "plot", "it is not there"),
    RecipeError("there is no recipe"),
]
every_error = pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)


class Broken:
    """A data set whose items raise an error."""

    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise self.error


@every_error
def test_a_loading_process_tells_its_error(error):
    with pytest.raises(type(error)) as caught:
        next(iter(DataLoader(Broken(error), num_workers=1)))
    assert type(caught.value) is type(error)
    assert str(caught.value) == str(error)


@every_error
def test_they_are_pickled(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
