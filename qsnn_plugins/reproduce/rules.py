"""Rules for memory, parameters and operations: what the papers count, each stated once."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from qsnn_plugins.cost import MemoryConvention, NeuronCost, memory_convention
from qsnn_plugins.functional import operations
from qsnn_plugins.reproduce.case import RULES, Case, NotComputedError, rule

__all__ = ["RULES"]

_MEBI = 2**20
_BFLOAT_BITS = 16
_SHORTCUTS = ("shortcut", "downsample")
_ATTENTION = ("attn",)
# IM-SNN counts a ternary membrane as 1.5 bits over images and as 2 bits over events
_IMSNN_IMAGES = memory_convention("imsnn")
_IMSNN_EVENTS = replace(_IMSNN_IMAGES, ternary_bits=2)


@rule
def convolutions(case: Case) -> float:
    """Weights of all convolutions, shortcuts included."""
    only = replace(_IMSNN_IMAGES, membranes="none", spikes=False, weights_of=("conv",))
    return case.in_unit(case.cost.memory(only).total)


@rule
def all_parameters(case: Case) -> float:
    """All parameters, at the bits of the weights."""
    return _at_weight_bits(case, case.parameter_count)


@rule
def parameters_and_biases_of_convolutions(case: Case) -> float:
    """All parameters, and a bias per channel of each convolution despite its normalization."""
    biases = case.cost.count("normalization") // 2  # which has a scale and a shift per channel
    return _at_weight_bits(case, case.parameter_count + biases)


@rule
def convolutions_and_floats(case: Case) -> float:
    """Convolutions at the row's bits, all other parameters in 32."""
    only = convolutions(case)
    count = 8 * only * case.in_unit(1) ** -1 / case.settings["weight_bits"]
    return only + case.in_unit(4 * (case.parameter_count - count))


@rule
def weights_and_biases(case: Case) -> float:
    """Weights and biases of convolutions and linear layers, at the bits of the weights."""
    return _at_weight_bits(case, case.cost.count("weights") + case.cost.count("biases"))


@rule
def membranes(case: Case) -> float:
    """Membranes after convolutions (Eq. 17); a ternary one takes 1.5 bits."""
    return _membranes(case, case.behind_convolutions())


@rule
def membranes_of_two_bits(case: Case) -> float:
    """Membranes after convolutions (Eq. 17); a ternary one takes 2 bits."""
    return _membranes(case, case.behind_convolutions(), _IMSNN_EVENTS)


@rule
def membranes_behind_the_first(case: Case) -> float:
    """Membranes after all convolutions but the first; a ternary one takes 1.5 bits."""
    return _membranes(case, case.behind_convolutions()[1:])


@rule
def membranes_but_the_last(case: Case) -> float:
    """Membranes after all convolutions but the last."""
    return _membranes(case, case.behind_convolutions()[:-1])


@rule
def weights_and_two_membranes(case: Case) -> float:
    """Weights and twice the membranes, each cut to hundredths."""
    return _weights_and_membranes(case, times=2)


@rule
def weights_and_five_membranes(case: Case) -> float:
    """Weights and five times the membranes, each cut to hundredths."""
    return _weights_and_membranes(case, times=5)


@rule
def weights_membranes_and_products(case: Case) -> float:
    """Weights, membranes, and outputs of a weight's times a membrane's bits, cut to hundredths."""
    return _weights_and_membranes(case, times=1 + case.settings["weight_bits"])


@rule
def weights_membranes_and_bytes(case: Case) -> float:
    """Weights, membranes, and one byte for each membrane's input, each cut to hundredths."""
    inputs = case.in_unit(sum(n.count for n in case.behind_convolutions()))
    return _weights_and_membranes(case, times=1) + _cut(inputs)


@rule
def memory_ratio(case: Case) -> float:
    """The baseline's total memory over this row's, both computed."""
    return _baseline(case).other("total_memory") / case.other("total_memory")


@rule
def parameters_and_largest_membranes(case: Case) -> float:
    """Hidden weights at the row's bits, the ends' at 8, all else at 32, and the largest membranes.

    Those are the layer's that has most neurons, for every sample of the batch.
    """
    samples, convention = case.settings["batch"], memory_convention("qsnn")
    if not samples:
        samples, convention = 1, replace(convention, membranes="none")
    return case.in_unit(case.cost.memory(convention, samples).total)


@rule
def memory_saved(case: Case) -> float:
    """Share of the baseline's memory that is saved, both computed and rounded to hundredths."""
    column = case.column.removesuffix("_reduction")
    ours, base = case.other(column), _baseline(case).other(column)
    return 100 * (1 - round(ours, 2) / round(base, 2))


@rule
def weights_and_normalization_in_mebibytes(case: Case) -> float:
    """All weights at the row's bits and normalization in 32, in MiB of 2^20 bytes."""
    return case.cost.memory("sigmoid_quantizer").total / _MEBI


@rule
def size_ratio(case: Case) -> float:
    """Size of the 32-bit network over this row's, both computed."""
    return _baseline(case).other("model_size") / case.other("model_size")


@rule
def parameters(case: Case) -> float:
    """Parameters of all kinds."""
    return case.in_unit(case.parameter_count)


@rule
def parameters_of_sixteen_bits(case: Case) -> float:
    """Parameters of all kinds in units of 16 bits: their number times W / 16."""
    return parameters(case) * case.settings["weight_bits"] / _BFLOAT_BITS


@rule
def bit_budget(case: Case) -> float:
    """T · W · S (Eq. 4), float weights being 16 bits."""
    bits = (case.settings[name] for name in ("time_steps", "weight_bits", "spike_bits"))
    return operations.bit_budget(*bits)


@rule
def synaptic_operations(case: Case) -> float:
    """MACs of convolutions and linear layers, times T · S."""
    return _synaptic_operations(case)


@rule
def effort(case: Case) -> float:
    """MACs of convolutions and linear layers, times T · W · S (Eq. 8)."""
    return _effort(case)


@rule
def effort_without_shortcuts(case: Case) -> float:
    """MACs of linear layers and of convolutions but shortcuts, times T · W · S (Eq. 8)."""
    return _effort(case, without=_SHORTCUTS)


@rule
def synaptic_operations_without_attention(case: Case) -> float:
    """MACs of convolutions and linear layers but those of attention, times T · S."""
    return _synaptic_operations(case, without=_ATTENTION)


@rule
def effort_without_attention(case: Case) -> float:
    """MACs of convolutions and linear layers but those of attention, times T · W · S (Eq. 8)."""
    return _effort(case, without=_ATTENTION)


@rule
def membrane_operations(case: Case) -> float:
    """Two operations for every membrane after a convolution in each of ten steps."""
    return case.in_unit(2 * 10 * sum(neuron.count for neuron in case.behind_convolutions()))


@rule
def unpruned_operations(case: Case) -> float:
    """Operations over those that are left (Eq. 30); 1 where nothing is pruned."""
    return 1 / operations.remaining_operations(1)


def _at_weight_bits(case: Case, count: int) -> float:
    return case.in_unit(count * case.settings.get("weight_bits", 32) / 8)


def _membranes(
    case: Case, neurons: Iterable[NeuronCost], convention: MemoryConvention = _IMSNN_IMAGES
) -> float:
    return case.in_unit(sum(neuron.counted_bits(convention) for neuron in neurons) / 8)


def _weights_and_membranes(case: Case, times: int) -> float:
    return _cut(case.other("weight_memory")) + times * _cut(case.other("membrane_memory"))


def _baseline(case: Case) -> Case:
    if case.baseline is None:
        raise NotComputedError("a baseline: the paper does not say against what")
    return case.baseline


def _cut(value: float) -> float:
    return math.floor(100 * value + 1e-9) / 100


def _macs(case: Case, without: tuple[str, ...]) -> float:
    return sum(
        synapse.macs
        for synapse in case.cost.synapses
        if synapse.kind != "product" and not set(without) & set(synapse.name.split("."))
    )


def _synaptic_operations(case: Case, without: tuple[str, ...] = ()) -> float:
    steps = case.settings["time_steps"] * case.settings["spike_bits"]
    return case.in_unit(_macs(case, without) * steps)


def _effort(case: Case, without: tuple[str, ...] = ()) -> float:
    return case.in_unit(operations.arithmetic_effort(_macs(case, without), bit_budget(case)))
