"""Common base of the networks: time-major input, neurons of either host, one interface."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib import import_module
from inspect import signature
from types import ModuleType
from typing import Any, Literal, Self

from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError, QSNNWarning
from qsnn_plugins.injection import LayerSpecs
from qsnn_plugins.injection.gates import NO_GATE
from qsnn_plugins.nn import (
    ChannelGate,
    KeepsMeans,
    channel_gates,
    quantize_weights,
    weight_layers,
)
from qsnn_plugins.spec import QuantSpec
from qsnn_plugins.spec.checks import boolean, choice, integer, number

__all__ = ["HostName", "Init", "TimeDistributed", "TimeMajorNet", "begin_wide", "load_host"]

HostName = Literal["spikingjelly", "snntorch"]
Init = Literal["torch", "kaiming_fan_out"]

_RATE = 1 / 6

WIDTH = number("a number above 0", lambda x: x > 0)  # checks a factor on channels


def begin_wide(layer: nn.Conv2d | nn.Linear, averaged: bool = False) -> None:
    """Initialize the weights of a layer that feeds a neuron without normalization in between.

    If neurons fire at a rate r = 1/6, a variance of 1 / (r fan-in) gives the next neurons an input
    of variance 1, which is the threshold. After global pooling, where the inputs are the rates
    themselves, it is 1 / (r² fan-in). With torch's own variance, 1 / (3 fan-in), all neurons from
    the second layer on are silent.

    Args:
        layer: A layer whose weight is a plain parameter.
        averaged: Whether its input is averaged over a map.

    Example:
        >>> import torch
        >>> layer = nn.Linear(600, 200)
        >>> begin_wide(layer)
        >>> round(float(layer.weight.detach().std()), 2)
        0.1
    """
    mean_square = _RATE**2 if averaged else _RATE
    nn.init.normal_(layer.weight, std=(mean_square * layer.weight[0].numel()) ** -0.5)


def load_host(name: HostName) -> ModuleType:
    """Import a host's folder, which has `build_neuron` and `reset_net`.

    Raises:
        ArgumentError: If there is no such host.

    Example:
        >>> load_host("spikingjelly").build_neuron(QuantSpec()).v_threshold
        1.0
    """
    return import_module(f"qsnn_plugins.{choice(HostName)('host', name)}")


class TimeDistributed(nn.Sequential):
    """Layers without state, applied to all steps of time-major input at once.

    [T, N, ...] is reshaped to [T·N, ...] and back, so that batch normalization sees all steps. A
    still image that was expanded over T is computed only once.

    Example:
        >>> import torch
        >>> TimeDistributed(nn.Flatten(), nn.Linear(8, 3))(torch.rand(4, 1, 2, 2, 2)).shape
        torch.Size([4, 1, 3])
    """

    def begin_kaiming(self) -> None:
        """Initialize convolutions with `init="kaiming_fan_out"`, see `TimeMajorNet`."""
        if any(isinstance(layer, nn.BatchNorm2d) for layer in self):
            for layer in self:
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x_seq: Tensor) -> Tensor:
        """Map [T, N, ...] to [T, N, ...]."""
        if len(x_seq) > 1 and x_seq.stride(0) == 0:
            return super().forward(x_seq[0]).expand(len(x_seq), *[-1] * (x_seq.dim() - 1))
        return super().forward(x_seq.flatten(0, 1)).unflatten(0, x_seq.shape[:2])


class TimeMajorNet(nn.Module):
    """Base class of networks over [T, N, C, H, W]; a subclass fills `blocks` in order.

    Args:
        in_channels: Channels of the input, from 1.
        spec: How the network is quantized: a `QuantSpec`, or what `presets.resolve` makes one of;
            None is `QuantSpec()`, ternary membranes and float weights.
        host: Library whose neurons are used, "spikingjelly" or "snntorch".
        overrides: Other specs for modules whose names match a pattern, see `qsnn_plugins.inject`;
            None stands for float membranes and float weights.
        decay_input: Whether neurons divide their input by tau = 2, as SpikingJelly's own neurons
            do.
        init: Initialization of convolutions that are followed by normalization: "torch" is torch's
            default, a uniform distribution of variance 1 / (3 fan-in); "kaiming_fan_out" is N(0, 2
            / (k² C_out)), as in the released codes of TET, IM-SNN, Q-SNN and LT-SNN.

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> import torch
        >>> network = TimeMajorNet(in_channels=2)
        >>> network.blocks.add_module("lif", network.neuron("blocks.lif", channels=2))
        >>> network.finish(out_channels=2)
        >>> network(torch.rand(4, 1, 2, 3, 3)).shape
        torch.Size([4, 1, 2, 3, 3])
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Keep the arguments, from which `qsnn_plugins.load` builds the network again."""
        network = super().__new__(cls)
        if args or kwargs:  # a copy has neither
            bound = signature(cls.__init__).bind(network, *args, **kwargs)
            given = {name: value for name, value in bound.arguments.items() if name != "self"}
            object.__setattr__(network, "init_args", given)
        return network

    def __init__(
        self,
        in_channels: int,
        spec: QuantSpec | None = None,
        host: HostName = "spikingjelly",
        overrides: Mapping[str, QuantSpec | None] | None = None,
        decay_input: bool = False,
        init: Init = "torch",
    ) -> None:
        super().__init__()
        boolean("decay_input", decay_input)
        choice(Init)("init", init)
        self._decay_input, self._init = decay_input, init
        self.in_channels = integer(1)("in_channels", in_channels)
        self._specs = LayerSpecs(QuantSpec() if spec is None else spec, overrides)
        self.spec, self.host_name, self._neuron_names = self._specs.spec, host, list[str]()
        load_host(host)
        self.out_channels = 0
        self._source: tuple[nn.Module, int] | None = None  # the last neuron, and its channels
        self.blocks = nn.Sequential()

    def neuron(self, name: str, channels: int) -> nn.Module:
        """Build the neuron that stands at a full name, over so many channels."""
        spec = self._specs.of(name) or QuantSpec.full_precision()
        if not self._neuron_names:
            spec = spec.of_first_neuron()
        self._neuron_names.append(name)
        return load_host(self.host_name).build_neuron(spec, channels, self._decay_input)

    def add_with_neuron(self, name: str, synapse: TimeDistributed, channels: int) -> None:
        """Append a block of a synapse, gated by the last neuron, and the neuron behind it."""
        block = nn.Sequential()
        block.add_module("synapse", synapse)
        neuron = self.neuron(f"blocks.{name}.neuron", channels)
        block.add_module("neuron", neuron)
        self.blocks.add_module(name, block)
        self.gate(synapse, neuron)
        self._source = neuron, channels

    def gate(self, synapse: TimeDistributed, neuron: nn.Module) -> None:
        """Gate a synapse's last convolution, where the spec of the neuron that it feeds says so.

        The membranes that it watches are those of the last `_source`, none before the first neuron.
        Linear layers are not gated: behind a pooled map a predictor would multiply as much as they.
        """
        pruning = _quantized(neuron).quant_spec.pruning
        convolutions = [layer for layer in synapse if isinstance(layer, nn.Conv2d)]
        if not (pruning.gates and convolutions):
            return
        layer, sources, channels = convolutions[-1], [], convolutions[-1].in_channels
        if pruning.fidelity == "paper":
            if self._source is None:
                return
            sources, channels = [_quantized(self._source[0])], self._source[1]
        ChannelGate(pruning, channels, layer.out_channels).attach(layer, synapse[-1], sources)

    def finish(self, out_channels: int) -> None:
        """Say how many outputs there are, and quantize the weights.

        Warns where a spec gates channels, and no convolution could be gated.

        Raises:
            ArgumentError: If an override covers nothing.
        """
        self.out_channels = out_channels
        if self._init == "kaiming_fan_out":
            for synapse in self.modules():
                if isinstance(synapse, TimeDistributed):
                    synapse.begin_kaiming()
        neurons: list[Any] = [part for part in self.modules() if isinstance(part, KeepsMeans)]
        is_asked = any(neuron.quant_spec.pruning.gates for neuron in neurons)
        if is_asked and not channel_gates(self):
            # past this function, a subclass's constructor and its caller
            warnings.warn(NO_GATE, QSNNWarning, stacklevel=3)
        layers = weight_layers(self)
        self._specs.check([*self._neuron_names, *layers])
        specs = {name: spec.weight for name in layers if (spec := self._specs.of(name)) is not None}
        quantize_weights(self, specs)

    def reset_states(self) -> None:
        """Forget the states of all neurons."""
        load_host(self.host_name).reset_net(self)

    def forward(self, x_seq: Tensor) -> Tensor:
        """Map input [T, N, C, H, W] to logits [T, N, K] of every step.

        Raises:
            ArgumentError: If the input has another number of dimensions or channels.
        """
        if x_seq.dim() != 5 or x_seq.shape[2] != self.in_channels:
            allowed = f"[T, N, {self.in_channels}, H, W] (the network's in_channels)"
            raise ArgumentError("input shape", list(x_seq.shape), allowed)
        return self.blocks(x_seq)


def _quantized(neuron: nn.Module) -> Any:
    """The neuron with a spec, which snnTorch's `MultiStep` holds within."""
    return next(module for module in neuron.modules() if isinstance(module, KeepsMeans))
