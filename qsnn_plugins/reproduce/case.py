"""One cell as a rule sees it: the network, how it is quantized, and nothing that is printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from qsnn_plugins.cost import NetworkCost, NeuronCost
from qsnn_plugins.errors import QSNNError
from qsnn_plugins.reproduce.networks import count_network
from qsnn_plugins.reproduce.specs import row_spec

__all__ = ["RULES", "Case", "NotComputedError", "rule", "statement"]

UNITS = {"kB": 1e3, "MB": 1e6, "M": 1e6, "G": 1e9}


class NotComputedError(QSNNError):
    """A cell that cannot be computed; the message says what it needs."""


@dataclass(frozen=True)
class Case:
    """What decides a cell's computed value.

    A case holds settings, networks and the names of rules. Printed values never come into it.

    Args:
        paper: Key of the paper.
        column: Name of the column.
        unit: Its unit.
        settings: Those of the row, and of the column.
        networks: Key of the row's network in each column that has one.
        rules: Name of the row's rule in each column that has one.
        units: Unit of each column.
        baseline: The same column of the row that reductions refer to.

    Example:
        >>> Case("qsnn", "resnet19", "MB", {"batch": 64}, {}, {}, {}).in_unit(10_007_976)
        10.007976
    """

    paper: str
    column: str
    unit: str
    settings: Mapping[str, Any]
    networks: Mapping[str, str]
    rules: Mapping[str, str]
    units: Mapping[str, str]
    baseline: Case | None = None

    @cached_property
    def cost(self) -> NetworkCost:
        """The row's network as its settings quantize it."""
        if self.column not in self.networks:
            raise NotComputedError("a network: that of the cited work is not in the package")
        return count_network(self.networks[self.column], row_spec(self.paper, self.settings))

    def behind_convolutions(self) -> list[NeuronCost]:
        """Neurons that a convolution charges, in the order in which they run."""
        fed = {name for s in self.cost.synapses if s.kind == "conv" for name in s.feeds}
        return [neuron for neuron in self.cost.neurons if neuron.name in fed]

    @property
    def parameter_count(self) -> int:
        """Weights, biases and normalization."""
        cost = self.cost
        return cost.count("weights") + cost.count("biases") + cost.count("normalization")

    def in_unit(self, value: float) -> float:
        """Give bytes, operations or parameters in the column's unit."""
        return value / UNITS.get(self.unit, 1)

    def compute(self) -> float:
        """Apply the column's rule.

        Raises:
            NotComputedError: If there is no rule, or it lacks something.
        """
        if self.column not in self.rules:
            raise NotComputedError("a rule: how it was counted is not known")
        return RULES[self.rules[self.column]](self)

    def other(self, column: str) -> float:
        """Compute another column of the same row."""
        base = self.baseline and replace(self.baseline, column=column, unit=self.units[column])
        return replace(self, column=column, unit=self.units[column], baseline=base).compute()


RULES: dict[str, Callable[[Case], float]] = {}


def rule(compute: Callable[[Case], float]) -> Callable[[Case], float]:
    """Add a function to `RULES` under its name; its docstring is what `statement` returns."""
    RULES[compute.__name__] = compute
    return compute


def statement(name: str) -> str:
    """Return what a rule counts, in one sentence.

    Example:
        >>> statement("bit_budget")
        'T · W · S (Eq. 4), float weights being 16 bits'
    """
    return " ".join(str(RULES[name].__doc__).split()).removesuffix(".")
