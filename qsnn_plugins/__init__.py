"""Low-bit spiking networks as plugins for SpikingJelly and snnTorch.

    from qsnn_plugins import inject, presets

    report = inject(network, presets.imsnn(weight_bits=4))

Importing this package is fast: the modules behind the names below are imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from qsnn_plugins.torchvision_ops import watch_for_torchvision

if TYPE_CHECKING:
    from qsnn_plugins import presets
    from qsnn_plugins.errors import ArgumentError, QSNNError
    from qsnn_plugins.injection import InjectionReport, eject, inject
    from qsnn_plugins.nn import allow_spec_changes
    from qsnn_plugins.saving import load, save
    from qsnn_plugins.spec import (
        MembraneSpec,
        PruningSpec,
        QuantSpec,
        SpikeSpec,
        ThresholdSpec,
        WeightSpec,
    )

__all__ = [
    "ArgumentError",
    "InjectionReport",
    "MembraneSpec",
    "PruningSpec",
    "QSNNError",
    "QuantSpec",
    "SpikeSpec",
    "ThresholdSpec",
    "WeightSpec",
    "allow_spec_changes",
    "eject",
    "inject",
    "load",
    "presets",
    "save",
]
__version__ = "0.2.0"

_MODULES = {
    "ArgumentError": "errors",
    "QSNNError": "errors",
    "allow_spec_changes": "nn",
    "InjectionReport": "injection",
    "eject": "injection",
    "inject": "injection",
    "load": "saving",
    "save": "saving",
} | dict.fromkeys(
    ["MembraneSpec", "PruningSpec", "QuantSpec", "SpikeSpec", "ThresholdSpec", "WeightSpec"],
    "spec",
)

watch_for_torchvision()  # so that a host's import of it works beside any torch


def __getattr__(name: str) -> Any:
    if name == "presets":
        return import_module("qsnn_plugins.presets")
    if name in _MODULES:
        return getattr(import_module(f"qsnn_plugins.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
