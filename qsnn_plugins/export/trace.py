"""One run of a network that follows of which integers each of its tensors is made.

It sees the operators that torch runs, whoever calls them: the network may be anybody's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils.weak import WeakIdKeyDictionary

from qsnn_plugins.cost.neurons import all_neurons, is_multi_step, reset_states
from qsnn_plugins.errors import ExportError
from qsnn_plugins.export.builder import Builder, Charge, Grid
from qsnn_plugins.export.calls import Calls, first_of
from qsnn_plugins.export.firing import neuron
from qsnn_plugins.export.gates import product
from qsnn_plugins.export.nodes import Node
from qsnn_plugins.export.pooling import average_pool, max_pool, total
from qsnn_plugins.export.synapses import convolution, linear
from qsnn_plugins.export.values import Term, Value
from qsnn_plugins.nn import SumLimit, output_spikes
from qsnn_plugins.nn.weight import layer_quantizer

__all__ = ["SeveralSamplesError", "trace"]


class SeveralSamplesError(ExportError):
    """The example is not of one step of one sample."""


# What only moves or copies elements.
_MOVES = frozenset(
    [
        "view",
        "_unsafe_view",
        "reshape",
        "_reshape_copy",
        "permute",
        "transpose",
        "t",
        "squeeze",
        "unsqueeze",
        "expand",
        "clone",
        "alias",
        "detach",
        "select",
        "slice",
        "contiguous",
        "lift_fresh",
        "_to_copy",
        "flip",
        "narrow",
        "repeat",
        "roll",
        "index",
        "index_select",
    ]
)
# What depends on the shape of a tensor alone.
_CONSTANTS = ("zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones",
              "new_full", "new_empty", "new_empty_strided")  # fmt: skip
_RANDOM = ("rand_like", "randn_like", "randint_like", "bernoulli", "bernoulli_", "uniform_",
           "normal_", "poisson", "native_dropout", "multinomial")  # fmt: skip
# What to write in place of operators without a form.
_HELPS = {
    "softmax": ": leave it out, the greatest answer stays the same",
    "group_norm|layer_norm": ": batch normalization has one",
    "_pad": ": pad with zeros, by the same number on both sides, by a convolution's own `padding`",
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
    with torch.no_grad(), _watched(network, tracer), tracer:
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
        self.running: list[tuple[str, nn.Module]] = []
        self.values = WeakIdKeyDictionary()
        self.membranes = WeakIdKeyDictionary()  # and what is computed of them
        self.inside: str | None = None  # a neuron, whose steps are its own business

    def enter(self, name: str, module: nn.Module, args: tuple[Any, ...]) -> None:
        self.running.append((name, module))
        if isinstance(module, SumLimit):
            raise ExportError(
                f"{name} limits sums of spikes to {module.bits} bits, which has no form in "
                "integers here: export a network without `spike.limit_sums`"
            )
        if isinstance(module, nn.Linear) and self.takes_one_step and args and args[0].dim() > 2:
            raise SeveralSamplesError(f"{self.where} sees more than one sample or step")
        if name in self.neurons and self.inside is None:
            self.inside = name

    def leave(self, name: str, module: Any, args: tuple[Any, ...], output: Any) -> None:
        self.running.pop()
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
            raise ExportError(f"{name} takes what is not made of sums and spikes")
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

    @property
    def where(self) -> str:
        """What is running, for errors."""
        name, module = self.running[-1] if self.running else ("", None)
        return f"{name} ({type(module).__name__})" if name else "the network"

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.inside is not None:
            return func(*args, **kwargs)
        knows = self._knows((args, kwargs), self.values)
        if self._knows((args, kwargs), self.membranes):
            if knows:
                raise ExportError(f"{self.where} computes with a membrane beside sums and spikes")
            output = func(*args, **kwargs)
            if not isinstance(output, Tensor | tuple | list):
                raise ExportError(f"{self.where} decides by a membrane what it computes")
            leaves = torch.utils._pytree.tree_leaves(output)
            self.membranes.update({leaf: True for leaf in leaves if isinstance(leaf, Tensor)})
            return output
        if not knows:
            return func(*args, **kwargs)
        name = func._overloadpacket.__name__
        rule = _RULES.get(name)
        if rule is None:
            with self:
                output = func.decompose(*args, **kwargs)
            if output is not NotImplemented:
                return output
            helps = next((h for names, h in _HELPS.items() if re.search(names, name)), "")
            raise ExportError(
                f"{self.where} runs {name}, which has no form in integers here{helps}"
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
        place = 1 if rule is _Tracer._addmm else 0
        value = self.values.get(args[place]) if isinstance(args[place], Tensor) else None
        if rule not in _PER_SAMPLE or value is None or not value.is_repeated():
            return rule(self, func, args, kwargs, output)
        first = args[place][:1]
        self.values[first] = value.first()
        args = (*args[:place], first, *args[place + 1 :])
        found = rule(self, func, args, kwargs, torch.utils._pytree.tree_map(_first_row, output))
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
            raise ExportError("the network's answer is not made of its sums and spikes")
        return value

    def _of(self, x: Any) -> Value | Tensor | float:
        """The value of an operand, or the constant that it is."""
        if isinstance(x, Tensor):
            return self.values[x] if x in self.values else x.double()
        return float(x)

    def _constant(self, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        return None

    def _written(self, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        raise ExportError(
            f"{self.where} writes into a tensor ({func._overloadpacket.__name__}): collect the "
            "steps in a list and join them by torch.stack"
        )

    def _random(self, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        raise ExportError(
            f"{self.where} is random ({func._overloadpacket.__name__}): draw what it is shown, "
            "such as a Poisson code, before it is called"
        )

    # Moves

    def _move(self, func: Any, args: Any, kwargs: Any, output: Tensor) -> Value | None:
        value = self.values.get(args[0])
        if func._overloadpacket.__name__ == "_to_copy":
            if not output.dtype.is_floating_point:
                raise ExportError(f"{self.where} turns what it computes into {output.dtype}")
            return value
        return value and value.moved(lambda tensor: func(tensor, *args[1:], **kwargs))

    def _split(self, func: Any, args: Any, kwargs: Any, output: Any) -> list[Value]:
        value = self.values[args[0]]
        parts = [func(value.bias, *args[1:], **kwargs)]
        parts += [
            func(t, *args[1:], **kwargs) for term in value.terms for t in (term.scale, term.index)
        ]
        nodes = [term.node for term in value.terms]
        return [
            Value(
                tuple(
                    Term(n, parts[1 + 2 * k][i], parts[2 + 2 * k][i]) for k, n in enumerate(nodes)
                ),
                parts[0][i],
            )
            for i in range(len(output))
        ]

    def _cat(self, func: Any, args: Any, kwargs: Any, output: Tensor) -> Value:
        values = [value for x in args[0] if isinstance(value := self._of(x), Value)]
        if len(values) < len(args[0]):
            raise ExportError(f"{self.where} joins constants with what it computes")
        return self.builder.joined(self.where, values, lambda ts: func(ts, *args[1:], **kwargs))

    # Sums and factors

    def _add(self, func: Any, args: Any, kwargs: Any, output: Tensor) -> Value:
        alpha = kwargs.get("alpha", 1)
        return self._sum(args[0], args[1], 1.0, float(alpha))

    def _sub(self, func: Any, args: Any, kwargs: Any, output: Tensor) -> Value:
        return self._sum(args[0], args[1], 1.0, -float(kwargs.get("alpha", 1)))

    def _rsub(self, func: Any, args: Any, kwargs: Any, output: Tensor) -> Value:
        return self._sum(args[0], args[1], -1.0, 1.0)

    def _sum_of(self, x: Any, factor: float) -> Value:
        value = self._of(x)
        if isinstance(value, Value):
            return value if factor == 1 else value.times(factor)
        return Value((), torch.as_tensor(value, dtype=torch.float64) * factor)

    def _sum(self, a: Any, b: Any, of_a: float, of_b: float) -> Value:
        return self._sum_of(a, of_a).plus(self._sum_of(b, of_b))

    def _neg(self, func: Any, args: Any, kwargs: Any, output: Tensor) -> Value:
        return self.values[args[0]].times(-1.0)

    def _mul(self, func: Any, args: Any, kwargs: Any, output: Tensor) -> Value:
        a, b = self._of(args[0]), self._of(args[1])
        if isinstance(a, Value) and isinstance(b, Value):
            name = self.running[-1][0] if self.running else ""
            return product(self.builder, name or "network", self.where, a, b)
        value, factor = (a, b) if isinstance(a, Value) else (b, a)
        assert isinstance(value, Value)
        assert not isinstance(factor, Value)
        return value.times(factor)

    def _div(self, func: Any, args: Any, kwargs: Any, output: Tensor) -> Value:
        a, b = self._of(args[0]), self._of(args[1])
        if not isinstance(a, Value) or isinstance(b, Value) or kwargs.get("rounding_mode"):
            raise ExportError(f"{self.where} divides by what it computes")
        return a.times(1 / torch.as_tensor(b, dtype=torch.float64))

    def _native_batch_norm(self, func: Any, args: Any, kwargs: Any, output: Any) -> list[Any]:
        x, weight, bias, mean, var, training, _, eps = args
        if training:
            raise ExportError(f"{self.where} normalizes by its batch: call eval()")
        return [self._normalized(x, weight, bias, mean, var, eps), None, None]

    def _norm_no_training(self, func: Any, args: Any, kwargs: Any, output: Any) -> list[Any]:
        x, weight, bias, mean, var, _, eps = args
        return [self._normalized(x, weight, bias, mean, var, eps), None, None]

    def _normalized(self, x: Any, weight: Any, bias: Any, mean: Any, var: Any, eps: float) -> Value:
        value = self.values[x]
        shape = (-1, *(1,) * (x.dim() - 2))
        gain = 1 / (var.double() + eps).sqrt()
        if not gain.isfinite().all():
            raise ExportError(f"{self.where} has a variance that is not above 0")
        gain = gain if weight is None else gain * weight.double()
        shift = -mean.double() * gain
        shift = shift if bias is None else shift + bias.double()
        return value.times(gain.reshape(shape)).plus(shift.reshape(shape))

    # Products

    def _convolution(self, func: Any, args: Any, kwargs: Any, output: Tensor) -> Value:
        x, weight, bias, stride, padding, dilation, transposed, _, groups = args
        if transposed:
            raise ExportError(
                f"{self.where} is a transposed convolution: keep it out of what is exported"
            )
        codes, unit, quantizer = self._codes(weight)
        if math.prod(output.shape[: -weight.dim() + 1]) != 1:
            raise SeveralSamplesError(
                f"{self.where} sees several samples or steps of what has one: time goes first, "
                "[T, N, ...]"
            )
        geometry = tuple(stride), tuple(padding), tuple(dilation), groups
        value = self._operand(x)
        return convolution(
            self.builder,
            self.running[-1][0],
            value,
            codes,
            unit,
            quantizer,
            geometry,
            bias,
            output.shape,
        )

    def _mm(self, func: Any, args: Any, kwargs: Any, output: Tensor) -> Value:
        return self._linear_of(args[0], args[1].t(), None, output)

    def _addmm(self, func: Any, args: Any, kwargs: Any, output: Tensor) -> Value:
        bias, x, weight = args
        return self._linear_of(x, weight.t(), bias, output)

    def _linear(self, func: Any, args: Any, kwargs: Any, output: Tensor) -> Value:
        return self._linear_of(args[0], args[1], args[2] if len(args) > 2 else None, output)

    def _linear_of(self, x: Any, weight: Tensor, bias: Any, output: Tensor) -> Value:
        codes, unit, quantizer = self._codes(weight)
        if math.prod(x.shape[:-1]) != 1:
            raise SeveralSamplesError(
                f"{self.where} applies one matrix in several places, which is a "
                "convolution with a kernel of 1, or sees several samples"
            )
        name = self.running[-1][0]
        return linear(
            self.builder, name, self._operand(x), codes, unit, quantizer, bias, output.shape
        )

    def _operand(self, x: Tensor) -> Value:
        value = self._of(x)
        if not isinstance(value, Value):
            raise ExportError(f"{self.where} multiplies by what it computes")
        return value

    def _codes(self, weight: Tensor) -> tuple[Tensor, Tensor, Any]:
        name, layer = self.running[-1]
        quantizer = layer_quantizer(layer)
        if quantizer is None:
            raise ExportError(
                f"{self.where} has float weights: quantize them, by a preset or by "
                "WeightSpec(kind='uniform', bits=8)"
            )
        parametrizations: Any = layer.parametrizations
        codes, unit = quantizer.codes(parametrizations.weight.original.detach())
        if not torch.equal((codes * unit).to(weight.dtype), weight):
            raise ExportError(f"{name}: the weight that it used is not that of its codes")
        return codes, unit, quantizer

    # Pooling

    def _avg_pool(self, func: Any, args: Any, kwargs: Any, output: Tensor) -> Value:
        return average_pool(self.builder, self.where, self.values[args[0]], func, args[1:], kwargs)

    def _mean(self, func: Any, args: Any, kwargs: Any, output: Tensor) -> Value:
        dims = args[1] if len(args) > 1 and args[1] is not None else range(args[0].dim())
        keep = bool(args[2]) if len(args) > 2 else bool(kwargs.get("keepdim"))
        count = math.prod(args[0].shape[d] for d in dims)
        value = total(self.builder, self.where, self.values[args[0]], list(dims), keep)
        return value.times(1 / count)

    def _adaptive_avg_pool(self, func: Any, args: Any, kwargs: Any, output: Tensor) -> Value:
        x, size = args[0], list(args[1])
        if x.shape[-2:] == (1, 1):  # the one place is copied
            return self.values[x].moved(lambda tensor: tensor.expand(*tensor.shape[:-2], *size))
        if any(s % o for s, o in zip(x.shape[-2:], size, strict=True)):
            raise ExportError(f"{self.where} pools windows of different sizes")
        kernel = [s // o for s, o in zip(x.shape[-2:], size, strict=True)]
        pool = torch.ops.aten.avg_pool2d.default
        return average_pool(self.builder, self.where, self.values[x], pool, (kernel,), {})

    def _total(self, func: Any, args: Any, kwargs: Any, output: Tensor) -> Value:
        dims = args[1] if len(args) > 1 and args[1] is not None else range(args[0].dim())
        keep = bool(args[2]) if len(args) > 2 else bool(kwargs.get("keepdim"))
        return total(self.builder, self.where, self.values[args[0]], list(dims), keep)

    def _max_pool(self, func: Any, args: Any, kwargs: Any, output: Any) -> Any:
        value = max_pool(self.builder, self.where, self.values[args[0]], *args[1:])
        return [value, None] if isinstance(output, tuple) else value


def _first_row(tensor: Tensor) -> Tensor:
    return tensor[:1]


# Where the first dimension is of samples alone.
_PER_SAMPLE = frozenset(
    [
        _Tracer._convolution,
        _Tracer._mm,
        _Tracer._addmm,
        _Tracer._linear,
        _Tracer._avg_pool,
        _Tracer._adaptive_avg_pool,
        _Tracer._max_pool,
    ]
)

_RULES: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(_CONSTANTS, _Tracer._constant),
    **dict.fromkeys(_RANDOM, _Tracer._random),
    **dict.fromkeys(("copy_", "index_put_", "index_put", "index_copy_"), _Tracer._written),
    **dict.fromkeys(_MOVES, _Tracer._move),
    **dict.fromkeys(("split", "split_with_sizes", "unbind", "chunk"), _Tracer._split),
    **dict.fromkeys(("cat", "stack"), _Tracer._cat),
    **dict.fromkeys(("add", "add_"), _Tracer._add),
    **dict.fromkeys(("sub", "sub_"), _Tracer._sub),
    "rsub": _Tracer._rsub,
    "neg": _Tracer._neg,
    **dict.fromkeys(("mul", "mul_"), _Tracer._mul),
    **dict.fromkeys(("div", "div_"), _Tracer._div),
    "native_batch_norm": _Tracer._native_batch_norm,
    "_native_batch_norm_legit_no_training": _Tracer._norm_no_training,
    "convolution": _Tracer._convolution,
    "mm": _Tracer._mm,
    "addmm": _Tracer._addmm,
    "linear": _Tracer._linear,
    **dict.fromkeys(("avg_pool1d", "avg_pool2d", "avg_pool3d"), _Tracer._avg_pool),
    "_adaptive_avg_pool2d": _Tracer._adaptive_avg_pool,
    "mean": _Tracer._mean,
    "sum": _Tracer._total,
    **dict.fromkeys(("max_pool2d_with_indices", "max_pool3d_with_indices"), _Tracer._max_pool),
}


@contextmanager
def _watched(network: nn.Module, tracer: _Tracer) -> Iterator[None]:
    handles = []
    for name, module in network.named_modules():
        if "parametrizations" in name.split("."):
            continue

        def enter(module: nn.Module, args: Any, name: str = name) -> None:
            tracer.enter(name, module, args)

        def leave(module: nn.Module, args: Any, kwargs: Any, output: Any, name: str = name) -> None:
            tracer.leave(name, module, (*args, *kwargs.values()), output)

        handles.append(module.register_forward_pre_hook(enter))
        handles.append(module.register_forward_hook(leave, with_kwargs=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
