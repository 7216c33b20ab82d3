"""The account as plain values for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from qsnn_plugins.cost.energy import EnergyTable, energy_table
from qsnn_plugins.cost.network import NetworkCost
from qsnn_plugins.cost.ways import memory_way

__all__ = ["plain_values"]

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
_NETWORK_VALUES = ("macs", "product_macs", "sops", *_SYNAPSE_VALUES[2:])


def plain_values(
    cost: NetworkCost, way: str = "chip", energy: str | EnergyTable = "bitnet_7nm"
) -> dict[str, Any]:
    """Return an account as nested dictionaries and lists of plain values, bytes as integers.

    Args:
        cost: The account.
        way: How memory is counted, a key of `MEMORY_WAYS`.
        energy: What an operation costs, or the name of one of `ENERGY_TABLES`.

    Raises:
        ArgumentError: If there is no such way or table.

    Example:
        >>> from qsnn_plugins.cost import NeuronCost
        >>> cost = NetworkCost((), (NeuronCost("lif1", "LIFNode", 100, 32),), (), time_steps=4)
        >>> plain_values(cost)["memory"]["membranes"]
        400
    """
    counted, table = memory_way(way), energy_table(energy) if isinstance(energy, str) else energy
    memory = cost.memory(counted)
    return {
        "time_steps": cost.time_steps,
        "activity": cost.activity,
        "synapses": [
            asdict(s) | {name: getattr(s, name) for name in _SYNAPSE_VALUES} for s in cost.synapses
        ],
        "neurons": [
            asdict(n) | {"membrane_bytes": n.membrane_bytes, "spike_bytes": n.spike_bytes}
            for n in cost.neurons
        ],
        "parameters": [asdict(p) | {"bytes": p.bytes} for p in cost.parameters],
        "memory": {"way": way, "source": counted.source}
        | asdict(memory)
        | {"total": memory.total, "unit": "bytes, of one sample"},
        "operations": {name: getattr(cost, name) for name in _NETWORK_VALUES},
        "energy": {
            "picojoules": cost.energy(table),
            "source": table.source,
            "int8": asdict(table.int8),
            "float32": asdict(table.float32),
        },
    }
