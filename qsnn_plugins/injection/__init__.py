"""Quantizing a network in place, layer by layer, and undoing it.

`inject` and `eject` find the host of each module automatically. The folder of a host has a
`HostAdapter`, which says which modules are neurons and what replaces them. Everything else is here
and is independent of the host.
"""

from qsnn_plugins.injection.hosts import (
    Conversion,
    HostAdapter,
    LeftAlone,
    surrogate_note,
    why_other_class,
)
from qsnn_plugins.injection.limits import limit_attentions
from qsnn_plugins.injection.network import FilterFn, SpecLike, eject, inject, inject_hosts
from qsnn_plugins.injection.overrides import LayerSpecs
from qsnn_plugins.injection.report import (
    FloatParameter,
    GatedLayer,
    InjectionReport,
    LeftNeuron,
    LimitedSum,
    QuantizedWeight,
    ReplacedNeuron,
)

__all__ = [
    "Conversion",
    "FilterFn",
    "FloatParameter",
    "GatedLayer",
    "HostAdapter",
    "InjectionReport",
    "LayerSpecs",
    "LeftAlone",
    "LeftNeuron",
    "LimitedSum",
    "QuantizedWeight",
    "ReplacedNeuron",
    "SpecLike",
    "eject",
    "inject",
    "inject_hosts",
    "limit_attentions",
    "surrogate_note",
    "why_other_class",
]
