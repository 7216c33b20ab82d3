"""Tensors whose channels lie last in memory, as fast convolutions want them."""

import warnings

import pytest
import torch

from qsnn_plugins.functional import encode, nearest_level, place_in_levels, sigmoid_quantizer
from qsnn_plugins.nn.baked_weight import BakedWeight

LEVELS = tuple(range(-8, 9))
CALLS = {
    "nearest_level": lambda x: nearest_level(x, LEVELS),
    "sigmoid_quantizer": lambda x: sigmoid_quantizer(
        x, torch.tensor(1.0), torch.tensor(1.0), torch.tensor([-0.5, 0.5]), (-1, 0, 1), hard=True
    ),
    "encode": lambda x: encode(x.round().clamp(-8, 8), LEVELS).codes,
    "baked weight": lambda x: BakedWeight(5, LEVELS, 1, 32, torch.tensor(1.0)).codes(x)[0],
    "place_in_levels": lambda x: place_in_levels(x.round().clamp(-8, 8).long(), LEVELS),
}


@pytest.mark.parametrize("name", CALLS)
def test_channels_last_gives_the_same_without_a_warning(name):
    x = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)) * 3
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)  # it warns once in a process
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            lying = CALLS[name](x.to(memory_format=torch.channels_last))
    finally:
        torch.set_warn_always(before)
    assert torch.equal(lying, CALLS[name](x))
