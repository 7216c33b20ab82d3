"""Rules for memory: what the papers count, each stated once."""

from __future__ import annotations

import math
from dataclasses import replace

from qsnn_plugins.cost import memory_way
from qsnn_plugins.reproduce.case import Case, NotComputedError, rule

_MEBI = 2**20
# IM-SNN counts a ternary membrane as 1.5 bits over images and as 2 bits over events
_ONE_AND_A_HALF = replace(memory_way("imsnn"), spikes=False)
_TWO = replace(_ONE_AND_A_HALF, ternary_bits=2)


@rule
def convolutions(case: Case) -> float:
    """Weights of all convolutions, shortcuts included."""
    way = replace(_TWO, membranes="none", weights_of=("conv",))
    return case.in_unit(case.cost.memory(way).total)


@rule
def all_parameters(case: Case) -> float:
    """All parameters, at the bits of the weights."""
    return case.in_unit(_at_weight_bits(case, case.parameter_count))


@rule
def weights_and_biases(case: Case) -> float:
    """Weights and biases of convolutions and linear layers, at the bits of the weights."""
    return case.in_unit(
        _at_weight_bits(case, case.cost.count("weights") + case.cost.count("biases"))
    )


@rule
def membranes(case: Case) -> float:
    """Membranes behind convolutions (Eq. 17); a ternary one takes 1.5 bits."""
    bits = sum(n.counted_bits(_ONE_AND_A_HALF) for n in case.behind_convolutions())
    return case.in_unit(bits / 8)


@rule
def membranes_of_two_bits(case: Case) -> float:
    """Membranes behind convolutions (Eq. 17); a ternary one takes 2 bits."""
    return case.in_unit(sum(n.counted_bits(_TWO) for n in case.behind_convolutions()) / 8)


@rule
def membranes_behind_the_first(case: Case) -> float:
    """Membranes behind all convolutions but the first; a ternary one takes 1.5 bits."""
    others = case.behind_convolutions()[1:]
    return case.in_unit(sum(n.counted_bits(_ONE_AND_A_HALF) for n in others) / 8)


@rule
def weights_and_two_membranes(case: Case) -> float:
    """Weights and twice the membranes, each cut to hundredths."""
    return _cut(case.other("weight_memory")) + 2 * _cut(case.other("membrane_memory"))


@rule
def weights_and_five_membranes(case: Case) -> float:
    """Weights and five times the membranes, each cut to hundredths."""
    return _cut(case.other("weight_memory")) + 5 * _cut(case.other("membrane_memory"))


@rule
def weights_membranes_and_bytes(case: Case) -> float:
    """Weights, membranes, and one byte for each membrane's input, each cut to hundredths."""
    inputs = case.in_unit(sum(n.count for n in case.behind_convolutions()))
    return _cut(case.other("weight_memory")) + _cut(case.other("membrane_memory")) + _cut(inputs)


@rule
def memory_ratio(case: Case) -> float:
    """The baseline's total memory over this row's, both computed."""
    return _of_baseline(case).other("total_memory") / case.other("total_memory")


@rule
def parameters_and_largest_membranes(case: Case) -> float:
    """Hidden weights at the row's bits, the ends' at 8, all else at 32, and the largest membranes.

    Those are the layer's that has most neurons, for every sample of the batch.
    """
    samples = case.settings["batch"]
    way = memory_way("qsnn") if samples else replace(memory_way("qsnn"), membranes="none")
    return case.in_unit(case.cost.memory(way, samples=max(samples, 1)).total)


@rule
def memory_saved(case: Case) -> float:
    """Share of the baseline's memory that is saved, both computed and rounded to hundredths."""
    column = case.column.removesuffix("_reduction")
    ours, base = case.other(column), _of_baseline(case).other(column)
    return 100 * (1 - round(ours, 2) / round(base, 2))


@rule
def weights_and_normalization_in_mebibytes(case: Case) -> float:
    """All weights at the row's bits and normalization in 32, in MiB of 2^20 bytes."""
    return case.cost.memory("sigmoid_quantizer").total / _MEBI


@rule
def size_ratio(case: Case) -> float:
    """Size of the 32-bit network over this row's, both computed."""
    return _of_baseline(case).other("model_size") / case.other("model_size")


def _at_weight_bits(case: Case, count: int) -> float:
    return count * case.settings.get("weight_bits", 32) / 8


def _of_baseline(case: Case) -> Case:
    if case.baseline is None:
        raise NotComputedError("a baseline: the paper does not say against what")
    return case.baseline


def _cut(value: float) -> float:
    return math.floor(100 * value + 1e-9) / 100
