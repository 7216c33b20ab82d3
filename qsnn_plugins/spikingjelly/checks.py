"""What the neurons refuse to run on, each in one sentence."""

from __future__ import annotations

import math
import numbers
from typing import Any

import torch
from torch import Tensor, fx

from qsnn_plugins.errors import ArgumentError, QSNNError
from qsnn_plugins.nn import refuse_jit

__all__ = ["check_above", "check_input", "check_surrogate", "check_v_reset", "float_input"]


def _is_number(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1 and value.dtype != torch.bool
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def check_above(argument: str, value: Any, bound: float) -> None:
    """Raise an error if a value is not a number above a bound; infinity is one."""
    if not _is_number(value) or not value > bound:
        raise ArgumentError(argument, value, f"a number above {bound}")


def check_v_reset(v_reset: Any) -> None:
    """Raise an error if a membrane after a spike is neither a finite number nor None."""
    is_finite = v_reset is None or (_is_number(v_reset) and math.isfinite(v_reset))
    if not is_finite:
        raise ArgumentError("v_reset", v_reset, "a finite number, or None for the soft reset")


def check_surrogate(surrogate_function: Any) -> None:
    """Raise an error if a surrogate cannot be called; its class is none yet."""
    if surrogate_function is None:
        return
    if isinstance(surrogate_function, type) or not callable(surrogate_function):
        allowed = "a surrogate of SpikingJelly, such as surrogate.ATan(), or None"
        raise ArgumentError("surrogate_function", surrogate_function, allowed)


def float_input(x: Tensor) -> Tensor:
    """Return integers and truth values as floats, as the host takes them; others unchanged."""
    is_traced = isinstance(x, fx.Proxy)  # which `check_input` refuses
    return x if is_traced or x.is_floating_point() else x.to(torch.get_default_dtype())


def check_input(neuron: Any, x: Tensor, v: Tensor | float, step_mode: str) -> None:
    """Raise an error if an input cannot be right.

    Args:
        neuron: A `QuantNode`.
        x: Its input.
        v: Its state: the membrane, or the number that it starts from.
        step_mode: "s" or "m".

    Raises:
        ArgumentError: If the input has the wrong dimensions, channels or device.
        QSNNError: If the neuron is traced symbolically, or by torch.jit.
    """
    if isinstance(x, fx.Proxy):  # NIR export, among others, takes modules apart so
        raise QSNNError(
            f"{type(neuron).__name__} cannot be traced symbolically: an export would lose its "
            "quantization silently; qsnn_plugins.export.to_integer keeps it, and "
            "eject(network, baked=True) restores the host's neurons if you want that"
        )
    refuse_jit(neuron)
    shape, steps = tuple(x.shape), 1 if step_mode == "m" else 0
    if steps and (x.dim() < 2 or x.shape[0] < 1):
        allowed = "[T, N, ...] with T >= 1 where step_mode='m'; step_mode='s' takes one step"
        raise ArgumentError("x.shape", shape, allowed)
    if isinstance(v, Tensor) and v.dim() != x.dim() - steps:
        allowed = (
            f"{v.dim() + steps} dimensions where step_mode={step_mode!r}, as before: "
            "[T, N, ...] needs step_mode='m', one step [N, ...] needs 's', and a change of "
            "dimensions functional.reset_net before"
        )
        raise ArgumentError("x.shape", shape, allowed)
    channels = neuron.channels
    if channels is not None and shape[1 + steps : 2 + steps] != (channels,):
        raise ArgumentError("x.shape", shape, f"{channels} channels in place {1 + steps}")
    for own in (neuron.v_threshold, getattr(neuron.membrane, "scale", None)):
        if isinstance(own, Tensor) and own.device != x.device:
            allowed = f"{own.device}, where the neuron is; network.to(device) moves it"
            raise ArgumentError("x.device", str(x.device), allowed)
