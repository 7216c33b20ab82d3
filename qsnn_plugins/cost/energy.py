"""Energy of one operation, as tables with a source."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from types import MappingProxyType

from qsnn_plugins.errors import ArgumentError

__all__ = ["ENERGY_TABLES", "EnergyTable", "OperationEnergy", "energy_table"]

INTEGER_BITS = 8  # the widest operands of `EnergyTable.int8`


@dataclass(frozen=True)
class OperationEnergy:
    """Energy of one addition and of one multiplication, in pJ.

    Raises:
        ArgumentError: If one is not a finite number from 0.

    Example:
        >>> OperationEnergy(add=0.007, multiply=0.07).multiply
        0.07
    """

    add: float
    multiply: float

    def __post_init__(self) -> None:
        for name in ("add", "multiply"):
            value = getattr(self, name)
            is_number = isinstance(value, Real) and not isinstance(value, bool)
            if not is_number or not 0 <= value < math.inf:
                raise ArgumentError(name, value, "an energy in pJ, from 0")


@dataclass(frozen=True)
class EnergyTable:
    """Energy of operations of each precision in one technology.

    Operands of up to 8 bits are counted as "int8", the narrowest type in the sources.

    Args:
        source: Where the values are published.
        int8: Operations of integers of up to 8 bits.
        float32: Operations of 32-bit floats.

    Example:
        >>> own = EnergyTable("measured on my board", OperationEnergy(1, 4), OperationEnergy(5, 20))
        >>> own.int8.add
        1
    """

    source: str
    int8: OperationEnergy
    float32: OperationEnergy


ENERGY_TABLES: Mapping[str, EnergyTable] = MappingProxyType(
    {
        "bitnet_7nm": EnergyTable(
            "BitNet (Wang et al., 2023), Table 2, 7 nm, which SpQuant-SNN Eq. 31 cites",
            int8=OperationEnergy(add=0.007, multiply=0.07),
            float32=OperationEnergy(add=0.38, multiply=1.31),
        ),
        "bitnet_45nm": EnergyTable(
            "BitNet (Wang et al., 2023), Table 2, 45 nm, after Horowitz (ISSCC 2014)",
            int8=OperationEnergy(add=0.03, multiply=0.2),
            float32=OperationEnergy(add=0.9, multiply=3.7),
        ),
    }
)


def energy_table(table: str | EnergyTable) -> EnergyTable:
    """Look up a table of energies.

    Args:
        table: A key of `ENERGY_TABLES`; a table is returned as it is.

    Raises:
        ArgumentError: If there is no such table.

    Example:
        >>> energy_table("bitnet_7nm").float32
        OperationEnergy(add=0.38, multiply=1.31)
    """
    if isinstance(table, EnergyTable):
        return table
    if table not in ENERGY_TABLES:
        raise ArgumentError("energy", table, f"one of {', '.join(ENERGY_TABLES)}")
    return ENERGY_TABLES[table]
