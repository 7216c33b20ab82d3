"""Quantizing a network in place, layer by layer, and undoing it.

`inject` and `eject` find each module's host by themselves. A host's folder says in a `HostAdapter`
which modules are neurons and what replaces them; everything else is here and knows no host.
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
