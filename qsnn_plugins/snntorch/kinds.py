"""`QuantLeaky` with the common kinds of quantization."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from qsnn_plugins.functional.membrane.stacked import MembraneGradient
from qsnn_plugins.snntorch.neuron import QuantLeaky
from qsnn_plugins.spec import MembraneSpec, ThresholdSpec
from qsnn_plugins.spec.membrane import MembraneScale
from qsnn_plugins.spec.neuron_kinds import FLOAT, k_bit, multi_bit, ternary
from qsnn_plugins.spec.spike import SpikeValue

__all__ = ["KBitLeaky", "MultiBitLeaky", "TernaryLeaky"]


class TernaryLeaky(QuantLeaky):
    """Leaky neuron whose membrane is stored as -1, 0 or +1 after each step.

    A drop-in replacement of `snntorch.Leaky` with the membrane of IM-SNN (Eq. 5) and SpQuant-SNN,
    its stacked surrogate gradient (IM-SNN Eq. 9) and the triangle as surrogate gradient of spikes.
    The papers' neuron is `TernaryLeaky(beta=0.5, reset_mechanism="zero", reset_delay=False)`. A
    delayed reset needs a fourth code, "+1 and fired", and so still 2 bits.

    Args:
        beta: See `QuantLeaky`, as for all arguments that are not explained here.
        smoothness: T of the stacked surrogate gradient, above 0.
        threshold_spec: Whether and how the threshold is learned.
        channels: Channels C of the input [N, C, ...]; needed for learned thresholds per channel.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> import torch
        >>> lif = TernaryLeaky(beta=0.5)
        >>> spk, mem = lif(torch.tensor([0.75, 1.25, -2.0]))
        >>> spk, mem  # the second is a unit in the last place above 1: it fired
        (tensor([0., 1., 0.]), tensor([ 1.0000,  1.0000, -1.0000]))
        >>> lif(torch.tensor([0.5, 0.5, 0.5]), mem)[1]
        tensor([1., 0., 0.])
    """

    def __init__(
        self,
        beta: Tensor | float,
        threshold: Tensor | float = 1.0,
        spike_grad: Callable[[Tensor], Tensor] | None = None,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        inhibition: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: str = "subtract",
        state_quant: bool = False,
        output: bool = False,
        graded_spikes_factor: Tensor | float = 1.0,
        learn_graded_spikes_factor: bool = False,
        reset_delay: bool = True,
        *,
        smoothness: float = 2.0,
        threshold_spec: ThresholdSpec | None = None,
        channels: int | None = None,
    ) -> None:
        spec = ternary(smoothness, threshold_spec)
        super().__init__(
            beta, threshold, spike_grad, surrogate_disable, init_hidden, inhibition, learn_beta,
            learn_threshold, reset_mechanism, state_quant, output, graded_spikes_factor,
            learn_graded_spikes_factor, reset_delay, spec=spec, channels=channels,
        )  # fmt: skip


class KBitLeaky(QuantLeaky):
    """Leaky neuron whose membrane is uniformly quantized to k bits (Q-SNN Eq. 8).

    There are 2^k - 1 levels from -α to α. By default α is the threshold, so the threshold is a
    level. The additional code of a delayed reset makes 2^k codes.

    Args:
        beta: See `QuantLeaky`, as for all arguments that are not explained here.
        bits: k, from 1 to 8; one bit stores 0 or α.
        scale: How α is chosen, see `MembraneSpec`.
        scale_value: α, or its initial value; None is the threshold, or the mean of several.
        gradient: Gradient of the quantizer, see `MembraneSpec`.
        threshold_spec: Whether and how the threshold is learned.
        channels: Channels C of the input [N, C, ...]; needed for learned thresholds per channel.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> import torch
        >>> KBitLeaky(beta=0.5, threshold=1.5, bits=3)(torch.tensor([0.4, 1.1, -9.0]))[1]
        tensor([ 0.5000,  1.0000, -1.5000])
    """

    def __init__(
        self,
        beta: Tensor | float,
        threshold: Tensor | float = 1.0,
        spike_grad: Callable[[Tensor], Tensor] | None = None,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        inhibition: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: str = "subtract",
        state_quant: bool = False,
        output: bool = False,
        graded_spikes_factor: Tensor | float = 1.0,
        learn_graded_spikes_factor: bool = False,
        reset_delay: bool = True,
        *,
        bits: int = 2,
        scale: MembraneScale = "fixed",
        scale_value: float | None = None,
        gradient: MembraneGradient = "clipped_straight_through",
        threshold_spec: ThresholdSpec | None = None,
        channels: int | None = None,
    ) -> None:
        spec = k_bit(bits, scale, scale_value, gradient, threshold, threshold_spec)
        super().__init__(
            beta, threshold, spike_grad, surrogate_disable, init_hidden, inhibition, learn_beta,
            learn_threshold, reset_mechanism, state_quant, output, graded_spikes_factor,
            learn_graded_spikes_factor, reset_delay, spec=spec, channels=channels,
        )  # fmt: skip


class MultiBitLeaky(QuantLeaky):
    """Leaky neuron with S-bit spikes, which count thresholds in the membrane (bit budget Eq. 6-7).

    "subtract" subtracts as many thresholds as were counted.

    Args:
        beta: See `QuantLeaky`, as for all arguments that are not explained here.
        bits: S, from 1 to 16.
        value: Output of the neuron: the "count", or the count times the "threshold".
        membrane: How the membrane is stored, by default in 32 bits; other membranes with "subtract"
            need `reset_delay=False`.
        threshold_spec: Whether and how the threshold is learned.
        channels: Channels C of the input [N, C, ...]; needed for learned thresholds per channel.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> import torch
        >>> MultiBitLeaky(beta=0.5, reset_delay=False)(torch.tensor([1.5, 2.25, 9.0]))
        (tensor([1., 2., 3.]), tensor([0.5000, 0.2500, 6.0000]))
    """

    def __init__(
        self,
        beta: Tensor | float,
        threshold: Tensor | float = 1.0,
        spike_grad: Callable[[Tensor], Tensor] | None = None,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        inhibition: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: str = "subtract",
        state_quant: bool = False,
        output: bool = False,
        graded_spikes_factor: Tensor | float = 1.0,
        learn_graded_spikes_factor: bool = False,
        reset_delay: bool = True,
        *,
        bits: int = 2,
        value: SpikeValue = "count",
        membrane: MembraneSpec = FLOAT,
        threshold_spec: ThresholdSpec | None = None,
        channels: int | None = None,
    ) -> None:
        spec = multi_bit(bits, value, membrane, threshold_spec)
        super().__init__(
            beta, threshold, spike_grad, surrogate_disable, init_hidden, inhibition, learn_beta,
            learn_threshold, reset_mechanism, state_quant, output, graded_spikes_factor,
            learn_graded_spikes_factor, reset_delay, spec=spec, channels=channels,
        )  # fmt: skip
