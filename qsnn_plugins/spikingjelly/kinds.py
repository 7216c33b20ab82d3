"""The common ways to quantize a neuron, each with a name, for LIF and for IF.

They take the arguments of the host's neuron, and what their kind has to choose.
"""

from __future__ import annotations

from typing import Any

from qsnn_plugins.functional.membrane.stacked import MembraneGradient
from qsnn_plugins.spec import MembraneSpec, QuantSpec, SpikeSpec, ThresholdSpec
from qsnn_plugins.spec.membrane import MembraneScale
from qsnn_plugins.spec.spike import SpikeValue
from qsnn_plugins.spikingjelly.neuron import QuantIFNode, QuantLIFNode

__all__ = [
    "KBitIFNode",
    "KBitLIFNode",
    "MultiBitIFNode",
    "MultiBitLIFNode",
    "TernaryIFNode",
    "TernaryLIFNode",
]


def _ternary(smoothness: float, threshold: ThresholdSpec | None) -> QuantSpec:
    return QuantSpec(MembraneSpec(smoothness=smoothness), threshold=threshold or ThresholdSpec())


def _k_bit(
    bits: int, scale: MembraneScale, gradient: MembraneGradient, threshold: ThresholdSpec | None
) -> QuantSpec:
    membrane = MembraneSpec(kind="uniform", bits=bits, scale=scale, gradient=gradient)
    return QuantSpec(membrane, threshold=threshold or ThresholdSpec())


def _multi_bit(
    bits: int, value: SpikeValue, membrane: MembraneSpec | None, threshold: ThresholdSpec | None
) -> QuantSpec:
    membrane = membrane or MembraneSpec(kind="float")
    spike = SpikeSpec(bits=bits, value=value)
    return QuantSpec(membrane, spike, threshold or ThresholdSpec())


class TernaryLIFNode(QuantLIFNode):
    """LIF neuron whose membrane is stored as -1, 0 or +1 after each step.

    The neuron of IM-SNN and SpQuant-SNN, as a drop-in for `LIFNode`: hard reset, triangle
    surrogate, and the stacked surrogate gradient through the stored membrane (IM-SNN Eq. 9).
    SpikingJelly has a `TernaryLIFNode` of its own that is something else: it emits ternary spikes.

    Args:
        *host: Arguments of `QuantLIFNode` up to `store_v_seq`, by place.
        smoothness: T of the stacked surrogate gradient, above 0.
        threshold: Whether the layer's threshold learns. `ThresholdSpec(gradient="separate")` is
            SpQuant-SNN's separate gradient path (Eq. 25-27).
        **named: Arguments of `QuantLIFNode` up to `store_v_seq`, by name, and `channels`.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> import torch
        >>> node = TernaryLIFNode(step_mode="m", store_v_seq=True)
        >>> node(torch.tensor([[0.75, -2.0], [0.25, 0.5], [0.75, 0.5]]))
        tensor([[0., 0.],
                [0., 0.],
                [1., 0.]])
        >>> node.v_seq
        tensor([[ 1., -1.],
                [ 1.,  0.],
                [ 0.,  0.]])
    """

    def __init__(
        self,
        *host: Any,
        smoothness: float = 2.0,
        threshold: ThresholdSpec | None = None,
        **named: Any,
    ) -> None:
        super().__init__(*host, spec=_ternary(smoothness, threshold), **named)


class TernaryIFNode(QuantIFNode):
    """IF neuron whose membrane is stored as -1, 0 or +1 after each step.

    Args:
        *host: Arguments of `QuantIFNode` up to `store_v_seq`, by place.
        smoothness: See `TernaryLIFNode`.
        threshold: See `TernaryLIFNode`.
        **named: Arguments of `QuantIFNode` up to `store_v_seq`, by name, and `channels`.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> import torch
        >>> node = TernaryIFNode(step_mode="m", store_v_seq=True)
        >>> node(torch.tensor([[-2.0], [1.0], [0.75]])).flatten(), node.v_seq.flatten()
        (tensor([0., 0., 0.]), tensor([-1.,  0.,  1.]))
    """

    def __init__(
        self,
        *host: Any,
        smoothness: float = 2.0,
        threshold: ThresholdSpec | None = None,
        **named: Any,
    ) -> None:
        super().__init__(*host, spec=_ternary(smoothness, threshold), **named)


class KBitLIFNode(QuantLIFNode):
    """LIF neuron whose membrane is stored in k bits, in equal steps (Q-SNN Eq. 8).

    Args:
        *host: Arguments of `QuantLIFNode` up to `store_v_seq`, by place.
        bits: k, from 1 to 8.
        scale: Where the scale comes from, see `MembraneSpec`.
        gradient: Gradient through the stored membrane, see `MembraneSpec`.
        threshold: Whether the threshold learns.
        **named: Arguments of `QuantLIFNode` up to `store_v_seq`, by name, and `channels`.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> import torch
        >>> node = KBitLIFNode(bits=3, scale="fixed", step_mode="m")
        >>> node(torch.tensor([[0.5, -0.9]])), node.v
        (tensor([[0., 0.]]), tensor([ 0.6667, -1.0000]))
    """

    def __init__(
        self,
        *host: Any,
        bits: int = 2,
        scale: MembraneScale = "running",
        gradient: MembraneGradient = "clipped_straight_through",
        threshold: ThresholdSpec | None = None,
        **named: Any,
    ) -> None:
        super().__init__(*host, spec=_k_bit(bits, scale, gradient, threshold), **named)


class KBitIFNode(QuantIFNode):
    """IF neuron whose membrane is stored in k bits, in equal steps (Q-SNN Eq. 8).

    Args:
        *host: Arguments of `QuantIFNode` up to `store_v_seq`, by place.
        bits: See `KBitLIFNode`.
        scale: See `KBitLIFNode`.
        gradient: See `KBitLIFNode`.
        threshold: See `KBitLIFNode`.
        **named: Arguments of `QuantIFNode` up to `store_v_seq`, by name, and `channels`.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> KBitIFNode(bits=4).quant_spec.membrane.storage_bits
        4
    """

    def __init__(
        self,
        *host: Any,
        bits: int = 2,
        scale: MembraneScale = "running",
        gradient: MembraneGradient = "clipped_straight_through",
        threshold: ThresholdSpec | None = None,
        **named: Any,
    ) -> None:
        super().__init__(*host, spec=_k_bit(bits, scale, gradient, threshold), **named)


class MultiBitLIFNode(QuantLIFNode):
    """LIF neuron whose spikes have S bits: how often the threshold fits (bit budget Eq. 6-7).

    Args:
        *host: Arguments of `QuantLIFNode` up to `store_v_seq`, by place.
        bits: S, from 1 to 8.
        value: What is sent on, the "count" or the count times the "threshold".
        membrane: What is stored of the membrane; None for 32 bits.
        threshold: Whether the threshold learns.
        **named: Arguments of `QuantLIFNode` up to `store_v_seq`, by name, and `channels`.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> import torch
        >>> MultiBitLIFNode(bits=2)(torch.tensor([0.5, 1.5, 2.5, 9.0]))
        tensor([0., 1., 2., 3.])
    """

    def __init__(
        self,
        *host: Any,
        bits: int = 2,
        value: SpikeValue = "count",
        membrane: MembraneSpec | None = None,
        threshold: ThresholdSpec | None = None,
        **named: Any,
    ) -> None:
        super().__init__(*host, spec=_multi_bit(bits, value, membrane, threshold), **named)


class MultiBitIFNode(QuantIFNode):
    """IF neuron whose spikes have S bits: how often the threshold fits (bit budget Eq. 6-7).

    Args:
        *host: Arguments of `QuantIFNode` up to `store_v_seq`, by place.
        bits: See `MultiBitLIFNode`.
        value: See `MultiBitLIFNode`.
        membrane: See `MultiBitLIFNode`.
        threshold: See `MultiBitLIFNode`.
        **named: Arguments of `QuantIFNode` up to `store_v_seq`, by name, and `channels`.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> import torch
        >>> MultiBitIFNode(bits=1)(torch.tensor([0.5, 1.5, 2.5]))
        tensor([0., 1., 1.])
    """

    def __init__(
        self,
        *host: Any,
        bits: int = 2,
        value: SpikeValue = "count",
        membrane: MembraneSpec | None = None,
        threshold: ThresholdSpec | None = None,
        **named: Any,
    ) -> None:
        super().__init__(*host, spec=_multi_bit(bits, value, membrane, threshold), **named)
