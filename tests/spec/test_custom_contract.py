"""What a quantizer of one's own must have, and which sentence names what it lacks."""

import pytest
import torch
from torch import nn

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.nn import (
    membrane_quantizer,
    weight_quantizer,
)
from qsnn_plugins.spec import MembraneSpec, WeightSpec
from tests.spec.test_custom import DeadZone, Steps

HERE = __name__


def no_class():
    """Has an import path, as the classes below have."""


class NoBits(nn.Module):
    def forward(self, u):
        return u


class NoCodes(NoBits):
    bits = 2


class Floats(NoCodes):
    def codes(self, u):
        return u, torch.tensor(1.0)


class Inexact(DeadZone):
    def forward(self, u):
        return super().forward(u) * 1.0001


class Flat(DeadZone):
    def forward(self, u):
        return super().forward(u).flatten()


class Wide(DeadZone):
    levels = (0, 1)


class Unsorted(DeadZone):
    levels = (1, 0, -1)


class TensorLevels(DeadZone):
    levels = torch.tensor([-1.0, 0.0, 1.0])


class Vector(DeadZone):
    def codes(self, u):
        codes, unit = super().codes(u)
        return codes, unit.expand(4)


class PerInput(Steps):
    def codes(self, weight):
        codes, unit = super().codes(weight)
        return codes, unit.expand(1, weight.shape[1])


class Keeps(Steps):
    def codes(self, weight):
        codes, unit = super().codes(weight)
        return codes, unit.reshape(1, 1, 1, 1)


class Fails(DeadZone):
    def forward(self, u):
        return u @ torch.ones(7, 7)


class Counts(DeadZone):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, u):
        self.calls += 1
        return super().forward(u)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("NoBits", "a quantizer with bits, an integer from 1 to 16; it has None"),
        ("NoCodes", r"a quantizer with a method codes\(tensor\)"),
        ("Floats", "a quantizer with integer codes; its codes are torch.float32"),
        ("Inexact", "codes that times their unit are what forward"),
        ("Flat", r"a forward that keeps the shape \[2, 3, 4\]"),
        ("Wide", "levels, a tuple of the at most 4 integers that occur as codes"),
        ("Unsorted", "levels, a tuple of the at most 4"),
        ("TensorLevels", "levels, a tuple of the at most 4"),
        ("Vector", r"a scalar unit; it has the shape \[4\]"),
        ("Fails", r"forward and codes of a tensor \[2, 3, 4\] \("),
        ("Nothing", "the import path of a class"),
        ("HERE", "the import path of a torch.nn.Module class"),
        ("no_class", "the import path of a torch.nn.Module class"),
    ],
)
def test_what_breaks_the_contract_is_named(name, message):
    path = f"{HERE}.{name}"
    spec = MembraneSpec(class_path=path)
    with pytest.raises(ArgumentError, match=rf"^membrane\.class_path='{path}' is not.*{message}"):
        membrane_quantizer(spec)


@pytest.mark.parametrize("kind", [PerInput, Keeps])
def test_a_unit_per_input_channel_or_of_more_dimensions_is_named(kind):
    message = r"a scalar unit, or one of shape \[4, 1\]; it has the shape \[1, "
    with pytest.raises(ArgumentError, match=message):
        weight_quantizer(torch.rand(4, 4), WeightSpec.custom(kind))
    if kind is Keeps:  # as convolutions have it
        weight_quantizer(torch.rand(4, 4, 3, 3), WeightSpec.custom(kind))


def test_a_module_that_does_not_exist_and_arguments_that_do_not_fit_are_named():
    with pytest.raises(ArgumentError, match=r"membrane\.class_path='no\.such\.Class'.*No module"):
        membrane_quantizer(MembraneSpec(class_path="no.such.Class"))
    with pytest.raises(ArgumentError, match=r"weight\.init_args=\{'bit': 3\}.*unexpected keyword"):
        weight_quantizer(torch.ones(2, 2), WeightSpec.custom(Steps, bit=3))
    with pytest.raises(ArgumentError, match=r"membrane\.class_path='Class'"):
        MembraneSpec(class_path="Class")
    with pytest.raises(ArgumentError, match=r"membrane\.class_path=None"):
        MembraneSpec(kind="custom")
    with pytest.raises(ArgumentError, match=r"membrane\.init_args=.*plain|a mapping of names"):
        MembraneSpec.custom(DeadZone, edge=torch.ones(1))


def test_a_class_that_has_no_path_is_refused():
    class Local(DeadZone):
        pass

    with pytest.raises(ArgumentError, match="a class that its module has by name"):
        MembraneSpec.custom(Local)
    with pytest.raises(ArgumentError, match=r"quantizer=DeadZone.*a class"):
        MembraneSpec.custom(DeadZone())


def test_building_leaves_no_trace_in_the_module():
    assert membrane_quantizer(MembraneSpec.custom(Counts)).calls == 0
