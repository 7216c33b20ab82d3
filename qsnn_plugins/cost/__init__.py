"""What a network costs: memory, operations and energy, in the ways that papers and chips count."""

from qsnn_plugins.cost.energy import (
    ENERGY_TABLES,
    EnergyTable,
    OperationEnergy,
    energy_table,
)
from qsnn_plugins.cost.layers import NeuronCost, ParameterCost, SynapseCost
from qsnn_plugins.cost.network import Memory, NetworkCost
from qsnn_plugins.cost.ways import MEMORY_WAYS, MemoryWay, memory_way

__all__ = [
    "ENERGY_TABLES",
    "MEMORY_WAYS",
    "EnergyTable",
    "Memory",
    "MemoryWay",
    "NetworkCost",
    "NeuronCost",
    "OperationEnergy",
    "ParameterCost",
    "SynapseCost",
    "energy_table",
    "memory_way",
]
