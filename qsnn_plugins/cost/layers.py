"""Costs of one layer: of synapses, of neurons, and of stored parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from qsnn_plugins.cost.conventions import MemoryConvention, Role
from qsnn_plugins.functional.operations import (
    arithmetic_effort,
    bit_budget,
    remaining_operations,
)
from qsnn_plugins.functional.packing.bits import packed_bytes

__all__ = ["NeuronCost", "ParameterCost", "SynapseCost", "layer_kind"]

SynapseKind = Literal["conv", "linear", "product", "predictor"]

FLOAT_BITS = 32
# bit budget, caption of Table 1: float operations are taken to be BF16
EFFORT_FLOAT_BITS = 16


def layer_kind(module: nn.Module) -> Literal["conv", "linear"] | None:
    """Tell convolutions, transposed ones among them, and linear layers from other modules.

    Example:
        >>> layer_kind(nn.ConvTranspose2d(2, 2, 3)), layer_kind(nn.Embedding(4, 2))
        ('conv', None)
    """
    if isinstance(module, nn.modules.conv._ConvNd):
        return "conv"
    return "linear" if isinstance(module, nn.Linear | nn.Bilinear) else None


@dataclass(frozen=True)
class ParameterCost:
    """Parameters of one role that a layer stores permanently.

    Args:
        layer: The layer's name in its network.
        role: Their role, such as "weights" or "biases".
        count: Their number.
        bits: Bits of each.
        kind: What the layer is: "conv", "linear", "normalization", "neuron" or "other".

    Example:
        >>> ParameterCost("fc1", "weights", count=1001, bits=4, kind="linear").bytes
        501
    """

    layer: str
    role: Role
    count: int
    bits: int
    kind: str = "other"

    @property
    def bytes(self) -> int:
        """Bytes, packed without gaps within the layer."""
        return packed_bytes(self.count, self.bits)

    @property
    def float_bytes(self) -> int:
        """Bytes in 32 bits."""
        return packed_bytes(self.count, FLOAT_BITS)


@dataclass(frozen=True)
class SynapseCost:
    """Operations of a convolution, linear layer, predictor of a gate, or product of activations.

    Operations are counted for one sample. `macs` is for one step. Values that depend on activity
    are for all steps, and None if the activity is not known. Padding is included.

    Args:
        name: Name of the layer in its network; for a product the name of the module that computes
            it, followed by "(product)".
        kind: "conv", "linear", "predictor" of a gate (`nn.ChannelGate`), or "product", which has no
            weights (attention).
        total_macs: Multiply-accumulate operations over all steps, with all inputs active.
        time_steps: T.
        weight_bits: W; for a product the bits of a spike.
        spike_bits: S of its input spikes; 1 if its inputs are not spikes.
        takes: Neurons whose spikes are its inputs.
        takes_numbers: Whether it also has non-spiking inputs, such as the network's input, which
            need multiplications.
        feeds: Neurons that get its output.
        activity: Share of its non-zero inputs; for a given rate, the rate of `takes`.
        channel: S_c, share of its output channels that its gate masks before it runs; 0 without a
            gate. A spatial mask is known only after it has run and saves none of its operations.
        pooled: Additions for the means of a predictor's inputs, over all steps.

    Example:
        >>> layer = SynapseCost("conv2", "conv", 4000, 4, 2, 1, ("lif1",), False, ("lif2",), 0.1)
        >>> layer.macs, layer.synaptic_operations, layer.s_ace, layer.ns_ace
        (1000, 400.0, 8000, 800.0)
    """

    name: str
    kind: SynapseKind
    total_macs: int
    time_steps: int
    weight_bits: int
    spike_bits: int = 1
    takes: tuple[str, ...] = ()
    takes_numbers: bool = False
    feeds: tuple[str, ...] = ()
    activity: float | None = None
    channel: float | None = 0.0
    pooled: int = 0

    @property
    def macs(self) -> float:
        """Multiply-accumulate operations of one step; an integer if all steps are alike."""
        whole, rest = divmod(self.total_macs, self.time_steps)
        return self.total_macs / self.time_steps if rest else whole

    @property
    def multiplies(self) -> bool:
        """Whether it has inputs that are not spikes."""
        return self.takes_numbers or not self.takes

    @property
    def bit_budget(self) -> float:
        """BB = T · W · S in bits (bit budget Eq. 4), with 16 bits for float weights."""
        weight_bits = EFFORT_FLOAT_BITS if self.weight_bits == FLOAT_BITS else self.weight_bits
        return bit_budget(self.time_steps, weight_bits, self.spike_bits)

    @property
    def sops(self) -> int:
        """Synaptic operations as the bit-budget paper counts them, without rates: MACs · T · S."""
        return self.total_macs * self.spike_bits

    @property
    def s_ace(self) -> float:
        """MACs · BB (bit budget Eq. 8); MACs · T · S · S for a product of two activations."""
        return arithmetic_effort(self.macs, self.bit_budget)

    @property
    def ns_ace(self) -> float | None:
        """S-ACE times the share of active inputs (bit budget Eq. 9)."""
        if self.activity is None:
            return None
        return arithmetic_effort(self.macs, self.bit_budget, self.activity)

    @property
    def remaining_macs(self) -> float | None:
        """MACs over all steps that remain with its gate (SpQuant-SNN Eq. 30)."""
        if self.channel is None:
            return None
        return remaining_operations(self.total_macs, channel=self.channel)

    @property
    def synaptic_operations(self) -> float | None:
        """SynOps: active inputs times the weights that each of them reaches, over all steps."""
        return None if self.activity is None else self.activity * self.total_macs

    @property
    def multiplications(self) -> float | None:
        """Multiplications over all steps, after pruning; 0 if the inputs are spikes."""
        return self.remaining_macs if self.multiplies else 0

    @property
    def accumulations(self) -> float | None:
        """Additions over all steps, after pruning: one per active input and bit of spikes."""
        if self.remaining_macs is None:
            return None
        if self.multiplies:
            return self.remaining_macs + self.pooled
        if self.activity is None:
            return None
        return self.activity * self.remaining_macs * self.spike_bits


@dataclass(frozen=True)
class NeuronCost:
    """Membranes and spikes of one layer of neurons, for one sample.

    Args:
        name: The layer's name in its network.
        kind: The neuron's class.
        count: Neurons.
        membrane_bits: Whole bits of one stored membrane.
        levels: Number of its levels, 0 for a float.
        states: Stored values per neuron; 1 is only the membrane.
        spike_bits: S.
        rate: Firing rate; None if it is not known.
        masked: Share of neurons and steps masked by pruning; None if it is not known.

    Example:
        >>> layer = NeuronCost("lif1", "QuantLIFNode", count=1001, membrane_bits=2, levels=3)
        >>> layer.membrane_bytes, layer.float_bytes, layer.spike_bytes
        (251, 4004, 126)
    """

    name: str
    kind: str
    count: int
    membrane_bits: int
    levels: int = 0
    states: int = 1
    spike_bits: int = 1
    rate: float | None = None
    masked: float | None = None

    @property
    def membrane_bytes(self) -> int:
        """Bytes of the stored states, packed without gaps within the layer."""
        return packed_bytes(self.count * self.states, self.membrane_bits)

    @property
    def float_bytes(self) -> int:
        """Bytes of the stored states in 32 bits."""
        return packed_bytes(self.count * self.states, FLOAT_BITS)

    @property
    def spike_bytes(self) -> int:
        """Bytes of one spike per neuron."""
        return packed_bytes(self.count, self.spike_bits)

    def counted_bits(self, convention: MemoryConvention) -> float:
        """Bits of the stored states as a convention counts them."""
        bits = convention.ternary_bits if self.levels == 3 else self.membrane_bits
        return self.count * self.states * bits
