"""What a network costs."""

from qsnn_plugins.cost.memory import LayerMemory, membrane_memory, weight_memory

__all__ = ["LayerMemory", "membrane_memory", "weight_memory"]
