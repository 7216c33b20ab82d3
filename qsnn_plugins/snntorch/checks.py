"""What the neurons refuse, each in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import snntorch
import torch
from torch import Tensor

from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.nn import Spike, check_comparison
from qsnn_plugins.spec import QuantSpec
from qsnn_plugins.spec.checks import boolean

__all__ = ["check_all", "check_flags", "check_input", "check_leak", "check_spec", "floating"]


def check_leak(beta: Tensor | float, threshold: Tensor | float, reset_mechanism: str) -> None:
    """Raise an error that names beta, the threshold or the reset if it is not allowed."""
    check_all("beta", beta, "a decay from 0 to 1", lambda x: (x >= 0) & (x <= 1))
    check_all("threshold", threshold, "a number above 0", lambda x: x > 0)
    if reset_mechanism not in snntorch.SpikingNeuron.reset_dict:
        allowed = f"one of {', '.join(snntorch.SpikingNeuron.reset_dict)}"
        raise ArgumentError("reset_mechanism", reset_mechanism, allowed)


def check_flags(**flags: Any) -> None:
    """Raise an error that names a flag which is neither True nor False, where the host guesses."""
    for argument, value in flags.items():
        boolean(argument, value)


def check_all(argument: str, value: Any, allowed: str, fits: Callable[[Tensor], Tensor]) -> None:
    """Raise an error unless a number, or each element of a tensor, fits."""
    try:
        given = torch.as_tensor(value)
        is_allowed = given.dtype != torch.bool and bool(fits(given).all())
    except (TypeError, ValueError, RuntimeError):  # what torch makes no tensor of
        is_allowed = False
    if not is_allowed:
        raise ArgumentError(argument, value, allowed)


def floating(value: Any) -> Tensor:
    """Return a value as the host stores it, but integers, which do not learn, as floats.

    Example:
        >>> floating(2), floating([1, 2]), floating(torch.tensor(0.5))
        (tensor(2.), tensor([1., 2.]), tensor(0.5000))
    """
    tensor = torch.as_tensor(value)
    return tensor if tensor.is_floating_point() else tensor.to(torch.get_default_dtype())


def check_spec(
    spec: QuantSpec,
    spike_grad: Callable[[Tensor], Tensor] | None,
    surrogate_disable: bool,
    inhibition: bool,
    state_quant: Any,
    subtracts_late: bool,
) -> None:
    """Raise an error that names the host's argument that does not go with the spec."""
    if spike_grad is not None and (isinstance(spike_grad, type) or not callable(spike_grad)):
        allowed = "a surrogate of snnTorch, such as surrogate.atan(), or None"
        raise ArgumentError("spike_grad", spike_grad, allowed)
    if state_quant:
        raise ArgumentError("state_quant", state_quant, "False: spec.membrane says what is stored")
    if inhibition and not spec.is_plain:
        allowed = "False, or a spec that quantizes nothing: one neuron would fire, all would reset"
        raise ArgumentError("inhibition", inhibition, allowed)
    check_comparison("spike_grad", spike_grad, spec.spike, host=False)
    if surrogate_disable and spec.spike.comparison == "greater_equal":
        allowed = "False where the spec's comparison is 'greater_equal'"
        raise ArgumentError("surrogate_disable", True, allowed)
    bits = spec.spike.bits
    if bits == 1:
        return
    fits = isinstance(spike_grad, Spike) and spike_grad.bits == bits
    if spike_grad is not None and not fits:
        allowed = f"None: spikes of {bits} bits have a gradient of their own"
        raise ArgumentError("spike_grad", spike_grad, allowed)
    if surrogate_disable:
        raise ArgumentError("surrogate_disable", True, f"False where spikes have {bits} bits")
    if subtracts_late and spec.membrane.kind != "float":
        allowed = (
            f"False with 'subtract', spikes of {bits} bits and a quantized membrane: "
            "the stored level does not tell how often to subtract"
        )
        raise ArgumentError("reset_delay", True, allowed)


def check_input(x: Tensor, mem: Tensor, device: torch.device, channels: int | None) -> None:
    """Raise an error if one step's input cannot be right.

    The first input alone does not tell a sequence [T, N, ...] from one step [N, ...]: it is
    noticed where a membrane was passed or kept, or where the spec fixes the channels.
    """
    if not x.is_floating_point():
        raise ArgumentError("input_.dtype", x.dtype, "a floating point dtype")
    if x.device != device:
        raise ArgumentError("input_.device", str(x.device), f"{device}, where the neuron is")
    if mem.numel() and mem.dim() != x.dim():
        allowed = (
            f"{mem.dim()} dimensions as the membrane has: MultiStep runs time-major input "
            "[T, N, ...], and reset_net forgets the membrane"
        )
        raise ArgumentError("input_.shape", list(x.shape), allowed)
    if channels is not None and (x.dim() < 2 or x.shape[1] != channels):
        allowed = f"[N, C={channels}, ...], one step; MultiStep runs time-major input [T, N, ...]"
        raise ArgumentError("input_.shape", list(x.shape), allowed)
