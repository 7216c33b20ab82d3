"""LIF and IF neurons with the common kinds of quantization.

They take the arguments of the host's neuron, and the options of their kind.
"""

from __future__ import annotations

from torch import nn

from qsnn_plugins.functional.membrane.stacked import MembraneGradient
from qsnn_plugins.spec import MembraneSpec, ThresholdSpec
from qsnn_plugins.spec.membrane import MembraneScale
from qsnn_plugins.spec.neuron_kinds import FLOAT, k_bit, multi_bit, ternary
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


class TernaryLIFNode(QuantLIFNode):
    """LIF neuron that stores -1, 0 or +1. NOTE: `decay_input` is False here, True in `LIFNode`.

    The neuron of IM-SNN and SpQuant-SNN, with the arguments of `LIFNode`: hard reset, triangle
    surrogate, and the stacked surrogate gradient through the stored membrane (IM-SNN Eq. 9).
    SpikingJelly's own `TernaryLIFNode` is a different neuron: it emits ternary spikes.

    Args:
        tau: See `QuantLIFNode`, as for all arguments that are not explained here.
        smoothness: T of the stacked surrogate gradient, above 0.
        threshold_spec: Whether the threshold learns. `ThresholdSpec(gradient="separate")` is
            SpQuant-SNN's separate gradient path (Eq. 25-27).
        channels: Channels C of the input [N, C, ...]; needed for learned thresholds per channel.

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
        tau: float = 2.0,
        decay_input: bool = False,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        surrogate_function: nn.Module | None = None,
        detach_reset: bool = False,
        step_mode: str = "s",
        store_v_seq: bool = False,
        *,
        smoothness: float = 2.0,
        threshold_spec: ThresholdSpec | None = None,
        channels: int | None = None,
    ) -> None:
        spec = ternary(smoothness, threshold_spec)
        super().__init__(
            tau, decay_input, v_threshold, v_reset, surrogate_function, detach_reset, step_mode,
            store_v_seq, spec=spec, channels=channels,
        )  # fmt: skip


class TernaryIFNode(QuantIFNode):
    """IF neuron whose membrane is stored as -1, 0 or +1 after each step.

    Args:
        v_threshold: See `QuantIFNode`, as for all arguments that are not explained here.
        smoothness: T of the stacked surrogate gradient, above 0.
        threshold_spec: Whether and how the threshold is learned.
        channels: Channels C of the input [N, C, ...]; needed for learned thresholds per channel.

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
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        surrogate_function: nn.Module | None = None,
        detach_reset: bool = False,
        step_mode: str = "s",
        store_v_seq: bool = False,
        *,
        smoothness: float = 2.0,
        threshold_spec: ThresholdSpec | None = None,
        channels: int | None = None,
    ) -> None:
        spec = ternary(smoothness, threshold_spec)
        super().__init__(
            v_threshold, v_reset, surrogate_function, detach_reset, step_mode, store_v_seq,
            spec=spec, channels=channels,
        )  # fmt: skip


class KBitLIFNode(QuantLIFNode):
    """LIF neuron that stores k bits. NOTE: `decay_input` is False here, True in `LIFNode`.

    The membrane has 2^k - 1 equidistant levels from -α to α (Q-SNN Eq. 8).

    Args:
        tau: See `QuantLIFNode`, as for all arguments that are not explained here.
        bits: k, from 1 to 8; one bit stores 0 or α.
        scale: How α is chosen, see `MembraneSpec`.
        scale_value: α, or its initial value; None is `v_threshold`.
        gradient: Gradient of the quantizer, see `MembraneSpec`.
        threshold_spec: Whether and how the threshold is learned.
        channels: Channels C of the input [N, C, ...]; needed for learned thresholds per channel.

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
        tau: float = 2.0,
        decay_input: bool = False,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        surrogate_function: nn.Module | None = None,
        detach_reset: bool = False,
        step_mode: str = "s",
        store_v_seq: bool = False,
        *,
        bits: int = 2,
        scale: MembraneScale = "running",
        scale_value: float | None = None,
        gradient: MembraneGradient = "clipped_straight_through",
        threshold_spec: ThresholdSpec | None = None,
        channels: int | None = None,
    ) -> None:
        spec = k_bit(bits, scale, scale_value, gradient, v_threshold, threshold_spec)
        super().__init__(
            tau, decay_input, v_threshold, v_reset, surrogate_function, detach_reset, step_mode,
            store_v_seq, spec=spec, channels=channels,
        )  # fmt: skip


class KBitIFNode(QuantIFNode):
    """IF neuron whose membrane is uniformly quantized to k bits (Q-SNN Eq. 8).

    Args:
        v_threshold: See `QuantIFNode`, as for all arguments that are not explained here.
        bits: k, from 1 to 8; one bit stores 0 or α.
        scale: How α is chosen, see `MembraneSpec`.
        scale_value: α, or its initial value; None is `v_threshold`.
        gradient: Gradient of the quantizer, see `MembraneSpec`.
        threshold_spec: Whether and how the threshold is learned.
        channels: Channels C of the input [N, C, ...]; needed for learned thresholds per channel.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> KBitIFNode(bits=4).quant_spec.membrane.storage_bits
        4
    """

    def __init__(
        self,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        surrogate_function: nn.Module | None = None,
        detach_reset: bool = False,
        step_mode: str = "s",
        store_v_seq: bool = False,
        *,
        bits: int = 2,
        scale: MembraneScale = "running",
        scale_value: float | None = None,
        gradient: MembraneGradient = "clipped_straight_through",
        threshold_spec: ThresholdSpec | None = None,
        channels: int | None = None,
    ) -> None:
        spec = k_bit(bits, scale, scale_value, gradient, v_threshold, threshold_spec)
        super().__init__(
            v_threshold, v_reset, surrogate_function, detach_reset, step_mode, store_v_seq,
            spec=spec, channels=channels,
        )  # fmt: skip


class MultiBitLIFNode(QuantLIFNode):
    """LIF neuron with spikes of S bits. NOTE: `decay_input` is False here, True in `LIFNode`.

    A spike counts how many thresholds fit into the membrane (bit budget Eq. 6-7).

    Args:
        tau: See `QuantLIFNode`, as for all arguments that are not explained here.
        bits: S, from 1 to 16.
        value: Output of the neuron: the "count", or the count times the "threshold".
        membrane: How the membrane is stored, by default in 32 bits.
        threshold_spec: Whether and how the threshold is learned.
        channels: Channels C of the input [N, C, ...]; needed for learned thresholds per channel.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> import torch
        >>> MultiBitLIFNode(bits=2)(torch.tensor([0.5, 1.5, 2.5, 9.0]))
        tensor([0., 1., 2., 3.])
    """

    def __init__(
        self,
        tau: float = 2.0,
        decay_input: bool = False,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        surrogate_function: nn.Module | None = None,
        detach_reset: bool = False,
        step_mode: str = "s",
        store_v_seq: bool = False,
        *,
        bits: int = 2,
        value: SpikeValue = "count",
        membrane: MembraneSpec = FLOAT,
        threshold_spec: ThresholdSpec | None = None,
        channels: int | None = None,
    ) -> None:
        spec = multi_bit(bits, value, membrane, threshold_spec)
        super().__init__(
            tau, decay_input, v_threshold, v_reset, surrogate_function, detach_reset, step_mode,
            store_v_seq, spec=spec, channels=channels,
        )  # fmt: skip


class MultiBitIFNode(QuantIFNode):
    """IF neuron with S-bit spikes, which count thresholds in the membrane (bit budget Eq. 6-7).

    Args:
        v_threshold: See `QuantIFNode`, as for all arguments that are not explained here.
        bits: S, from 1 to 16.
        value: Output of the neuron: the "count", or the count times the "threshold".
        membrane: How the membrane is stored, by default in 32 bits.
        threshold_spec: Whether and how the threshold is learned.
        channels: Channels C of the input [N, C, ...]; needed for learned thresholds per channel.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> import torch
        >>> MultiBitIFNode(bits=1)(torch.tensor([0.5, 1.5, 2.5]))
        tensor([0., 1., 1.])
    """

    def __init__(
        self,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        surrogate_function: nn.Module | None = None,
        detach_reset: bool = False,
        step_mode: str = "s",
        store_v_seq: bool = False,
        *,
        bits: int = 2,
        value: SpikeValue = "count",
        membrane: MembraneSpec = FLOAT,
        threshold_spec: ThresholdSpec | None = None,
        channels: int | None = None,
    ) -> None:
        spec = multi_bit(bits, value, membrane, threshold_spec)
        super().__init__(
            v_threshold, v_reset, surrogate_function, detach_reset, step_mode, store_v_seq,
            spec=spec, channels=channels,
        )  # fmt: skip
