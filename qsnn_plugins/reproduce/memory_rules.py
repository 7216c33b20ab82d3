"""Rules for memory: what the papers count, each stated once."""

from __future__ import annotations

import math
from dataclasses import replace

from qsnn_plugins.cost import memory_way
from qsnn_plugins.reproduce.case import Case, NotComputed, rule

_MEBI = 2**20
# IM-SNN counts a ternary membrane as 1.5 bits over images and as 2 bits over events
_ONE_AND_A_HALF = replace(memory_way("imsnn"), spikes=False)
_TWO = replace(_ONE_AND_A_HALF, ternary_bits=2)


@rule("weights of all convolutions, shortcuts included")
def convolutions(case: Case) -> float:
    way = replace(_TWO, membranes="none", weights_of=("conv",))
    return case.in_unit(case.cost.memory(way).total)


@rule("all parameters, at the bits of the weights")
def all_parameters(case: Case) -> float:
    roles = ("weights", "biases", "normalization")
    return case.in_unit(_at_weight_bits(case, sum(case.cost.count(role) for role in roles)))


@rule("weights and biases of convolutions and linear layers, at the bits of the weights")
def weights_and_biases(case: Case) -> float:
    return case.in_unit(
        _at_weight_bits(case, case.cost.count("weights") + case.cost.count("biases"))
    )


@rule("membranes behind convolutions (Eq. 17); a ternary one takes 1.5 bits")
def membranes(case: Case) -> float:
    bits = sum(n.counted_bits(_ONE_AND_A_HALF) for n in case.behind_convolutions())
    return case.in_unit(bits / 8)


@rule("membranes behind convolutions (Eq. 17); a ternary one takes 2 bits")
def membranes_of_two_bits(case: Case) -> float:
    return case.in_unit(sum(n.counted_bits(_TWO) for n in case.behind_convolutions()) / 8)


@rule("membranes behind all convolutions but the first; a ternary one takes 1.5 bits")
def membranes_behind_the_first(case: Case) -> float:
    others = case.behind_convolutions()[1:]
    return case.in_unit(sum(n.counted_bits(_ONE_AND_A_HALF) for n in others) / 8)


@rule("weights and twice the membranes, each cut to hundredths")
def weights_and_two_membranes(case: Case) -> float:
    return _cut(case.other("weight_memory")) + 2 * _cut(case.other("membrane_memory"))


@rule("weights and five times the membranes, each cut to hundredths")
def weights_and_five_membranes(case: Case) -> float:
    return _cut(case.other("weight_memory")) + 5 * _cut(case.other("membrane_memory"))


@rule("weights, membranes, and one byte for each membrane's input, each cut to hundredths")
def weights_membranes_and_bytes(case: Case) -> float:
    inputs = case.in_unit(sum(n.count for n in case.behind_convolutions()))
    return _cut(case.other("weight_memory")) + _cut(case.other("membrane_memory")) + _cut(inputs)


@rule("the baseline's total memory over this row's, both computed")
def memory_ratio(case: Case) -> float:
    return _of_baseline(case).other("total_memory") / case.other("total_memory")


@rule(
    "parameters in 32 bits, but hidden weights at the row's bits and the first and the last layer's "
    "at 8, and the membranes of the largest layer for every sample of the batch"
)
def parameters_and_largest_membranes(case: Case) -> float:
    return case.in_unit(case.cost.memory("qsnn", samples=case.settings["batch"]).total)


@rule("share of the baseline's memory that is saved, both computed")
def memory_saved(case: Case) -> float:
    column = case.column.removesuffix("_reduction")
    return 100 * (1 - case.other(column) / _of_baseline(case).other(column))


@rule("parameters in 32 bits, but hidden weights at the row's bits and the ends' at 8")
def parameters_alone(case: Case) -> float:
    return case.in_unit(case.cost.memory(replace(memory_way("qsnn"), membranes="none")).total)


@rule("all weights at the row's bits and normalization in 32, in MiB of 2^20 bytes")
def weights_and_normalization_in_mebibytes(case: Case) -> float:
    return case.cost.memory("sigmoid_quantizer").total / _MEBI


@rule("size of the 32-bit network over this row's, both computed")
def size_ratio(case: Case) -> float:
    return _of_baseline(case).other("model_size") / case.other("model_size")


def _at_weight_bits(case: Case, count: int) -> float:
    return count * case.settings.get("weight_bits", 32) / 8


def _of_baseline(case: Case) -> Case:
    if case.baseline is None:
        raise NotComputed("a baseline: the paper does not say against what")
    return case.baseline


def _cut(value: float) -> float:
    return math.floor(100 * value + 1e-9) / 100
