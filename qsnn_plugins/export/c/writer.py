"""What layers in C share: constants, and how values are read and written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from qsnn_plugins.export.account import integer_bytes
from qsnn_plugins.export.c.plan import Plan, width
from qsnn_plugins.export.nodes import Input, Node

__all__ = ["Table", "Writer"]


@dataclass(frozen=True)
class Table:
    """A constant.

    Args:
        name: Its name.
        c_type: Type of an element.
        values: The elements, flat.
        counted: Whether the account counts it.
    """

    name: str
    c_type: str
    values: Tensor
    counted: bool = True

    @property
    def size(self) -> int:
        """Bytes."""
        return width(self.c_type) * self.values.numel()


@dataclass
class Writer:
    """The C of a network while it is collected.

    Args:
        nodes: The network's.
        plan: Its ranges and places in memory.
        tables: Constants that the layers read.
        functions: Loops and decisions, in the order in which they call each other.
        steps: Functions of one step, in their order.
    """

    nodes: Sequence[Node]
    plan: Plan
    tables: dict[str, Table] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)

    def table(self, name: str, values: Tensor, c_type: str = "", counted: bool = True) -> str:
        """Add a constant; return the type of its elements, the narrowest where none is given."""
        flat = values.flatten().long()
        # C has no empty arrays
        flat = flat if flat.numel() else flat.new_zeros(1)
        kind = c_type or f"int{8 * integer_bytes(flat) // flat.numel()}_t"
        self.tables[name] = Table(name, kind, flat, counted)
        return kind

    def values(self, place: int) -> str:
        """Name where the values of a node lie."""
        if isinstance(self.nodes[place], Input):
            return "frame"
        return f"memory.values_{self.plan.slot_of[place]}.of{place}"

    def read(self, place: int, at: str) -> str:
        """Return the value of a node at a place, an int32_t."""
        values = self.values(place)
        if values != "frame" and self.plan.c_type(place) == "bits":
            return f"(int32_t)bit_at({values}, {at})"
        return f"(int32_t){values}[{at}]"

    def write(self, place: int, at: str, value: str) -> str:
        """Return what stores a value of a node at a place."""
        c_type = self.plan.c_type(place)
        if c_type == "bits":
            return f"put_bit({self.values(place)}, {at}, (uint32_t)({value}));"
        return f"{self.values(place)}[{at}] = ({c_type})({value});"
