"""Common parts of the neurons of all hosts: initial threshold, and how to find neurons."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from qsnn_plugins.errors import ArgumentError, QSNNError
from qsnn_plugins.functional.scale import normalize_gradient
from qsnn_plugins.functional.threshold import keep_positive
from qsnn_plugins.spec import QuantSpec, ThresholdSpec
from qsnn_plugins.spec.checks import integer

__all__ = [
    "charges_otherwise",
    "initial_threshold",
    "neuron_facts",
    "quantized_neurons",
    "refuse_jit",
    "shown",
    "threshold_in_use",
]


def initial_threshold(
    threshold: Tensor | float, spec: ThresholdSpec, channels: int | None
) -> Tensor | float:
    """Return the initial threshold of a neuron: one per channel if the spec says so.

    Args:
        threshold: A number, or a tensor with one value per channel.
        spec: Whether and how it is learned.
        channels: Channels C of the input [N, C, ...].

    Returns:
        Shape [C] for one learned threshold per channel, otherwise the given threshold.

    Raises:
        ArgumentError: If `channels` is not an integer from 1, or is needed and missing, or the
            threshold has another number.

    Example:
        >>> initial_threshold(0.5, ThresholdSpec("ordinary", per="channel"), channels=3)
        tensor([0.5000, 0.5000, 0.5000])
    """
    if channels is not None:
        integer(1)("channels", channels)
    if not spec.learned or spec.per == "layer":
        return threshold
    if channels is None:
        raise ArgumentError("channels", channels, "an integer from 1: one threshold per channel")
    first = torch.as_tensor(threshold, dtype=torch.get_default_dtype()).flatten()
    if len(first) not in (1, channels):
        allowed = f"a number, or one for each of {channels} channels"
        raise ArgumentError("threshold", threshold, allowed)
    # a copy, so that neurons which are given the same tensor do not share a parameter's memory
    return first.expand(channels).clone()


def threshold_in_use(threshold: Tensor, spec: QuantSpec, shape: Sequence[int]) -> Tensor:
    """Return a learned threshold as it is used: above 0, with the gradient that its spec says.

    Args:
        threshold: One for all neurons, or one per channel.
        spec: Of its neurons; `ThresholdSpec.fidelity` says whether the gradient is divided.
        shape: That of the membrane, [N, ...].

    Example:
        >>> threshold = torch.tensor(0.5, requires_grad=True)
        >>> spec = QuantSpec(threshold=ThresholdSpec("ordinary"))
        >>> threshold_in_use(threshold, spec, shape=(8, 4, 5, 5)).backward()
        >>> threshold.grad  # 100 neurons share it
        tensor(0.1000)
    """
    threshold = keep_positive(threshold)
    if spec.threshold.fidelity == "released":
        return threshold
    neurons = math.prod(shape[1:]) // threshold.numel()
    return normalize_gradient(threshold, neurons, 2**spec.spike.bits - 1)


def charges_otherwise(kind: type, paired: str) -> bool:
    """Return whether a subclass has a `charge` of its own, which a kernel would not call.

    Args:
        kind: Class of a neuron.
        paired: Method that stands beside `charge` where a kernel charges alike.

    Example:
        >>> from qsnn_plugins.spikingjelly import QuantIFNode
        >>> class Own(QuantIFNode):
        ...     def charge(self, x, v):
        ...         return x
        >>> charges_otherwise(QuantIFNode, "fused_leak"), charges_otherwise(Own, "fused_leak")
        (False, True)
    """
    return next(paired in vars(k) for k in kind.__mro__ if "charge" in vars(k)) is False


def neuron_facts(neuron: nn.Module, conventions: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a neuron's state dict contains besides tensors, see `StateFacts`.

    Args:
        neuron: A neuron with a `quant_spec`.
        conventions: Those of its host, by their names there; tensors are left out, which the state
            has by themselves.

    Example:
        >>> from qsnn_plugins.spikingjelly import TernaryIFNode
        >>> neuron_facts(TernaryIFNode(), {"v_reset": 0.0})
        {'charge': 'QuantIFNode', 'v_reset': 0.0, 'spec': {}}
    """
    charging = next(kind for kind in type(neuron).__mro__ if "charge" in vars(kind))
    plain = {name: value for name, value in conventions.items() if not isinstance(value, Tensor)}
    spec: Any = neuron.quant_spec
    parts = {name: part for name, part in spec.to_dict().items() if name != "weight"}
    return {"charge": charging.__name__, **plain, "spec": parts}


def refuse_jit(neuron: nn.Module) -> None:
    """Raise an error that names torch.export while torch.jit traces a neuron.

    Its quantizers and surrogates are functions of Python: a trace of them cannot be saved.

    Example:
        >>> refuse_jit(nn.ReLU())  # nothing is traced
    """
    if torch.jit.is_tracing():
        raise QSNNError(
            f"{type(neuron).__name__} cannot be traced by torch.jit.trace, on which "
            "torch.onnx.export(dynamo=False) is built: torch.export.export takes it"
        )


def shown(value: Tensor) -> str:
    """Return how a `repr` shows a tensor: the number that it holds, or else its shape.

    Example:
        >>> shown(torch.tensor(0.9)), shown(torch.zeros(4)), shown(torch.ones((), device="meta"))
        ('0.9', '[4]', 'meta')
    """
    if value.numel() != 1:
        return str(list(value.shape))
    return "meta" if value.is_meta else f"{value.item():.4g}"


def quantized_neurons(network: nn.Module) -> dict[str, nn.Module]:
    """List the neurons with a `QuantSpec` by name, in the order of definition.

    Example:
        >>> from qsnn_plugins.models import StringNet
        >>> list(quantized_neurons(StringNet("4C3-GAP-FC2")))
        ['blocks.conv1.neuron']
    """
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(getattr(module, "quant_spec", None), QuantSpec)
    }
