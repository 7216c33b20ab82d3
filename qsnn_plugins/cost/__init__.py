"""What a network costs: memory, operations and energy, as papers and chips count them."""

from qsnn_plugins.cost.account import report
from qsnn_plugins.cost.activity import Activity, ActivityRecorder, measure_activity
from qsnn_plugins.cost.conventions import (
    MEMORY_CONVENTIONS,
    MemoryConvention,
    memory_convention,
)
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
from qsnn_plugins.cost.table import cost_table

__all__ = [
    "ENERGY_TABLES",
    "MEMORY_CONVENTIONS",
    "Activity",
    "ActivityRecorder",
    "EnergyTable",
    "Memory",
    "MemoryConvention",
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
    "memory_convention",
    "pack_membrane",
    "pack_weights",
    "report",
]
