"""Tracing of one run of a network: which layer computes what, with the spikes of which neurons.

A copy of the network runs on the meta device without values, which needs little memory or time.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import product
from types import FunctionType, ModuleType
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize
from torch.nn.utils.parametrize import ParametrizationList
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from torch.utils.weak import WeakIdKeyDictionary

from qsnn_plugins.cost.layers import SynapseKind, layer_kind
from qsnn_plugins.cost.neurons import (
    all_neurons,
    is_multi_step,
    listed_alone,
    neuron_states,
    reset_states,
    uncounted_neurons,
)
from qsnn_plugins.errors import ArgumentError, QSNNError
from qsnn_plugins.injection import limit_attentions
from qsnn_plugins.nn import ChannelGate, channel_gates, output_spikes
from qsnn_plugins.spec import QuantSpec

__all__ = ["StepMode", "Trace", "isolated_copy", "trace", "watched"]

StepMode = Literal["m", "s"]

_PACKAGES = ("qsnn_plugins", "torch", "snntorch", "spikingjelly")

_ATEN = torch.ops.aten
# multiply-accumulations that torch's own counter of flops leaves out
_MACS: dict[Any, Callable[..., int]] = {
    _ATEN.mv: lambda matrix, vector: matrix.numel(),
    _ATEN.addmv: lambda bias, matrix, vector, **scales: matrix.numel(),
    _ATEN.dot: lambda x, y: x.numel(),
    _ATEN._trilinear: lambda x, weight, y, *places: x.shape[:-1].numel() * weight.numel(),
}

# operations whose results hold nothing of their arguments but the shape
_FRESH = {
    *(_ATEN.empty_like, _ATEN.zeros_like, _ATEN.ones_like, _ATEN.full_like),
    *(_ATEN.new_empty, _ATEN.new_empty_strided, _ATEN.new_zeros, _ATEN.new_ones, _ATEN.new_full),
    *(_ATEN.rand_like, _ATEN.randn_like, _ATEN.randint_like, _ATEN.zero_),
}


class _Origin(NamedTuple):
    """What a tensor is made of: spikes of neurons, sums of synapses, the network's input."""

    neurons: frozenset[str] = frozenset()
    synapses: frozenset[str] = frozenset()
    is_input: bool = False

    @property
    def are_spikes(self) -> bool:
        """Whether it is of spikes alone."""
        return bool(self.neurons) and not self.synapses and not self.is_input

    def __or__(self, other: _Origin) -> _Origin:
        return _Origin(
            self.neurons | other.neurons,
            self.synapses | other.synapses,
            self.is_input or other.is_input,
        )


@dataclass
class TracedSynapse:
    """What a layer computed over the run."""

    kind: SynapseKind
    macs: int = 0
    pooled: int = 0
    takes: _Origin = field(default_factory=_Origin)
    feeds: list[str] = field(default_factory=list)


@dataclass
class TracedNeuron:
    """What a layer of neurons sent over the run, and how many values it stores of each.

    A layer that stands in several places of the network is called several times in a step.
    """

    outputs: int = 0
    calls: int = 0
    shape: tuple[int, ...] = ()  # of the last call
    is_multi_step: bool = False
    states: int = 1

    @property
    def steps(self) -> int:
        """How many steps ran, of a layer in one place."""
        return self.shape[0] if self.is_multi_step else self.calls

    @property
    def call_outputs(self) -> int:
        """Outputs of one step of the last call."""
        return torch.Size(self.shape[1:] if self.is_multi_step else self.shape).numel()

    def step_outputs(self, time_steps: int) -> int:
        """Outputs of one of so many steps in all places; of one call where it runs in fewer."""
        return max(self.call_outputs, self.outputs // time_steps)


@dataclass
class Trace:
    """Layers in the order in which they first ran, and the classes of what is not counted."""

    synapses: dict[str, TracedSynapse] = field(default_factory=dict)
    neurons: dict[str, TracedNeuron] = field(default_factory=dict)
    uncounted: dict[str, str] = field(default_factory=dict)


class _Tracer(TorchDispatchMode):
    """Attributes every product to the layer that is running, and follows what tensors are of."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.trace = Trace()
        self.neurons = all_neurons(network)
        self.layers = {
            name: module
            for name, module in network.named_modules()
            if layer_kind(module) is not None and not _makes_weight(name)
        }
        self.running: list[tuple[str, nn.Module]] = []
        # parametrizations that run: a chip stores the weight that their products make
        self.parametrizing = 0
        self.origins = WeakIdKeyDictionary()
        self.owners = WeakIdKeyDictionary()  # names of layers, by their weights and views of these
        for name, layer in self.layers.items():
            if not hasattr(layer, "parametrizations"):
                self.own(name, getattr(layer, "weight", None))

    def enter(self, name: str, module: nn.Module, args: tuple[Any, ...]) -> None:
        if _makes_weight(name):
            self.parametrizing += isinstance(module, ParametrizationList)
            return
        self.running.append((name, module))
        if name in self.neurons:
            for source in sorted(self.of(args).synapses):
                feeds = self.trace.synapses[source].feeds
                if name not in feeds:
                    feeds.append(name)

    def leave(self, name: str, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if _makes_weight(name):
            self.parametrizing -= isinstance(module, ParametrizationList)
            layer, is_its_weight, inside = name.partition(".parametrizations.weight")
            if layer in self.layers and is_its_weight and not inside:
                self.own(layer, output)
            return
        self.running.pop()
        if name not in self.neurons:
            return
        spikes = output_spikes(output)
        traced = self.trace.neurons.setdefault(name, TracedNeuron())
        traced.outputs += spikes.numel()
        traced.calls += 1
        traced.shape = tuple(spikes.shape)
        traced.is_multi_step = is_multi_step(self.neurons[name])
        self.origins[spikes] = _Origin(neurons=frozenset([name]))

    def of(self, values: Any) -> _Origin:
        """What the tensors among some arguments are of."""
        origin = _Origin()
        for value in torch.utils._pytree.tree_leaves(values):
            if isinstance(value, Tensor):
                origin |= self.origins.get(value, _Origin())
        return origin

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        macs = _macs(func._overloadpacket)
        if macs is None:
            with self:
                output = func.decompose(*args, **kwargs)
            if output is not NotImplemented:
                return output
        output = func(*args, **kwargs)
        is_fresh = func._overloadpacket in _FRESH
        origin = _Origin() if is_fresh else self.of((args, kwargs))
        if macs is not None and not self.parametrizing:
            is_bilinear = func._overloadpacket is _ATEN._trilinear
            origin = self._product(macs(output, *args, **kwargs), args, is_bilinear)
        owner = self._owner(args) if origin == _Origin() and not is_fresh else None
        for value in torch.utils._pytree.tree_leaves(output):
            if isinstance(value, Tensor):
                self.origins[value] = origin
                if func._schema.is_mutable and value._base is not None:  # as in x[0] = y
                    self.origins[value._base] = origin | self.of(value._base)
                if owner is not None:
                    self.owners[value] = owner
        return output

    def _product(self, macs: int, args: tuple[Any, ...], is_bilinear: bool) -> _Origin:
        factors = [self.of(value) for value in args if isinstance(value, Tensor)]
        name, kind = self._running_synapse(factors, self._owner(args))
        synapse = self.trace.synapses.setdefault(name, TracedSynapse(kind))
        synapse.macs += macs
        if isinstance(module := self.running[-1][1], ChannelGate):
            synapse.pooled += module.pooled * (macs // module.weight.numel())
        # one factor of spikes makes the whole product of two a sum
        spikes = [factor for factor in factors if factor.are_spikes and not is_bilinear]
        for factor in spikes or factors:
            synapse.takes |= factor
        return _Origin(synapses=frozenset([name]))

    def own(self, name: str, weight: Any) -> None:
        """Note whose weight a tensor is."""
        if isinstance(weight, Tensor):
            self.owners.setdefault(weight, name)

    def _owner(self, args: tuple[Any, ...]) -> str | None:
        """The layer whose weight is among some arguments."""
        found = (self.owners.get(value) for value in args if isinstance(value, Tensor))
        return next((name for name in found if name is not None), None)

    def _running_synapse(
        self, factors: list[_Origin], owner: str | None
    ) -> tuple[str, SynapseKind]:
        name, module = self.running[-1]
        if isinstance(module, ChannelGate):
            return name, "predictor"
        kind = layer_kind(module)
        if kind is None and owner is not None:  # a function was called with a layer's weight
            name, kind = owner, layer_kind(self.layers[owner])
        if kind is not None:
            return name, kind
        if _Origin() in factors:  # a factor that comes from nowhere is a weight
            return name, "linear"
        return f"{name} (product)", "product"


def _macs(operation: Any) -> Callable[..., int] | None:
    """What counts the multiply-accumulations of an operation by its output and its arguments."""
    if (own := _MACS.get(operation)) is not None:
        return lambda output, *args, **kwargs: own(*args, **kwargs)
    if (flops := flop_registry.get(operation)) is not None:
        return lambda output, *args, **kwargs: flops(*args, **kwargs, out_val=output) // 2
    return None


def trace(
    network: nn.Module,
    input_shape: tuple[int, ...],
    step_mode: StepMode = "m",
    spec: QuantSpec | None = None,
) -> Trace:
    """Run a copy of a network in float32 once, and return what its layers did.

    Args:
        network: Any network; it is left as it is.
        input_shape: [T, N, ...], or what the network takes where it counts steps by itself.
        step_mode: "m": the network takes all steps at once; "s": one after the other.
        spec: Whether attention matrices are limited, which decides what is multiplied first; None
            leaves that as it is.

    Raises:
        ArgumentError: If the network does not take an input of this shape, or cannot be copied.
    """
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        if is_lazy(tensor):
            allowed = f"one that has run once: {name} has no shape yet"
            raise ArgumentError("network", type(network).__name__, allowed)
    cause: Exception | None = None
    takes_tokens = any(isinstance(module, nn.Embedding) for module in network.modules())
    dtypes = (torch.float32, torch.int64) if takes_tokens else (torch.float32,)
    # some networks look at values, which meta tensors have not
    for dtype, device in product(dtypes, ("meta", "cpu")):
        try:
            copied = isolated_copy(network, device).float()
        except RuntimeError as error:
            allowed = f"one whose states were reset: it cannot be copied ({error})"
            raise ArgumentError("network", type(network).__name__, allowed) from error
        try:
            x = torch.zeros(input_shape, device=device, dtype=dtype)
            if spec is not None:
                limit_attentions(copied, spec.spike.bits if spec.spike.limit_sums else None)
            return _run(copied, x, step_mode)
        except QSNNError:
            raise
        except Exception as error:  # any network runs here: what it raises at a shape is its own
            cause = error
    reason = " ".join(str(cause).split())
    allowed = f"a shape that {type(network).__name__} takes ({reason})"
    if step_mode == "m" and not any(map(is_multi_step, all_neurons(network).values())):
        allowed += "; of a network that takes one step at a time, with step_mode='s'"
    raise ArgumentError("input_shape", tuple(input_shape), allowed) from cause


def isolated_copy(network: nn.Module, device: str) -> nn.Module:
    """Copy a network to a device; states that carry gradients are copied too.

    Forward hooks that are functions of the user's are left out, as are all closures.

    Args:
        network: Any network; it is left as it is.
        device: Where the copy is; "meta" copies no values.

    Example:
        >>> isolated_copy(nn.Linear(2, 1), "meta").weight.device
        device(type='meta')
    """
    memo: dict[int, Any] = {}
    for module in network.modules():
        for value in torch.utils._pytree.tree_leaves(vars(module)):
            if isinstance(value, ModuleType):  # which cannot be copied, and need not be
                memo[id(value)] = value
            elif isinstance(value, Tensor) and id(value) not in memo:
                memo[id(value)] = _copy_tensor(value, device)
    copied = copy.deepcopy(network, memo)
    for module in copied.modules():
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            for key in [key for key, hook in hooks.items() if _looks_on(hook)]:
                del hooks[key]
    return copied


def _looks_on(hook: Any) -> bool:
    """Whether a hook is a user's function, which may note down what it sees: no copy is made."""
    if not isinstance(hook, FunctionType):
        return False
    package = hook.__module__.partition(".")[0]
    return package not in _PACKAGES or bool(hook.__closure__)


def _copy_tensor(tensor: Tensor, device: str) -> Tensor:
    moved = tensor.detach().to(device).clone()
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(moved, requires_grad=tensor.requires_grad)
    return moved


def _run(network: nn.Module, x: Tensor, step_mode: StepMode) -> Trace:
    for gate in channel_gates(network).values():
        gate.skips = False  # every operation is counted
    reset_states(network)
    tracer = _Tracer(network)
    watching = watched(network.named_modules(), tracer)
    with torch.no_grad(), parametrize.cached(), listed_alone(network), watching, tracer:
        tracer.origins[x] = _Origin(is_input=True)
        with warnings.catch_warnings():  # a scale of evaluation matters to nobody here
            warnings.simplefilter("ignore")
            network.eval()
        for step in x.unbind() if step_mode == "s" else [x]:
            network(step)
    for name, traced in tracer.trace.neurons.items():
        traced.states = neuron_states(tracer.neurons[name], traced.call_outputs)
    uncounted = uncounted_neurons(network).items()
    tracer.trace.uncounted = {name: type(module).__name__ for name, module in uncounted}
    return tracer.trace


def _makes_weight(name: str) -> bool:
    return "parametrizations" in name.split(".")


@contextmanager
def watched(modules: Iterable[tuple[str, nn.Module]], tracer: Any) -> Iterator[None]:
    """Let a tracer `enter` and `leave` modules, by their names and all arguments, as they run."""
    with ExitStack() as stack:
        for name, module in modules:

            def enter(module: nn.Module, args: Any, kwargs: Any, name: str = name) -> None:
                tracer.enter(name, module, (*args, *kwargs.values()))

            def leave(
                module: nn.Module, args: Any, kwargs: Any, output: Any, name: str = name
            ) -> None:
                tracer.leave(name, module, (*args, *kwargs.values()), output)

            stack.callback(module.register_forward_pre_hook(enter, with_kwargs=True).remove)
            stack.callback(module.register_forward_hook(leave, with_kwargs=True).remove)
        yield
