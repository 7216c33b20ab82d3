"""Rules for parameters and operations."""

from __future__ import annotations

from qsnn_plugins.cost import SynapseCost
from qsnn_plugins.functional import operations
from qsnn_plugins.reproduce.case import Case, NotComputedError, rule

_SHORTCUTS = ("shortcut", "downsample")
_BFLOAT_BITS = 16


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
    return _budget(case)


@rule
def synaptic_operations(case: Case) -> float:
    """MACs of convolutions and linear layers, times T · S."""
    return case.in_unit(_macs(case) * _steps(case))


@rule
def effort(case: Case) -> float:
    """MACs of convolutions and linear layers, times T · W · S (Eq. 8)."""
    return case.in_unit(operations.arithmetic_effort(_macs(case), _budget(case)))


@rule
def effort_without_shortcuts(case: Case) -> float:
    """MACs of linear layers and of convolutions but shortcuts, times T · W · S (Eq. 8)."""
    macs = _macs(case, leave_out=_SHORTCUTS)
    return case.in_unit(operations.arithmetic_effort(macs, _budget(case)))


@rule
def synaptic_operations_without_attention(case: Case) -> float:
    """MACs of convolutions and linear layers but those of attention, times T · S."""
    return case.in_unit(_macs(case, leave_out=("attn",)) * _steps(case))


@rule
def effort_without_attention(case: Case) -> float:
    """MACs of convolutions and linear layers but those of attention, times T · W · S (Eq. 8)."""
    return case.in_unit(
        operations.arithmetic_effort(_macs(case, leave_out=("attn",)), _budget(case))
    )


@rule
def membrane_operations(case: Case) -> float:
    """Two operations for every membrane behind a convolution in each of ten steps."""
    if case.settings.get("masked"):
        raise NotComputedError("a figure: the share of membranes that are negative")
    return case.in_unit(2 * 10 * sum(neuron.count for neuron in case.behind_convolutions()))


@rule
def operations_saved(case: Case) -> float:
    """Operations over those that are left (Eq. 30) at the 80 % sparsity that section 1 states."""
    return 1 / operations.remaining_operations(1, spatial=float(case.settings["sparsity"]))


def _macs(case: Case, leave_out: tuple[str, ...] = ()) -> float:
    def counts(synapse: SynapseCost) -> bool:
        parts = synapse.name.split(".")
        return synapse.kind != "product" and not any(part in leave_out for part in parts)

    return sum(synapse.macs for synapse in case.cost.synapses if counts(synapse))


def _steps(case: Case) -> int:
    return case.settings["time_steps"] * case.settings["spike_bits"]


def _budget(case: Case) -> float:
    settings = case.settings
    return operations.bit_budget(
        settings["time_steps"], settings["weight_bits"], settings["spike_bits"]
    )
