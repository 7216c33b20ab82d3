"""Costs of a network: memory, operations and energy, counted as in papers or on chips.

Names are imported when they are asked for: a convention's name is checked without torch.
"""

# ruff: noqa: F401
from typing import TYPE_CHECKING

from qsnn_plugins.lazy import lazy_names

if TYPE_CHECKING:
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

# the file of each name, for the interpreter; what stands above is for type checkers
_HOMES = {
    "ENERGY_TABLES": "energy",
    "MEMORY_CONVENTIONS": "conventions",
    "Activity": "activity",
    "ActivityRecorder": "activity",
    "EnergyTable": "energy",
    "Memory": "network",
    "MemoryConvention": "conventions",
    "NetworkCost": "network",
    "NeuronCost": "layers",
    "OperationEnergy": "energy",
    "PackedMembrane": "packing",
    "PackedWeight": "packing",
    "ParameterCost": "layers",
    "SynapseCost": "layers",
    "cost_table": "table",
    "energy_table": "energy",
    "measure_activity": "activity",
    "memory_convention": "conventions",
    "pack_membrane": "packing",
    "pack_weights": "packing",
    "report": "account",
}

__all__ = [*_HOMES]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
