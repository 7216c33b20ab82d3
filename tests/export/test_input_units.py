"""What an integer of the input stands for: counts, pixels, and values that are rounded."""

import pytest
import snntorch as snn
import torch
from torch import nn

from qsnn_plugins import export, inject
from qsnn_plugins.errors import ArgumentError, ExportError
from qsnn_plugins.spec import QuantSpec, WeightSpec
from tests.export.networks import check, counts, string_net


def test_pixels_and_floats_are_integers():
    network = string_net(channels=3)
    pixels = counts(shape=(3, 8, 8), high=256)
    integer = check(network, pixels / 255)
    assert integer.input.unit == 1 / 255
    assert torch.equal(integer.quantize(pixels / 255), pixels.long())
    normalized = (pixels / 255 - 0.47) / 0.23
    integer = export.to_integer(network, normalized)
    rounded = integer.quantize(normalized).double() * integer.input.unit
    assert (rounded - normalized).abs().max() <= integer.input.unit / 2
    check(network, rounded.float(), input_unit=integer.input.unit)


@pytest.mark.parametrize(
    ("example", "frames"),
    [
        (torch.zeros(1, 1, 3, 8, 8), torch.full((2, 1, 3, 8, 8), 0.4)),
        (counts(shape=(3, 8, 8)), counts(shape=(3, 8, 8)) + 0.01),
        (counts(shape=(3, 8, 8), high=256) / 255, torch.full((2, 1, 3, 8, 8), 0.5)),
    ],
)
def test_what_the_example_did_not_hold_is_not_rounded_in_silence(example, frames, tmp_path):
    network = string_net(channels=3)
    integer = export.to_integer(network, example)
    integer.save(tmp_path / "file")
    again = export.load(tmp_path / "file")
    for use in (integer, again, again.compile(), lambda x: export.verify(network, integer, [x])):
        with pytest.raises(ArgumentError, match="of which the example was made"):
            use(frames)
    for dtype in (torch.float64, torch.float16, torch.bfloat16):  # the type's own rounding is none
        whole = integer.quantize(example.to(dtype)).double() * integer.input.unit
        assert torch.allclose(whole, example.double(), atol=4e-3)
    rounding = export.to_integer(network, example, input_unit=1 / 255)
    assert torch.equal(rounding.quantize(frames), (frames * 255).round().long())


@pytest.mark.parametrize("greatest", [0.5, 0.99999994, 0.99998, 1.0, 1.99999, 2.0**-130, 1e6])
def test_a_power_of_two_is_found_for_any_greatest_value(greatest):
    network, x = string_net(), torch.rand(2, 1, 2, 8, 8) * greatest / 2
    x[0, 0, 0, 0, 0] = greatest
    unit = export.to_integer(network, x).input.unit
    assert 2**14 - 1 < greatest / unit < 2**15 - 0.5
    assert export.to_integer(network, -x).input.unit == unit


@pytest.mark.parametrize(
    ("high", "unit", "span"),
    [
        (2, None, (-128, 127)),
        (128, None, (-128, 127)),
        (129, None, (-256, 255)),
        (256, 1 / 255, (-512, 511)),
        (257, 1, (-1024, 1023)),
        (2**15, 1, (-(2**15), 2**15 - 1)),
    ],
)
def test_signed_whole_numbers_have_the_bits_that_they_need(high, unit, span):
    x = counts(high=high) * (unit or 1)
    x[0, 0, 0, 0, :2] = torch.tensor([1 - high, high - 1]) * (unit or 1)
    integer = export.to_integer(string_net(), x, input_unit=unit)
    assert (integer.input.low, integer.input.high) == span
    assert integer.input.unit == (unit or 1)
    assert integer.input.rounds == (unit is not None)
    assert torch.equal(integer.quantize(x), (x / (unit or 1)).round().long())


def test_a_larger_unit_makes_sums_smaller():
    net = nn.Sequential(nn.Linear(5000, 2), snn.Leaky(0.9, init_hidden=True))
    inject(net, QuantSpec(weight=WeightSpec(kind="uniform", bits=8)))
    net[0].parametrizations.weight.original.data.fill_(1.0)
    x = torch.randn(1, 1, 5000)
    with pytest.raises(ExportError, match="and so does a larger `input_unit` where the input has"):
        export.to_integer(net, x)
    assert export.to_integer(net, x, input_unit=0.01).input.high == 1023


def test_a_unit_that_is_a_whole_number_is_saved(tmp_path):
    integer = export.to_integer(string_net(), counts(), input_unit=1)
    assert type(integer.input.unit) is float
    integer.save(tmp_path / "file")
    assert torch.equal(export.load(tmp_path / "file")(counts())[0], integer(counts())[0])
