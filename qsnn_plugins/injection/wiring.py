"""Which layers charge which neurons, and whose spikes they take: seen on one run of a copy."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain, product
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from qsnn_plugins.injection.neurons import Neuron, copy_of, first_tensor, run_copy
from qsnn_plugins.nn import weight_layers
from qsnn_plugins.nn.monitor import output_spikes

__all__ = ["Layer", "Wiring", "wiring"]

_CHANNELWISE = nn.modules.batchnorm._NormBase  # they treat each channel by itself
_NORMS = (_CHANNELWISE, nn.GroupNorm, nn.LayerNorm)
# Modules by their ids, in groups: those of one group are added, and groups are concatenated.
Groups: TypeAlias = tuple[frozenset[int], ...]
_MOST_GROUPS = 64
_APART = 4096.0  # far above what spikes differ by
# nodes of the graph of gradients that leave each channel where it is
_KEEP_CHANNELS = ("View", "UnsafeView", "ReshapeAlias", "AvgPool", "MaxPool", "Adaptive")


@dataclass
class Layer:
    """What a layer with weights does in a run.

    Args:
        sources: Neurons whose spikes it takes, by the ids of their modules, and how often each ran
            before it: of those that are added the deepest, and of equally deep ones the one that
            fired last; several where spikes are concatenated.
        shapes: What these neurons took when it took theirs; a shared one takes several.
        charges: Neurons whose input it makes, alone or as a term of a sum.
        norm: The normalization of its output, where that treats channels by themselves and nothing
            else takes the output; None otherwise.
        why_early: Why a mask cannot stand behind the normalization that follows, if one does.
        maps: How many maps it last took at once.
        is_flat: Whether these stood in one dimension, as [N, ...] or with steps folded into it.
        is_reused: Whether it took other neurons' spikes at another time.
        is_permuted: Whether its maps came in another order than its sources made them.
    """

    sources: dict[int, int] = field(default_factory=dict)
    shapes: dict[int, tuple[int, ...]] = field(default_factory=dict)
    charges: list[int] = field(default_factory=list)
    norm: nn.Module | None = None
    why_early: str = ""
    maps: int = 0
    is_flat: bool = True
    is_reused: bool = False
    is_permuted: bool = False


@dataclass
class Wiring:
    """Layers by the ids of their modules, and of each neuron its last input and its depth.

    Args:
        layers: In the order in which they first ran.
        shapes: Of the inputs of neurons.
        depths: How many neurons stand before each other, up to a neuron.
        sums: Layers and neurons whose outputs are added before a neuron, in sets.
    """

    layers: dict[int, Layer] = field(default_factory=dict)
    shapes: dict[int, tuple[int, ...]] = field(default_factory=dict)
    depths: dict[int, int] = field(default_factory=dict)
    sums: dict[int, set[frozenset[int]]] = field(default_factory=dict)


def wiring(network: nn.Module, neurons: Iterable[Neuron], example_input: Any) -> Wiring:
    """Run a copy of a network once, and follow its graph of gradients from neurons to layers.

    Raises:
        ArgumentError: If there is no input or the network does not take it, or cannot be copied.

    Example:
        >>> from spikingjelly.activation_based.neuron import LIFNode
        >>> from qsnn_plugins.injection.hosts import find_hosts
        >>> from qsnn_plugins.injection.neurons import find_neurons
        >>> network = nn.Sequential(nn.Conv2d(1, 2, 3), LIFNode(), nn.Conv2d(2, 4, 3), LIFNode())
        >>> neurons = find_neurons(network, find_hosts(network))
        >>> found = wiring(network, neurons, torch.rand(1, 1, 8, 8)).layers[id(network[2])]
        >>> list(found.sources) == [id(network[1])], found.charges == [id(network[3])]
        (True, True)
    """
    twin, originals = copy_of(network, example_input)
    run = _Run(Wiring())
    spiking = {id(neuron.module): neuron.host.channel_dim(neuron.module) for neuron in neurons}
    weighted = {id(layer) for layer in weight_layers(network).values()}
    for copied in twin.modules():
        original = originals[id(copied)]
        if id(original) in spiking:
            run.watch(copied, original, "neuron", spiking[id(original)])
        elif id(original) in weighted:
            run.watch(copied, original, "layer")
        elif isinstance(original, _NORMS):
            run.watch(copied, original, "norm")
    for parameter in twin.parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_()
    with torch.enable_grad():
        outputs = run_copy(twin, example_input)
    run.close(outputs)
    return run.found


class _Run:
    """Follows tensors back to what made them, while a network runs."""

    def __init__(self, found: Wiring) -> None:
        self.found = found
        self.makers: dict[Any, tuple[str, nn.Module]] = {}  # of a node of the graph of gradients
        self.inputs: dict[int, Groups] = {}  # neurons and layers before any of them
        self.kinds: dict[int, str] = {}
        self.fired: dict[int, int] = {}
        self.runs: dict[int, int] = {}  # of a neuron, until a layer takes its spikes
        self.taken: set[int] = set()
        self.feeding: dict[int, set[int]] = {}  # all neurons before a layer, when it first ran
        self.normed: dict[int, set[int]] = {}  # layers whose outputs a normalization took
        # what took a layer's output: normalizations whose mask may stand for its own, and others
        self.takers: dict[int, dict[int, nn.Module | None]] = {}
        self.clock = 0

    def watch(
        self, copied: nn.Module, original: nn.Module, kind: str, channel_dim: int = 0
    ) -> None:
        self.kinds[id(original)] = kind

        def enter(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            if (x := first_tensor(inputs, named)) is not None:
                getattr(self, f"enter_{kind}")(original, x)

        def leave(_: nn.Module, inputs: Any, output: Any) -> Any:
            self.clock += 1
            self.fired[id(original)] = self.clock
            if kind == "neuron":
                output = self.numbered(original, output, channel_dim)
            for value in torch.utils._pytree.tree_leaves(output):
                if isinstance(value, Tensor) and value.grad_fn is not None:
                    self.makers[value.grad_fn] = kind, original
                    if value._base is not None:  # what is left of a view that is changed in place
                        self.makers.setdefault(value._base.grad_fn, (kind, original))
            return output

        copied.register_forward_pre_hook(enter, with_kwargs=True)
        copied.register_forward_hook(leave)

    def numbered(self, neuron: nn.Module, output: Any, channel_dim: int) -> Any:
        """Add to a neuron's spikes the number of their map, by which a layer sees its order."""
        spikes, shape = output_spikes(output), self.found.shapes[id(neuron)]
        leading = shape[:channel_dim]
        if spikes.shape[:channel_dim] != leading or not spikes.is_floating_point():
            return output
        maps = math.prod(leading)
        first = (self.runs[id(neuron)] - 1) * maps
        numbers = torch.arange(first, first + maps, dtype=spikes.dtype, device=spikes.device)
        spikes = spikes + _APART * numbers.reshape(*leading, *(1,) * (spikes.dim() - channel_dim))
        return (spikes, *output[1:]) if isinstance(output, tuple) else spikes

    def behind(self, x: Tensor) -> list[tuple[str, nn.Module]]:
        """What made a tensor, by the nearest makers behind it."""
        found: dict[int, tuple[str, nn.Module]] = {}
        nodes = [] if x.grad_fn is None else [x.grad_fn]
        seen = set(nodes)
        while nodes:
            node = nodes.pop()
            if node in self.makers:
                found[id(self.makers[node][1])] = self.makers[node]
                continue
            for before, _ in node.next_functions:
                if before is not None and before not in seen:
                    seen.add(before)
                    nodes.append(before)
        return list(found.values())

    def groups(self, x: Tensor) -> Groups:
        """Return the neurons and layers nearest behind a tensor, normalizations apart."""
        found: dict[Any, Groups] = {}
        nodes = [] if x.grad_fn is None else [x.grad_fn]
        while nodes:
            node = nodes[-1]
            before = [] if node in self.makers else [n for n, _ in node.next_functions if n]
            if missing := [n for n in before if n not in found]:
                nodes += missing
                continue
            if node in self.makers:
                kind, module = self.makers[node]
                itself = (frozenset([id(module)]),)
                found[node] = self.inputs.get(id(module), itself) if kind == "norm" else itself
            else:
                found[node] = _join([found[n] for n in before], node.name())
            nodes.pop()
        return found.get(x.grad_fn, (frozenset(),))

    def enter_norm(self, norm: nn.Module, x: Tensor) -> None:
        self._take(norm, x, norm if isinstance(norm, _CHANNELWISE) else None)

    def close(self, outputs: Any) -> None:
        """Say which normalizations may be masked in place of the layers before them."""
        for value in torch.utils._pytree.tree_leaves(outputs):
            if isinstance(value, Tensor):
                self._take(self, value)
        for i, takers in self.takers.items():
            norms = [taker for taker in takers if self.kinds.get(taker) == "norm"]
            if len(takers) > 1:
                why = "something else takes the output too"
            elif norms and len(self.normed[norms[0]]) > 1:
                why = "it takes other outputs too"
            elif norms and takers[norms[0]] is None:
                why = "it may mix channels"
            else:
                why = ""
            row = self.found.layers[i]
            row.norm = None if why or not norms else takers[norms[0]]
            row.why_early = why if norms else ""

    def _take(self, taker: object, x: Tensor, norm: nn.Module | None = None) -> None:
        """Note whose outputs a module takes."""
        self.inputs[id(taker)] = self.groups(x)
        for kind, layer in self.behind(x):
            if kind == "layer":
                self.normed.setdefault(id(taker), set()).add(id(layer))
                stands = norm is not None and self._is_normed_alone(layer, x)
                self.takers.setdefault(id(layer), {})[id(taker)] = norm if stands else None

    def _is_normed_alone(self, layer: Any, x: Tensor) -> bool:
        """Whether x is a layer's output, its channels where they were."""
        node: Any = x.grad_fn
        while node not in self.makers:
            if not node.name().startswith(_KEEP_CHANNELS):
                return False
            node = node.next_functions[0][0]
        dims = len(getattr(layer, "kernel_size", ()))
        return x.dim() > dims + 1 and x.shape[-1 - dims] == getattr(layer, "out_channels", None)

    def enter_layer(self, layer: nn.Module, x: Tensor) -> None:
        self._take(layer, x)
        depths, fired = self.found.depths, self.fired
        row = self.found.layers.setdefault(id(layer), Layer())
        feeding = [self._neurons(group) for group in self.inputs[id(layer)]]
        deepest = [max(n, key=lambda i: (depths[i], fired[i])) for n in feeding if n]
        row.sources = {i: self.runs[i] for i in deepest}
        row.shapes = {i: self.found.shapes[i] for i in deepest}
        leading = x.shape[: -1 - len(getattr(layer, "kernel_size", ()))]
        row.maps, row.is_flat = math.prod(leading), len(leading) < 2
        row.is_permuted |= bool(row.sources) and _is_permuted(x, row.maps)
        every = set().union(*feeding)
        row.is_reused |= self.feeding.setdefault(id(layer), every) != every
        self.taken |= every

    def enter_neuron(self, neuron: nn.Module, x: Tensor) -> None:
        self.found.shapes[id(neuron)] = tuple(x.shape)
        before = 0 if id(neuron) in self.taken else self.runs.get(id(neuron), 0)
        self.runs[id(neuron)] = before + 1
        self.taken.discard(id(neuron))
        self._take(neuron, x)
        depths = self.found.depths
        groups = self.inputs[id(neuron)]
        behind = max((depths[i] for i in self._neurons(chain(*groups))), default=0)
        depths.setdefault(id(neuron), behind + 1)
        for group in groups:
            self.found.sums.setdefault(id(neuron), set()).add(group)
            for i in group & self.found.layers.keys():
                charges = self.found.layers[i].charges
                if id(neuron) not in charges:
                    charges.append(id(neuron))

    def _neurons(self, modules: Iterable[int]) -> set[int]:
        """Return the neurons among modules, and those before its layers."""
        pending, seen = list(modules), set[int]()
        while pending:
            i = pending.pop()
            if i not in seen:
                seen.add(i)
                pending += () if i in self.found.depths else chain(*self.inputs.get(i, ()))
        return seen & self.found.depths.keys()


def _is_permuted(x: Tensor, maps: int) -> bool:
    """Whether maps that are numbered stand in another order; not where the numbers are lost."""
    if maps < 2 or x.numel() % maps or x.is_meta:
        return False
    means = x.detach().reshape(maps, -1).double().mean(1)
    in_order = means.sort().values
    # pooling that pads with zeros brings them nearer to each other
    is_numbered = bool((in_order.diff() > _APART / 8).all())
    return is_numbered and not torch.equal(in_order, means)


def _join(parts: list[Groups], node: str) -> Groups:
    """Join what is behind a node of the graph: beside each other, or else as a sum."""
    if node.startswith("CatBackward"):
        return tuple(dict.fromkeys(chain(*parts)))
    if math.prod(map(len, parts)) > _MOST_GROUPS:
        return (frozenset(chain(*chain(*parts))),)
    return tuple(dict.fromkeys(frozenset(chain(*groups)) for groups in product(*parts)))
