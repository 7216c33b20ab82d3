"""Costs of a whole network, summed over its layers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from qsnn_plugins.cost.conventions import ROLES, MemoryConvention, Role, memory_convention
from qsnn_plugins.cost.energy import INTEGER_BITS, EnergyTable, energy_table
from qsnn_plugins.cost.layers import NeuronCost, ParameterCost, SynapseCost
from qsnn_plugins.cost.table import cost_table, table_text
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.functional.operations import operation_energy
from qsnn_plugins.functional.packing.bits import packed_bytes

__all__ = ["Memory", "NetworkCost"]

_SYNAPSE_VALUES = (
    "macs",
    "bit_budget",
    "s_ace",
    "ns_ace",
    "synaptic_operations",
    "remaining_macs",
    "accumulations",
    "multiplications",
)
_NETWORK_VALUES = (
    *("macs", "product_macs", "product_s_ace", "sops"),
    *(*_SYNAPSE_VALUES[2:], "share_left"),
)


@dataclass(frozen=True)
class Memory:
    """Bytes of a network, counted with one convention.

    Example:
        >>> Memory(parameters={"weights": 500, "biases": 40}, membranes=64, spikes=32).total
        636
    """

    parameters: dict[Role, int]
    membranes: int = 0
    spikes: int = 0
    outputs: int = 0

    @property
    def total(self) -> int:
        """The sum."""
        return sum(self.parameters.values()) + self.membranes + self.spikes + self.outputs


@dataclass(frozen=True)
class NetworkCost:
    """Costs of a network for one sample.

    Values that depend on activity are None if the activity is not known.

    Args:
        synapses: Layers with multiplications or accumulations, in the order in which they run.
        neurons: Layers of neurons, in the order in which they run.
        parameters: Permanently stored parameters, in the order of definition.
        time_steps: T.
        activity: Source of the firing rates, in words; None if they are not known.
        uncounted: Class of each module whose states and spikes are not counted, by its name.

    Example:
        >>> lif = NeuronCost("lif1", "LIFNode", count=100, membrane_bits=2, levels=3)
        >>> weights = ParameterCost("fc1", "weights", 1000, 4, "linear")
        >>> cost = NetworkCost((), (lif,), (weights,), time_steps=4)
        >>> cost.memory("chip").total, cost.memory("imsnn").membranes
        (538, 19)
        >>> cost.to_dict()["memory"]["membranes"]
        25
    """

    synapses: tuple[SynapseCost, ...]
    neurons: tuple[NeuronCost, ...]
    parameters: tuple[ParameterCost, ...]
    time_steps: int
    activity: str | None = None
    uncounted: Mapping[str, str] = field(default_factory=dict)

    def count(self, role: Role | None = None) -> int:
        """Number of stored parameters of one role, or of all roles."""
        return sum(p.count for p in self.parameters if role in (p.role, None))

    @property
    def neuron_count(self) -> int:
        """Number of neurons in all layers."""
        return sum(neuron.count for neuron in self.neurons)

    def memory(self, convention: str | MemoryConvention = "chip", samples: int = 1) -> Memory:
        """Count the bytes.

        Args:
            convention: A convention, or the name of one of `MEMORY_CONVENTIONS`.
            samples: Number of samples whose membranes, spikes and outputs are stored at the same
                time.

        Raises:
            ArgumentError: If there is no such convention, or `samples` is below 1.
        """
        convention = memory_convention(convention)
        if samples < 1:
            raise ArgumentError("samples", samples, "an integer from 1")
        parameters = {
            role: sum(p.bytes for p in self.parameters if p.role == role and _counts(p, convention))
            for role in ROLES
            if role in convention.roles
        }
        membranes = [_whole_bytes(n.counted_bits(convention)) for n in self.neurons]
        if convention.membranes == "largest":
            membranes = [max(membranes, default=0)]
        output_bits = convention.output_bits or 0
        return Memory(
            parameters,
            samples * sum(membranes) if convention.membranes != "none" else 0,
            samples * sum(n.spike_bytes for n in self.neurons) if convention.spikes else 0,
            samples * sum(_whole_bytes(n.count * output_bits) for n in self.neurons),
        )

    @property
    def macs(self) -> float:
        """MACs of one step in layers with weights, with all inputs active."""
        return sum(s.macs for s in self.synapses if s.kind != "product")

    @property
    def product_macs(self) -> float:
        """Multiply-accumulate operations of one step in products of two activations (attention)."""
        return sum(s.macs for s in self.synapses if s.kind == "product")

    @property
    def product_s_ace(self) -> float:
        """Bit operations of products of two activations: MACs · T · S · S."""
        return sum(s.s_ace for s in self.synapses if s.kind == "product")

    @property
    def sops(self) -> int:
        """MACs · T · S of layers with weights, as the bit-budget paper counts them."""
        return sum(s.sops for s in self.synapses if s.kind != "product")

    @property
    def s_ace(self) -> float:
        """S-ACE of layers with weights in bit operations (bit budget Eq. 8)."""
        return sum(s.s_ace for s in self.synapses if s.kind != "product")

    @property
    def ns_ace(self) -> float | None:
        """NS-ACE of layers with weights in bit operations (bit budget Eq. 9)."""
        return _sum(s.ns_ace for s in self.synapses if s.kind != "product")

    @property
    def synaptic_operations(self) -> float | None:
        """SynOps over all steps, products included."""
        return _sum(s.synaptic_operations for s in self.synapses)

    @property
    def remaining_macs(self) -> float | None:
        """MACs over all steps that remain with gates, including their predictors."""
        return _sum(s.remaining_macs for s in self.synapses)

    @property
    def share_left(self) -> float | None:
        """`remaining_macs`, divided by the MACs of the network without gates and predictors."""
        total = sum(s.total_macs for s in self.synapses if s.kind != "predictor")
        left = self.remaining_macs
        return None if left is None or not total else left / total

    @property
    def multiplications(self) -> float | None:
        """Multiplications over all steps, after pruning."""
        return _sum(s.multiplications for s in self.synapses)

    @property
    def accumulations(self) -> float | None:
        """Additions over all steps, after pruning: in synapses, and one per neuron and step.

        A masked neuron needs no addition in that step.
        """
        synapses = _sum(s.accumulations for s in self.synapses)
        neurons = _sum(self._updates(n) for n in self.neurons)
        return _sum((synapses, neurons))

    def energy(self, table: str | EnergyTable = "bitnet_7nm") -> float | None:
        """Energy of one sample in pJ (SpQuant-SNN Eq. 31).

        The energy of the additions and multiplications of synapses, and of one addition per neuron
        and step, each at the precision of its layer. Memory accesses are not included.

        Args:
            table: A table of energies, or the name of one of `ENERGY_TABLES`.

        Raises:
            ArgumentError: If there is no such table.
        """
        table = energy_table(table)
        synapses = _sum(
            _energy(table, s.weight_bits, s.accumulations, s.multiplications) for s in self.synapses
        )
        neurons = _sum(_energy(table, n.membrane_bits, self._updates(n), 0) for n in self.neurons)
        return _sum((synapses, neurons))

    def to_dict(
        self, convention: str = "chip", energy: str | EnergyTable = "bitnet_7nm"
    ) -> dict[str, Any]:
        """Return the costs as nested dictionaries and lists of plain values.

        Args:
            convention: Convention for counting memory, a key of `MEMORY_CONVENTIONS`.
            energy: A table of energies, or the name of one of `ENERGY_TABLES`.

        Raises:
            ArgumentError: If there is no such convention or table.
        """
        table, memory = energy_table(energy), self.memory(convention)
        return {
            "time_steps": self.time_steps,
            "activity": self.activity,
            "synapses": [
                asdict(s) | {name: getattr(s, name) for name in _SYNAPSE_VALUES}
                for s in self.synapses
            ],
            "neurons": [
                asdict(n) | {"membrane_bytes": n.membrane_bytes, "spike_bytes": n.spike_bytes}
                for n in self.neurons
            ],
            "parameters": [asdict(p) | {"bytes": p.bytes} for p in self.parameters],
            "uncounted": dict(self.uncounted),
            "memory": {"convention": convention, "source": memory_convention(convention).source}
            | asdict(memory)
            | {"total": memory.total, "unit": "bytes, of one sample"},
            "operations": {name: getattr(self, name) for name in _NETWORK_VALUES},
            "energy": {"picojoules": self.energy(table)} | asdict(table),
        }

    def __str__(self) -> str:
        """Return the table that `qsnn cost` prints, with the convention "chip"."""
        return table_text(cost_table(self))

    def _updates(self, neuron: NeuronCost) -> float | None:
        if neuron.masked is None:
            return None
        return neuron.count * self.time_steps * (1 - neuron.masked)


def _counts(parameter: ParameterCost, convention: MemoryConvention) -> bool:
    return parameter.role != "weights" or parameter.kind in (*convention.weights_of, "other")


def _whole_bytes(bits: float) -> int:
    return packed_bytes(math.ceil(bits), 1)


def _energy(
    table: EnergyTable, bits: int, additions: float | None, products: float | None
) -> float | None:
    if additions is None or products is None:
        return None
    each = table.int8 if bits <= INTEGER_BITS else table.float32
    return operation_energy(additions, products, each.add, each.multiply)


def _sum(values: Iterable[float | None]) -> float | None:
    known = []
    for value in values:
        if value is None:
            return None
        known.append(value)
    return sum(known)
