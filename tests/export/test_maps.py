"""What moves, pads and pools maps beside convolutions has an exact form; so has OR of spikes."""

import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

from qsnn_plugins import export, inject, presets
from qsnn_plugins.errors import ExportError
from tests.export.c_programs import assert_equal_in_c, needs_gcc
from tests.export.networks import check, counts, waken


class Maps(nn.Module):
    """Two convolutions, and what is made of the currents and spikes between them."""

    def __init__(self, change, channels=8, currents=None):
        super().__init__()
        self.conv1, self.norm = layer.Conv2d(2, 8, 3, padding=1), layer.BatchNorm2d(8)
        self.lif1, self.lif2 = neuron.LIFNode(), neuron.LIFNode()
        self.conv2, self.norm2 = layer.Conv2d(channels, 5, 3), layer.BatchNorm2d(5)
        self.change = layer.SeqToANNContainer(change)
        self.currents = layer.SeqToANNContainer(currents or nn.Identity())

    def forward(self, x):
        spikes = self.lif1(self.currents(self.norm(self.conv1(x))))
        return self.lif2(self.norm2(self.conv2(self.change(spikes))))


def built(*arguments):
    torch.manual_seed(0)
    network = Maps(*arguments)
    inject(network, presets.imsnn(weight_bits=4))
    functional.set_step_mode(network, "m")
    return waken(network)


CHANGES = {
    "pad": (nn.ZeroPad2d(2),),
    "pad one side": (nn.ZeroPad2d((1, 0, 3, 2)),),
    "pad currents": (nn.Identity(), 8, nn.ZeroPad2d((0, 2, 1, 1))),
    "pad currents by a constant": (nn.Identity(), 8, nn.ConstantPad2d(1, 0.75)),
    "nearest": (nn.Upsample(scale_factor=2),),
    "nearest exact": (nn.Upsample(size=(11, 7), mode="nearest-exact"),),
    "nearest currents": (nn.Identity(), 8, nn.Upsample(scale_factor=1.5)),
    "shuffle": (nn.PixelShuffle(2), 2),
    "unshuffle": (nn.PixelUnshuffle(2), 32),
    "channels": (nn.ChannelShuffle(4),),
    "greatest, ceil": (nn.MaxPool2d(3, 2, ceil_mode=True),),
    "greatest, ceil, padded": (nn.MaxPool2d((3, 2), (2, 3), (1, 0), ceil_mode=True),),
    "greatest, dilated": (nn.MaxPool2d(2, 1, dilation=(2, 3)),),
    "greatest, dilated, padded, ceil": (nn.MaxPool2d(3, 2, 1, dilation=2, ceil_mode=True),),
    "greatest currents": (nn.Identity(), 8, nn.MaxPool2d(2, 1, dilation=2)),
    "mean, ceil": (nn.AvgPool2d(3, 2, ceil_mode=True, divisor_override=9),),
    "mean currents, ceil": (nn.Identity(), 8, nn.AvgPool2d(3, 2, 1, ceil_mode=True)),
}


@pytest.mark.parametrize("arguments", CHANGES.values(), ids=CHANGES)
def test_maps_are_exact_in_the_reference_and_the_runtime(arguments):
    x = counts(shape=(2, 10, 9) if "huffle" not in str(arguments[0]) else (2, 10, 10))
    integer = check(built(*arguments), x)
    answers, spikes = integer(x)
    answers_compiled, spikes_compiled = integer.compile(1)(x, spikes=True)
    assert torch.equal(answers, answers_compiled)
    assert all(torch.equal(spikes_compiled[name], sent) for name, sent in spikes.items())
    assert all(0 < sent.float().mean() < 1 for sent in spikes.values())


@pytest.mark.slow
@needs_gcc
@pytest.mark.parametrize("arguments", CHANGES.values(), ids=CHANGES)
def test_they_are_equal_in_c(arguments, tmp_path):
    x = counts(shape=(2, 10, 10))
    assert_equal_in_c(export.to_integer(built(*arguments), x), x, tmp_path)


REFUSED = {
    "reflected": (nn.ReflectionPad2d(1), "reflection_pad"),
    "cut": (nn.ZeroPad2d(-1), "or cuts them"),
    "bilinear": (nn.Upsample(scale_factor=2, mode="bilinear"), "upsample_bilinear2d"),
    "unequal means": (
        nn.AvgPool2d(3, 2, ceil_mode=True),
        "pools places in different|several units",
    ),
    "unequal means of a ceiling": (
        nn.AvgPool2d(2, ceil_mode=True),
        "several units.* with ceil_mode=True whose last windows reach beyond the edge",
    ),
}


@pytest.mark.parametrize(("change", "words"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_form_is_refused(change, words):
    with pytest.raises(ExportError, match=words):
        export.to_integer(built(change), counts(shape=(2, 10, 9)))
