"""What one layer costs: of synapses, of neurons, and of what is stored beside."""

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
    """Numbers of one role that a layer keeps for good.

    Args:
        layer: The layer's name in its network.
        role: What they are.
        count: How many.
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
    """Operations of a convolution, a linear layer, a gate's predictor, or a product of activations.

    Operations are those of one sample. `macs` are of one step, what depends on activity is of all
    steps and None where the activity is not known. A padded place counts as an operation.

    Args:
        name: The layer's name in its network; of a product that of the module it runs in, with
            "(product)" behind it.
        kind: "conv", "linear", "predictor" of a gate (`nn.ChannelGate`), or "product", which has no
            weights (attention).
        total_macs: Multiply-accumulations over all steps, with every input present.
        time_steps: T.
        weight_bits: W; for a product the bits of a spike.
        spike_bits: S of the spikes that it takes; 1 where it takes none.
        takes: Neurons whose spikes it takes.
        takes_numbers: Whether it takes numbers too, such as the network's input: those multiply.
        feeds: Neurons that its output charges.
        activity: Share of its inputs that are not zero; for a given rate the rate of `takes`.
        channel: S_c, share of its output channels that its gate masks before it runs; 0 without a
            gate. A spatial mask is known after it has run, and saves none of its operations.
        pooled: Additions of the mean that a predictor takes of what it watches, over all steps.

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
        """Multiply-accumulations of one step; an integer where every step is alike."""
        whole, rest = divmod(self.total_macs, self.time_steps)
        return self.total_macs / self.time_steps if rest else whole

    @property
    def multiplies(self) -> bool:
        """Whether its inputs are numbers and not spikes alone."""
        return self.takes_numbers or not self.takes

    @property
    def bit_budget(self) -> float:
        """BB = T · W · S in bits (bit budget Eq. 4), float weights being 16."""
        weight_bits = EFFORT_FLOAT_BITS if self.weight_bits == FLOAT_BITS else self.weight_bits
        return bit_budget(self.time_steps, weight_bits, self.spike_bits)

    @property
    def sops(self) -> int:
        """Synaptic operations as the bit-budget paper counts them, without rates: MACs · T · S."""
        return self.total_macs * self.spike_bits

    @property
    def s_ace(self) -> float:
        """MACs · BB (bit budget Eq. 8); of a product, both of whose factors have S bits, T S S."""
        return arithmetic_effort(self.macs, self.bit_budget)

    @property
    def ns_ace(self) -> float | None:
        """S-ACE times the share of active inputs (bit budget Eq. 9)."""
        if self.activity is None:
            return None
        return arithmetic_effort(self.macs, self.bit_budget, self.activity)

    @property
    def remaining_macs(self) -> float | None:
        """Multiply-accumulations of all steps that its gate leaves (SpQuant-SNN Eq. 30, S_c)."""
        if self.channel is None:
            return None
        return remaining_operations(self.total_macs, channel=self.channel)

    @property
    def synaptic_operations(self) -> float | None:
        """SynOps: active inputs times the weights that each reaches, over all steps."""
        return None if self.activity is None else self.activity * self.total_macs

    @property
    def multiplications(self) -> float | None:
        """Multiplications over all steps, after pruning; none where the inputs are spikes."""
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
        levels: Levels that it has, 0 for a float.
        states: Stored values per neuron; 1 is the membrane alone.
        spike_bits: S.
        rate: Share of neurons and steps that fire; None where it is not known.
        masked: Share of neurons and steps that pruning masks; None where it is not known.

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
        """Bytes of one spike of every neuron."""
        return packed_bytes(self.count, self.spike_bits)

    def counted_bits(self, convention: MemoryConvention) -> float:
        """Bits of the stored states as a convention counts them."""
        bits = convention.ternary_bits if self.levels == 3 else self.membrane_bits
        return self.count * self.states * bits
