"""Specs of the named neurons of both hosts, such as `TernaryLIFNode`."""

from __future__ import annotations

from torch import Tensor

from qsnn_plugins.functional.membrane.stacked import MembraneGradient
from qsnn_plugins.spec.membrane import MembraneScale, MembraneSpec
from qsnn_plugins.spec.network import QuantSpec
from qsnn_plugins.spec.spike import SpikeSpec, SpikeValue
from qsnn_plugins.spec.threshold import ThresholdSpec

__all__ = ["FLOAT", "k_bit", "multi_bit", "ternary"]

FLOAT = MembraneSpec(kind="float")


def ternary(smoothness: float, threshold_spec: ThresholdSpec | None) -> QuantSpec:
    """Return the spec of a membrane that is stored as -1, 0 or +1 (IM-SNN Eq. 5 and 9).

    Example:
        >>> ternary(2.0, None) == QuantSpec()
        True
    """
    membrane = MembraneSpec(smoothness=smoothness)
    return QuantSpec(membrane, threshold=threshold_spec or ThresholdSpec())


def k_bit(
    bits: int,
    scale: MembraneScale,
    scale_value: float | None,
    gradient: MembraneGradient,
    threshold: Tensor | float,
    threshold_spec: ThresholdSpec | None,
) -> QuantSpec:
    """Return the spec of a membrane that is uniformly quantized to k bits (Q-SNN Eq. 8).

    Example:
        >>> k_bit(4, "fixed", None, "clipped_straight_through", 0.5, None).membrane.scale_value
        0.5
    """
    if scale_value is None:
        scale_value = float(threshold.mean() if isinstance(threshold, Tensor) else threshold)
    membrane = MembraneSpec(
        kind="uniform", bits=bits, scale=scale, scale_value=scale_value, gradient=gradient
    )
    return QuantSpec(membrane, threshold=threshold_spec or ThresholdSpec())


def multi_bit(
    bits: int,
    value: SpikeValue,
    membrane: MembraneSpec,
    threshold_spec: ThresholdSpec | None,
) -> QuantSpec:
    """Return the spec of spikes that count the threshold in the membrane (bit budget Eq. 6-7).

    Example:
        >>> multi_bit(2, "count", FLOAT, None).spike.greatest
        3
    """
    spike = SpikeSpec(bits=bits, value=value)
    return QuantSpec(membrane, spike, threshold_spec or ThresholdSpec())
