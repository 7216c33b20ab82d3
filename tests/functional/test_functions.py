"""What all functions of autograd of this package keep to, whatever they compute."""

from typing import get_args

import pytest
import torch
from torch.overrides import TorchFunctionMode

from qsnn_plugins.functional import nearest_level
from qsnn_plugins.functional.autograd import Function
from qsnn_plugins.nn import weight_quantizer
from qsnn_plugins.ops.quantized_lif import quantized_lif
from qsnn_plugins.spec import PruningSpec, WeightSpec
from qsnn_plugins.spec.weight import WeightKind
from tests.ops.quantized_lif.cases import CASES, QUICK, inputs, masked


class LastCall(TorchFunctionMode):
    """Notes whether the last call returned an argument of its own, as a cast to its dtype does."""

    did_nothing = False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.did_nothing = any(result is each for each in args)
        return result


def watched(function, found):
    """The forward of a function, which notes in `found` how it ended."""
    own, name = function.forward, function.__qualname__

    def forward(*arguments):
        with LastCall() as last:
            result = own(*arguments)
        found[name] = found.get(name, False) or last.did_nothing
        return result

    return forward


@pytest.fixture
def called(monkeypatch):
    """Names of the functions that are called, and whether their forward ended in nothing."""
    found = {}
    for function in Function.__subclasses__():
        monkeypatch.setattr(function, "forward", staticmethod(watched(function, found)))
    return found


class Ends(Function):
    @staticmethod
    def forward(x):
        return x.round().to(x.dtype)

    @staticmethod
    def setup_context(ctx, inputs, output): ...


def test_no_forward_ends_in_a_cast_to_its_own_dtype_or_in_place(called):
    """torch.compile of torch 2.11 takes the gradient of such a function for zero."""
    x_seq, v = inputs((2, 2, 3, 4))
    for number in QUICK:
        more = {"scale": torch.tensor(1.25, requires_grad=True), "decay": 0.5}
        threshold = torch.tensor(0.75, requires_grad=True)
        neurons = [CASES[number]]
        if not CASES[number].measures:
            neurons.append(masked(CASES[number], PruningSpec(0.3)))
        for neuron in neurons:
            quantized_lif(x_seq, v, threshold, neuron, **more, backend="reference")
    for kind in get_args(WeightKind):
        if kind not in ("float", "custom"):
            weight = torch.nn.Parameter(torch.randn(4, 3))
            weight_quantizer(weight, WeightSpec(kind=kind))(weight)
    assert {"_NearestLevel", "_Uniform", "_KeepComparison", "_Heaviside", "_HardReset"} < {*called}
    assert [name for name, ends in called.items() if ends] == []


def test_the_check_sees_a_cast(called):
    Ends.apply(torch.ones(2))
    nearest_level(torch.ones(2))
    assert called == {"Ends": True, "_NearestLevel": False}


def test_all_are_of_the_base_that_finds_their_signature_once():
    every = torch.autograd.Function.__subclasses__()
    assert [each for each in every if each.__module__.startswith("qsnn_plugins")] == [Function]
