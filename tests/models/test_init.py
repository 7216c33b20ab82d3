"""Convolutions begin as in the released codes of TET, IM-SNN, Q-SNN and LT-SNN, where asked for."""

import math

import pytest
import torch
from torch import nn

from qsnn_plugins import presets
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.models import ResidualNet, StringNet


def raw(layer):
    parametrized = getattr(layer, "parametrizations", None)
    return parametrized.weight.original if parametrized else layer.weight


@pytest.mark.parametrize("spec", [None, presets.qsnn(), presets.imsnn(weight_bits=8)])
def test_standard_deviations_are_the_printed_ones(spec):
    torch.manual_seed(0)
    for net in (
        StringNet("64C3-96C5-64DW-AP2-GAP-FC128-FC10", spec=spec, init="kaiming_fan_out"),
        ResidualNet(19, width=0.5, spec=spec, init="kaiming_fan_out"),
    ):
        layers = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
        for layer in layers:
            weight, k = raw(layer), layer.kernel_size[0]
            wanted = math.sqrt(2 / (k**2 * layer.out_channels))
            error = 4 / math.sqrt(2 * weight.numel())  # of a sample's standard deviation, 4 sigma
            assert weight.std().item() == pytest.approx(wanted, rel=error), layer
            assert weight.mean().abs() < 4 * wanted / math.sqrt(weight.numel())
        assert len(layers) >= 4


def test_torchs_own_is_2_45_times_narrower():
    torch.manual_seed(0)
    stds = {}
    for init in ("torch", "kaiming_fan_out"):
        net = StringNet("128C3-128C3-GAP-FC10", init=init)
        stds[init] = net.blocks.conv2.synapse[0].weight.std().item()
    assert stds["kaiming_fan_out"] / stds["torch"] == pytest.approx(2.45, rel=0.02)


def test_layers_without_normalization_and_linear_ones_begin_as_before():
    weights = []
    for init in ("torch", "kaiming_fan_out"):
        torch.manual_seed(0)
        weights.append(StringNet("8C3-8C3-GAP-FC8-FC2", normalized="none", init=init).state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    torch.manual_seed(0)
    net = StringNet("8C3-GAP-FC2", init="kaiming_fan_out")
    assert net.blocks.fc1[1].weight.abs().max() <= 1 / math.sqrt(8)


def test_another_name_is_refused():
    with pytest.raises(ArgumentError, match="init='he' is not allowed: give one of torch"):
        StringNet("8C3-GAP-FC2", init="he")
