"""What a network costs: memory, operations and energy, in the ways that papers and chips count."""

from qsnn_plugins.cost.account import report
from qsnn_plugins.cost.activity import Activity
from qsnn_plugins.cost.energy import (
    ENERGY_TABLES,
    EnergyTable,
    OperationEnergy,
    energy_table,
)
from qsnn_plugins.cost.layers import NeuronCost, ParameterCost, SynapseCost
from qsnn_plugins.cost.network import Memory, NetworkCost
from qsnn_plugins.cost.packing import (
    PackedMembrane,
    PackedWeight,
    pack_membrane,
    pack_weights,
)
from qsnn_plugins.cost.plain import plain_values
from qsnn_plugins.cost.recorder import ActivityRecorder, measure_activity
from qsnn_plugins.cost.table import cost_table
from qsnn_plugins.cost.ways import MEMORY_WAYS, MemoryWay, memory_way

__all__ = [
    "ENERGY_TABLES",
    "MEMORY_WAYS",
    "Activity",
    "ActivityRecorder",
    "EnergyTable",
    "Memory",
    "MemoryWay",
    "NetworkCost",
    "NeuronCost",
    "OperationEnergy",
    "PackedMembrane",
    "PackedWeight",
    "ParameterCost",
    "SynapseCost",
    "cost_table",
    "energy_table",
    "measure_activity",
    "memory_way",
    "pack_membrane",
    "pack_weights",
    "plain_values",
    "report",
]
