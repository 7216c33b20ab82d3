"""Measures of operations against the papers' printed equations, and figures of the bit budget."""

import pytest

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional import (
    arithmetic_effort,
    bit_budget,
    operation_energy,
    remaining_operations,
)


@pytest.mark.parametrize(
    ("weight_bits", "spike_bits", "time_steps", "printed"),
    [(16, 1, 250, 4000), (16, 1, 4, 64), (2, 1, 2, 4), (8, 8, 1, 64), (4, 8, 1, 32), (1, 1, 1, 1)],
)
def test_the_bit_budget_of_table_one(weight_bits, spike_bits, time_steps, printed):
    assert bit_budget(time_steps, weight_bits, spike_bits) == printed


def test_effort_is_printed_sops_times_weight_bits():
    # bit budget, Table 1, SEW-ResNet-34: 13.61 G SOPs and 217.72 G S-ACE at 16 / 1 / 4
    assert arithmetic_effort(13.61e9 / 4, bit_budget(4, 16, 1)) == pytest.approx(217.72e9, rel=1e-3)
    assert arithmetic_effort(10, 8, 0.25) == 20


def test_pruning_leaves_what_equation_thirty_says():
    steps, kernel, inputs, outputs, height, width = 4, 3, 16, 32, 8, 8
    dense = steps * kernel**2 * inputs * outputs * height * width
    expected = steps * kernel**2 * inputs * (outputs * (1 - 0.4)) * (height * width * (1 - 0.35))
    assert remaining_operations(dense, spatial=0.35, channel=0.4) == pytest.approx(expected)


def test_energy_adds_up():
    assert operation_energy(3, 5, add_energy=0.38, multiply_energy=1.31) == pytest.approx(7.69)


@pytest.mark.parametrize(
    "call",
    [
        lambda: bit_budget(0, 1, 1),
        lambda: bit_budget(1, 0, 1),
        lambda: bit_budget(1, 1, 0),
        lambda: arithmetic_effort(1, 1, 1.5),
        lambda: remaining_operations(1, spatial=-0.1),
        lambda: remaining_operations(1, channel=float("nan")),
    ],
)
def test_what_is_not_allowed(call):
    with pytest.raises(ArgumentError):
        call()


@pytest.mark.parametrize(("steps", "bits"), [(1.5, 2), (4, 1.5)])
def test_a_budget_has_whole_steps_and_bits(steps, bits):
    with pytest.raises(ArgumentError, match=r"=1\.5 is not allowed: give an integer from 1"):
        bit_budget(steps, 4, bits)
