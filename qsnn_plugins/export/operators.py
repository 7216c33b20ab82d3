"""What each operator of torch makes of values in integers."""

from __future__ import annotations

import math
from collections.abc import Callable, MutableMapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import type_before_parametrizations

from qsnn_plugins.errors import ExportError
from qsnn_plugins.export.builder import Builder
from qsnn_plugins.export.gates import either, product
from qsnn_plugins.export.pooling import average_pool, max_pool, padded, total
from qsnn_plugins.export.synapses import convolution, linear
from qsnn_plugins.export.values import Term, Value
from qsnn_plugins.nn.weight import layer_quantizer

__all__ = ["PER_SAMPLE", "RULES", "Operators", "SeveralSamplesError"]


class SeveralSamplesError(ExportError):
    """The example is not of one step of one sample."""


# What only moves or copies elements.
_MOVES = ("view", "_unsafe_view", "reshape", "_reshape_copy", "permute", "transpose", "t",
          "squeeze", "unsqueeze", "expand", "clone", "alias", "detach", "select", "slice",
          "contiguous", "lift_fresh", "_to_copy", "flip", "narrow", "repeat", "roll", "index",
          "index_select")  # fmt: skip
# What copies places of maps.
_COPIES = ("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d",
           "_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d",
           "pixel_shuffle", "pixel_unshuffle", "channel_shuffle")  # fmt: skip
# What depends on the shape of a tensor alone.
_CONSTANTS = ("zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones",
              "new_full", "new_empty", "new_empty_strided")  # fmt: skip
_RANDOM = ("rand_like", "randn_like", "randint_like", "bernoulli", "bernoulli_", "uniform_",
           "normal_", "poisson", "native_dropout", "multinomial")  # fmt: skip


class Operators:
    """Rules of operators: from what torch called and what it gave to the value of the output.

    Args:
        builder: The nodes so far.
        values: The value of each tensor.
    """

    def __init__(self, builder: Builder, values: MutableMapping[Any, Value]) -> None:
        self.builder, self.values = builder, values
        self.running: list[tuple[str, nn.Module]] = []

    @property
    def where(self) -> str:
        """What is running, for errors."""
        name, module = self.running[-1] if self.running else ("", None)
        if module is None or not name:
            return "the network"
        return f"{name} ({type_before_parametrizations(module).__name__})"

    @property
    def _name(self) -> str:
        return (self.running[-1][0] if self.running else "") or "network"

    def _of(self, x: Any) -> Value | Tensor | float:
        """The value of an operand, or the constant that it is."""
        if isinstance(x, Tensor):
            return self.values[x] if x in self.values else x.double()
        return float(x)

    def _constant(self, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        return None

    def _written(self, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        module = self.running[-1][1] if self.running else None
        if getattr(module, "padding_mode", "zeros") == "circular":
            raise ExportError(
                f"{self.where} pads its input circularly, which has no form in integers here: pad "
                "with zeros or another constant"
            )
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
                raise ExportError(f"{self.where} converts its values to {output.dtype}")
            return value
        return value and value.moved(lambda tensor: func(tensor, *args[1:], **kwargs))

    def _copied(self, func: Any, args: Any, kwargs: Any, output: Tensor) -> Value:
        """Apply what copies whole places, and is there for floats alone."""
        return self.values[args[0]].moved(
            lambda tensor: func(tensor.double(), *args[1:], **kwargs).to(tensor.dtype)
        )

    def _pad(self, func: Any, args: Any, kwargs: Any, output: Tensor) -> Value:
        constant = float(args[2]) if len(args) > 2 else 0.0
        return padded(self.builder, self.where, self.values[args[0]], args[1], constant)

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
            raise ExportError(f"{self.where} concatenates constants and computed values")
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
            return product(self.builder, self._name, self.where, a, b)
        value, factor = (a, b) if isinstance(a, Value) else (b, a)
        assert isinstance(value, Value)
        assert not isinstance(factor, Value)
        return value.times(factor)

    def _either(self, func: Any, args: Any, kwargs: Any, output: Tensor) -> Value:
        a, b = self._of(args[0]), self._of(args[1])
        if not (isinstance(a, Value) and isinstance(b, Value)):
            raise ExportError(
                f"{self.where} takes the greater of what it computes and a constant, or joins them"
            )
        is_logical = func._overloadpacket.__name__ == "logical_or"
        return either(self.builder, self._name, self.where, a, b, is_logical)

    def _div(self, func: Any, args: Any, kwargs: Any, output: Tensor) -> Value:
        a, b = self._of(args[0]), self._of(args[1])
        if not isinstance(a, Value) or isinstance(b, Value) or kwargs.get("rounding_mode"):
            raise ExportError(f"{self.where} divides by a computed value")
        return a.times(1 / torch.as_tensor(b, dtype=torch.float64))

    def _native_batch_norm(self, func: Any, args: Any, kwargs: Any, output: Any) -> list[Any]:
        x, weight, bias, mean, var, training, _, eps = args
        if mean is None:
            raise ExportError(
                f"{self.where} has no running statistics, so each batch has scales of its own: "
                "train it with track_running_stats=True"
            )
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
                f"{self.where} is a transposed convolution: leave it out of the exported network"
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

    def _bmm(self, func: Any, args: Any, kwargs: Any, output: Tensor) -> Value:
        x, weight = args
        if x not in self.values or weight in self.values or not _is_one(weight):
            raise ExportError(
                f"{self.where} multiplies by a computed matrix, or by another one in each step or "
                "sample, such as attention, which has no form in integers here"
            )
        return self._linear_of(x, weight[0].t(), None, output)

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
            raise ExportError(f"{self.where} multiplies by a computed value")
        return value

    def _codes(self, weight: Tensor) -> tuple[Tensor, Tensor, Any]:
        name, layer = self.running[-1]
        quantizer = layer_quantizer(layer)
        if quantizer is None and not hasattr(layer, "weight"):
            raise ExportError(
                f"{self.where} multiplies by a weight in a function of its own: call the layer "
                "that has the weight"
            )
        if quantizer is None:
            raise ExportError(
                f"{self.where} has float weights: quantize them, by a preset or by "
                "WeightSpec(kind='uniform', bits=8)"
            )
        parametrizations: Any = layer.parametrizations
        codes, unit = quantizer.codes(parametrizations.weight.original.detach())
        if not torch.equal((codes * unit).to(weight.dtype), weight):
            raise ExportError(f"{name}: the weight that it used is not that of its codes")
        return codes, torch.as_tensor(unit), quantizer  # a user's own may give a number

    # Pooling

    def _avg_pool(self, func: Any, args: Any, kwargs: Any, output: Tensor) -> Value:
        return average_pool(self.builder, self.where, self.values[args[0]], func, args[1:], kwargs)

    def _mean(self, func: Any, args: Any, kwargs: Any, output: Tensor) -> Value:
        count = args[0].numel() // output.numel()
        return self._total(func, args, kwargs, output).times(1 / count)

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


def _is_one(matrices: Tensor) -> bool:
    return torch.equal(matrices, matrices[:1].expand_as(matrices))


# Where the first dimension is of samples alone.
PER_SAMPLE = frozenset(
    [
        Operators._convolution,
        Operators._mm,
        Operators._addmm,
        Operators._bmm,
        Operators._linear,
        Operators._avg_pool,
        Operators._adaptive_avg_pool,
        Operators._max_pool,
        Operators._pad,
        Operators._copied,
    ]
)

RULES: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(_CONSTANTS, Operators._constant),
    **dict.fromkeys(_RANDOM, Operators._random),
    **dict.fromkeys(("copy_", "index_put_", "index_put", "index_copy_"), Operators._written),
    **dict.fromkeys(_MOVES, Operators._move),
    **dict.fromkeys(("split", "split_with_sizes", "unbind", "chunk"), Operators._split),
    **dict.fromkeys(("cat", "stack"), Operators._cat),
    **dict.fromkeys(("add", "add_"), Operators._add),
    **dict.fromkeys(("sub", "sub_"), Operators._sub),
    "rsub": Operators._rsub,
    "neg": Operators._neg,
    **dict.fromkeys(("mul", "mul_"), Operators._mul),
    **dict.fromkeys(("div", "div_"), Operators._div),
    **dict.fromkeys(("maximum", "logical_or"), Operators._either),
    "constant_pad_nd": Operators._pad,
    **dict.fromkeys(_COPIES, Operators._copied),
    "native_batch_norm": Operators._native_batch_norm,
    "_native_batch_norm_legit_no_training": Operators._norm_no_training,
    "convolution": Operators._convolution,
    "mm": Operators._mm,
    "addmm": Operators._addmm,
    "bmm": Operators._bmm,
    "linear": Operators._linear,
    **dict.fromkeys(("avg_pool1d", "avg_pool2d", "avg_pool3d"), Operators._avg_pool),
    "_adaptive_avg_pool2d": Operators._adaptive_avg_pool,
    "mean": Operators._mean,
    "sum": Operators._total,
    **dict.fromkeys(("max_pool2d_with_indices", "max_pool3d_with_indices"), Operators._max_pool),
}
