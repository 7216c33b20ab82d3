"""Placement of channel gates in an injected network, with reasons where it is not possible."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils.parametrize import type_before_parametrizations

from qsnn_plugins.injection.hosts import LeftAlone
from qsnn_plugins.injection.neurons import Neuron
from qsnn_plugins.injection.report import GatedLayer
from qsnn_plugins.injection.wiring import Layer, Wiring
from qsnn_plugins.nn import ChannelGate, KeepsMeans
from qsnn_plugins.spec import QuantSpec

__all__ = ["NO_GATE", "place_gates"]

NO_GATE = (
    "no channel is gated: pruning.channel_threshold gates convolutions that feed a neuron, "
    "with pruning.fidelity 'paper' only those behind another neuron"
)

Chosen = Mapping[int, QuantSpec | LeftAlone]


def place_gates(
    network: nn.Module, neurons: Sequence[Neuron], chosen: Chosen, found: Wiring
) -> tuple[list[ChannelGate], tuple[GatedLayer, ...]]:
    """Gate the convolutions that charge new neurons whose specs gate channels.

    Of several layers that are added before a neuron only the deepest is gated, with most neurons
    before it: the branch of a residual block, and not its shortcut. Those that are concatenated are
    gated each. A layer is masked behind its own normalization, before the sum; or at once, where
    that mixes channels or something else takes the layer's output too. Of several neurons whose
    spikes are added, the gate watches the deepest, and of those that are concatenated all.

    Returns:
        The gates, and a row per layer, gated or not.
    """
    placement = _Placement(network, neurons, chosen, found)
    for neuron in neurons:
        placement.choose_before(neuron)
    return placement.place()


class _Placement:
    def __init__(
        self, network: nn.Module, neurons: Sequence[Neuron], chosen: Chosen, found: Wiring
    ) -> None:
        self.neurons = {id(neuron.module): neuron for neuron in neurons}
        self.chosen, self.found = chosen, found
        self.layers: dict[int, tuple[str, nn.Module]] = {}
        for name, module in network.named_modules():
            self.layers[id(module)] = name, module
        self.wrapped = {
            id(part)
            for module in network.modules()
            if type(module).__module__.startswith("qsnn_plugins") and hasattr(module, "neuron")
            for part in module.modules()
        }
        self.gated: dict[int, Neuron] = {}  # layers, by what they charge
        self.open: dict[int, str] = {}  # why others are not
        self.uncharged: list[GatedLayer] = []

    def gates_before(self, neuron: int) -> bool:
        """Whether a neuron is new, and its spec gates channels."""
        spec = self.chosen[neuron]
        is_new = self.neurons[neuron].new is not None
        return is_new and isinstance(spec, QuantSpec) and spec.pruning.gates

    def choose_before(self, neuron: Neuron) -> None:
        """Choose which of the layers that charge a neuron is gated; a layer may charge several."""
        if not self.gates_before(id(neuron.module)):
            return
        charging = [i for i, row in self.found.layers.items() if id(neuron.module) in row.charges]
        if not charging:
            why = "no layer with weights charges it"
            self.uncharged.append(GatedLayer(neuron.names[0], neuron.kind, note=why))
        fitting = []
        for i in charging:
            why = self._why_not(i, neuron)
            if why:
                self.open.setdefault(i, why)
            else:
                fitting.append(i)
        sums, gated = self.found.sums.get(id(neuron.module), ()), list[int]()
        for i in sorted(fitting, key=self._depth, reverse=True):
            joined = [j for j in gated if any({i, j} <= group for group in sums)]
            if joined:
                name, _ = self.layers[joined[0]]
                self.open.setdefault(i, f"it joins {name}, which is gated: a shortcut stays open")
            else:
                gated.append(i)
                self.gated.setdefault(i, neuron)

    def place(self) -> tuple[list[ChannelGate], tuple[GatedLayer, ...]]:
        """Place the gates; return them, and a row per layer."""
        gates, rows = list[ChannelGate](), list[GatedLayer]()
        for i in self.found.layers:
            if i in self.gated:
                gate, row = self._gate(i, self.gated[i])
                gates.append(gate)
                rows.append(row)
            elif i in self.open:
                rows.append(self._row(i, note=self.open[i]))
        return gates, (*rows, *self.uncharged)

    def _depth(self, i: int) -> tuple[int, int]:
        """How deep the neurons are that feed a layer; of equal layers the first is greater."""
        depths = [self.found.depths[source] for source in self.found.layers[i].sources]
        return max(depths, default=0), -list(self.found.layers).index(i)

    def _why_not(self, i: int, neuron: Neuron) -> str:
        """Why a layer is not gated; nothing where it can be."""
        row, (_, layer) = self.found.layers[i], self.layers[i]
        spec: Any = self.chosen[id(neuron.module)]
        if not isinstance(layer, _ConvNd):
            return "only convolutions are gated"
        if hasattr(layer, "gate"):
            return "it has a `gate` of its own"
        others = [other for other in row.charges if not self.gates_before(other)]
        if others:
            return f"it charges {self.neurons[others[0]].names[0]} too, which is not gated"
        if row.is_reused:
            return "it takes other inputs at other times"
        if spec.pruning.fidelity == "released":
            return ""
        if row.is_permuted:
            return "its maps are in another order than those of the neurons that feed it"
        if not row.sources:
            return "no neurons feed it whose membranes could be watched"
        for source in self._sources(row):
            if not isinstance(source.new, KeepsMeans):
                return f"{source.names[0]}, which feeds it, is left alone"
            if why := self._why_out_of_step(row, source):
                return why
        return ""

    def _sources(self, row: Layer) -> list[Neuron]:
        return [self.neurons[i] for i in row.sources]

    def _why_out_of_step(self, row: Layer, source: Neuron) -> str:
        shape = row.shapes[id(source.module)]
        maps = math.prod(shape[: source.host.channel_dim(source.module)])
        is_gathered = id(source.new) in self.wrapped
        runs = row.sources[id(source.module)]
        if runs * maps == row.maps and (runs == 1 or is_gathered):
            return ""
        return (
            f"{source.names[0]}, which feeds it, runs {runs} times on {maps} maps "
            f"before it takes {row.maps} at once"
        )

    def _gate(self, i: int, neuron: Neuron) -> tuple[ChannelGate, GatedLayer]:
        row, (_, layer) = self.found.layers[i], self.layers[i]
        spec: Any = self.chosen[id(neuron.module)]
        convolution: Any = layer
        sources, channels, watched = list[Neuron](), convolution.in_channels, "its input"
        if spec.pruning.fidelity == "paper":
            sources = self._sources(row)
            watched = ", ".join(source.names[0] for source in sources)
            channels = sum(row.shapes[id(n.module)][n.host.channel_dim(n.module)] for n in sources)
        gate = ChannelGate(spec.pruning, channels, convolution.out_channels)
        gate.attach(layer, row.norm or layer, [source.new for source in sources])
        is_skipped = convolution.groups == 1 and not isinstance(layer, _ConvTransposeNd)
        # one with a forward of its own may not convolve by the method that skips
        is_skipped &= type(layer).forward.__module__.startswith(("torch.nn.", "spikingjelly."))
        # a gate that looks at the input does not know which of its maps are steps of one sample
        is_skipped &= bool(sources) or not self._is_folded(row, neuron)
        early = f"masked at once, before a normalization: {row.why_early}"
        notes = early * bool(row.why_early), "masked, and would be skipped" * (not is_skipped)
        return gate, self._row(i, watched, "; ".join(filter(None, notes)))

    def _is_folded(self, row: Layer, neuron: Neuron) -> bool:
        """Whether a layer takes the steps of a neuron that it charges as if they were samples."""
        dim = neuron.host.channel_dim(neuron.module)
        maps = math.prod(self.found.shapes[id(neuron.module)][:dim])
        takes_steps = dim > 1 or id(neuron.new) in self.wrapped or row.maps != maps
        return row.is_flat and takes_steps

    def _row(self, i: int, source: str = "", note: str = "") -> GatedLayer:
        name, layer = self.layers[i]
        return GatedLayer(name, type_before_parametrizations(layer).__name__, source, note)
