"""Tracing of one run of a network: how each tensor is computed from integers.

It sees all operators that torch runs, so it works for any network.
"""

from __future__ import annotations

import math
import re
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils.weak import WeakIdKeyDictionary

from qsnn_plugins.cost.neurons import all_neurons, is_multi_step, reset_states
from qsnn_plugins.cost.trace import watched
from qsnn_plugins.errors import ExportError
from qsnn_plugins.export.builder import Builder, Charge, Grid
from qsnn_plugins.export.calls import Calls, first_of
from qsnn_plugins.export.firing import neuron
from qsnn_plugins.export.nodes import Node
from qsnn_plugins.export.operators import PER_SAMPLE, RULES, Operators, SeveralSamplesError
from qsnn_plugins.export.values import Term, Value
from qsnn_plugins.nn import SumLimit, output_spikes

__all__ = ["trace"]

# What to write in place of operators without a form.
_HELPS = {
    "softmax": ": leave it out, the greatest answer stays the same",
    "group_norm|layer_norm": ": batch normalization has one",
    "_pad": ": pad with zeros or another constant",
    "^clamp|^(gt|ge|lt|le|eq|ne)(_|$)": (
        ": neurons alone limit and compare sums, and what codes the input, such as spikegen.rate, "
        "belongs before the network"
    ),
    "_local_scalar": ": it reads a value, by which it may compute otherwise in another step",
    "relu|gelu|silu|sigmoid|tanh|elu": ": put a neuron in its place",
}


def trace(
    network: nn.Module, x: Tensor, grid: Grid, calls: Calls
) -> tuple[list[Node], dict[str, Charge]]:
    """Follow a run of a network.

    Where a call runs several steps, all of them are shown the same, and followed as one.

    Args:
        network: At evaluation; its states are forgotten.
        x: Input of one sample, as the network takes it.
        grid: The integers of the input.
        calls: How the network is called.

    Returns:
        The nodes, inputs before what takes them, the output last; and what the sums of each neuron
        stand for.

    Raises:
        ExportError: If a part has no form in integers.
    """
    reset_states(network)
    tracer = _Tracer(network, Builder(x.dtype), calls)
    frame = x[0, 0] if calls.takes_steps else x[0]
    place = tracer.builder.input(tuple(frame.shape), grid)
    index = torch.arange(frame.numel()).reshape(frame.shape).expand(x.shape).contiguous()
    scale = torch.full(x.shape, grid.unit, dtype=torch.float64)
    tracer.values[x] = Value((Term(place, scale, index),), torch.zeros_like(scale))
    modules = ((n, m) for n, m in network.named_modules() if "parametrizations" not in n.split("."))
    with torch.no_grad(), watched(modules, tracer), tracer:
        value = tracer.answer(network(x))
    reset_states(network)
    return tracer.builder.finish(value, calls.steps or 1), tracer.builder.charges


class _Tracer(TorchDispatchMode):
    """Knows the value of each tensor, and lets the builder add what is computed."""

    def __init__(self, network: nn.Module, builder: Builder, calls: Calls) -> None:
        super().__init__()
        self.takes_one_step = not calls.takes_steps and calls.steps == 1
        self.builder = builder
        self.neurons = all_neurons(network)
        self.values = WeakIdKeyDictionary()
        self.ops = Operators(builder, self.values)
        self.membranes = WeakIdKeyDictionary()  # and what is computed of them
        self.inside: str | None = None  # a neuron, whose steps are its own business

    def enter(self, name: str, module: nn.Module, args: tuple[Any, ...]) -> None:
        self.ops.running.append((name, module))
        if isinstance(module, SumLimit):
            raise ExportError(
                f"{name} limits sums of spikes to {module.bits} bits, which has no form in "
                "integers here: export a network without `spike.limit_sums`"
            )
        if isinstance(module, nn.Linear) and self.takes_one_step and args and args[0].dim() > 2:
            raise SeveralSamplesError(f"{self.ops.where} sees more than one sample or step")
        if name in self.neurons and self.inside is None:
            self.inside = name

    def leave(self, name: str, module: Any, args: tuple[Any, ...], output: Any) -> None:
        self.ops.running.pop()
        if self.inside != name:
            return
        self.inside = None
        if not hasattr(module, "quant_spec"):
            raise ExportError(
                f"{name} ({type(module).__name__}) stores float membranes: `inject` "
                "puts a quantized neuron in its place"
            )
        value, spikes = self.values.get(args[0]), output_spikes(output)
        if value is None:
            raise ExportError(f"{name} has an input that is not computed from sums and spikes")
        leading = 2 if is_multi_step(module) else 1
        states = [*output[1:]] if isinstance(output, tuple | list) else []
        states += [getattr(module, name, None) for name in ("v", "v_seq", "mem")]
        self.membranes.update({state: True for state in states if isinstance(state, Tensor)})
        with _disable_current_modes():  # a hook runs inside of this one
            count = len(spikes) if value.is_repeated() else 1
            if math.prod(spikes.shape[:leading]) != count:
                raise SeveralSamplesError(
                    f"{name} sees more than one sample or step of the example"
                )
            first = neuron(self.builder, name, module, value.first(), leading)
            self.values[spikes] = first.repeated(count)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.inside is not None:
            return func(*args, **kwargs)
        knows = self._knows((args, kwargs), self.values)
        if self._knows((args, kwargs), self.membranes):
            if knows:
                raise ExportError(
                    f"{self.ops.where} computes with a membrane and not only with sums and spikes"
                )
            output = func(*args, **kwargs)
            if not isinstance(output, Tensor | tuple | list):
                raise ExportError(f"{self.ops.where} has control flow that depends on a membrane")
            leaves = torch.utils._pytree.tree_leaves(output)
            self.membranes.update({leaf: True for leaf in leaves if isinstance(leaf, Tensor)})
            return output
        if not knows:
            return func(*args, **kwargs)
        name = func._overloadpacket.__name__
        rule = RULES.get(name)
        if rule is None:
            with self:
                output = func.decompose(*args, **kwargs)
            if output is not NotImplemented:
                return output
            helps = next((h for names, h in _HELPS.items() if re.search(names, name)), "")
            raise ExportError(
                f"{self.ops.where} runs {name}, which has no form in integers here{helps}"
            )
        output = func(*args, **kwargs)
        found = self._follow(rule, func, args, kwargs, output)
        if isinstance(output, tuple | list):
            for tensor, value in zip(output, found, strict=False):
                if value is not None:
                    self.values[tensor] = value
        elif found is not None:
            self.values[output] = found
        return output

    def _follow(self, rule: Any, func: Any, args: Any, kwargs: Any, output: Any) -> Any:
        """Apply a rule, of steps that are alike along the first dimension to the first of them."""
        place = 1 if rule is Operators._addmm else 0
        value = self.values.get(args[place]) if isinstance(args[place], Tensor) else None
        if rule not in PER_SAMPLE or value is None or not value.is_repeated():
            return rule(self.ops, func, args, kwargs, output)
        first = args[place][:1]
        self.values[first] = value.first()
        args = (*args[:place], first, *args[place + 1 :])
        found = rule(self.ops, func, args, kwargs, torch.utils._pytree.tree_map(_first_row, output))
        count = len(value.bias)
        if isinstance(found, list):
            return [each and each.repeated(count) for each in found]
        return found.repeated(count)

    @staticmethod
    def _knows(arguments: Any, tensors: WeakIdKeyDictionary) -> bool:
        leaves = torch.utils._pytree.tree_leaves(arguments)
        return any(isinstance(leaf, Tensor) and leaf in tensors for leaf in leaves)

    def answer(self, output: Any) -> Value:
        """Return the value of what a network answers: of several things the first."""
        output = first_of(output)
        if output in self.membranes:
            raise ExportError(
                "the network answers with a membrane: let it answer with spikes or "
                "with what a layer computes"
            )
        value = self.values.get(output)
        if value is None:
            raise ExportError("the answer of the network is not computed from sums and spikes")
        return value


def _first_row(tensor: Tensor) -> Tensor:
    return tensor[:1]
