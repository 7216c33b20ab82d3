"""Rules for parameters and operations."""

from __future__ import annotations

from qsnn_plugins.cost import SynapseCost
from qsnn_plugins.functional.operations import arithmetic_effort, bit_budget as budget_of
from qsnn_plugins.functional.operations import remaining_operations
from qsnn_plugins.reproduce.case import Case, NotComputed, rule

_SHORTCUTS = ("shortcut", "downsample")
_BFLOAT_BITS = 16


@rule("parameters of all kinds")
def parameters(case: Case) -> float:
    roles = ("weights", "biases", "normalization")
    return case.in_unit(sum(case.cost.count(role) for role in roles))


@rule("parameters of all kinds in units of 16 bits: their number times W / 16")
def parameters_of_sixteen_bits(case: Case) -> float:
    return parameters(case) * case.settings["weight_bits"] / _BFLOAT_BITS


@rule("T · W · S (Eq. 4), float weights being 16 bits")
def bit_budget(case: Case) -> float:
    return _budget(case)


@rule("MACs of convolutions and linear layers, times T · S")
def synaptic_operations(case: Case) -> float:
    return case.in_unit(_macs(case) * _steps(case))


@rule("MACs of convolutions and linear layers, times T · W · S (Eq. 8)")
def effort(case: Case) -> float:
    return case.in_unit(arithmetic_effort(_macs(case), _budget(case)))


@rule("the same without the shortcuts")
def effort_without_shortcuts(case: Case) -> float:
    macs = _macs(case, leave_out=_SHORTCUTS)
    return case.in_unit(arithmetic_effort(macs, _budget(case)))


@rule("MACs of convolutions and linear layers but those of attention, times T · S")
def synaptic_operations_without_attention(case: Case) -> float:
    return case.in_unit(_macs(case, leave_out=("attn",)) * _steps(case))


@rule("MACs of convolutions and linear layers but those of attention, times T · W · S (Eq. 8)")
def effort_without_attention(case: Case) -> float:
    return case.in_unit(arithmetic_effort(_macs(case, leave_out=("attn",)), _budget(case)))


@rule("two operations for every membrane behind a convolution in each of ten steps")
def membrane_operations(case: Case) -> float:
    if case.settings.get("masked"):
        raise NotComputed("a measurement: the share of membranes that are negative")
    return case.in_unit(2 * 10 * sum(neuron.count for neuron in case.behind_convolutions()))


@rule("operations over those that are left (Eq. 30) at the 80 % sparsity that section 1 states")
def operations_saved(case: Case) -> float:
    return 1 / remaining_operations(1, spatial=float(case.settings["sparsity"]))


def _macs(case: Case, leave_out: tuple[str, ...] = ()) -> float:
    def counts(synapse: SynapseCost) -> bool:
        parts = synapse.name.split(".")
        return synapse.kind != "product" and not any(part in leave_out for part in parts)

    return sum(synapse.macs for synapse in case.cost.synapses if counts(synapse))


def _steps(case: Case) -> int:
    return case.settings["time_steps"] * case.settings["spike_bits"]


def _budget(case: Case) -> float:
    settings = case.settings
    return budget_of(settings["time_steps"], settings["weight_bits"], settings["spike_bits"])
