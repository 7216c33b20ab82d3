"""The reference under torch.compile, for what a GPU's kernel does not cover; see `fallback`."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from qsnn_plugins.nn import Cell
from qsnn_plugins.ops.quantized_lif import reference
from qsnn_plugins.ops.quantized_lif.backends import warn_once
from qsnn_plugins.ops.quantized_lif.parameters import Parameters

__all__ = ["failed", "quantized_lif"]

failed: set[tuple] = set()  # kinds that torch could not compile


def quantized_lif(
    x_seq: Tensor, v: Tensor, threshold: Tensor, parameters: Parameters, *tensors: Any, **more: Any
) -> tuple[Tensor, ...]:
    """Return what `reference.quantized_lif` does, whose arguments it takes, up to rounding.

    Each kind of neuron is compiled once, and once more for all other shapes. What torch cannot
    compile runs on the reference, and the log says once why.
    """
    call: Any = partial(reference.quantized_lif, x_seq, v, threshold, parameters, *tensors, **more)
    kind = parameters.variant(), *parameters.numbers(), x_seq.dtype, x_seq.dim(), len(x_seq)
    if kind not in failed:
        try:
            return call(run=_compiled(*kind))
        except RuntimeError as error:
            if not isinstance(error, torch._dynamo.exc.TorchDynamoException):
                raise
            first = str(error).strip().partition("\n")[0]
            warn_once("cupy", f"torch cannot compile it: {type(error).__name__}: {first}")
            failed.add(kind)
    return call()


@lru_cache(maxsize=256)
def _compiled(*_: Any) -> Callable[..., tuple[Tensor, Tensor]]:
    """Return the steps of a kind of neuron, compiled.

    torch counts how often it compiles a code object, and gives up at eight: each kind has its own.
    """
    own = FunctionType(Cell.run.__code__.replace(), Cell.run.__globals__)
    return torch.compile(own)
