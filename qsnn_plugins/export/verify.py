"""A float network and its integers side by side."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from qsnn_plugins.cost.neurons import is_multi_step, reset_states
from qsnn_plugins.export.network import NodeGraph
from qsnn_plugins.export.runtime import CompiledNetwork
from qsnn_plugins.nn import output_spikes

__all__ = ["LayerCheck", "Verification", "verify"]


@dataclass
class LayerCheck:
    """Spikes of one layer.

    Args:
        spikes: How many were compared, silent ones among them.
        differ: How many are not equal.
        sent: How many are not 0, in the integer network.
    """

    spikes: int = 0
    differ: int = 0
    sent: int = 0

    @property
    def rate(self) -> float:
        """Share of neurons and steps that send."""
        return self.sent / max(self.spikes, 1)


@dataclass
class Verification:
    """What both networks did.

    Args:
        samples: How many were shown.
        same_answers: How many got the same class.
        float_hits: How many the float network got right, None without labels.
        integer_hits: How many the integer network got right, None without labels.
        largest_difference: Between summed answers, in units of the float network.
        layers: Spikes by layer.
    """

    samples: int = 0
    same_answers: int = 0
    float_hits: int | None = None
    integer_hits: int | None = None
    largest_difference: float = 0.0
    layers: dict[str, LayerCheck] = field(default_factory=dict)

    @property
    def spikes(self) -> int:
        """Spikes that were compared in all layers."""
        return sum(layer.spikes for layer in self.layers.values())

    @property
    def differ(self) -> int:
        """Spikes that are not equal in all layers."""
        return sum(layer.differ for layer in self.layers.values())

    @property
    def exact(self) -> bool:
        """Whether no spike differed and no answer."""
        return self.differ == 0 and self.same_answers == self.samples

    def __str__(self) -> str:
        """Print one line per layer, and the whole."""
        width = max((len(name) for name in self.layers), default=5)
        lines = [f"{'layer':{width}}  {'spikes':>14}  {'differ':>8}  {'rate':>7}"]
        for name, layer in self.layers.items():
            lines.append(
                f"{name:{width}}  {layer.spikes:>14,}  {layer.differ:>8,}  {layer.rate:>7.2%}"
            )
        lines.append(
            f"{'all':{width}}  {self.spikes:>14,}  {self.differ:>8,}\n"
            f"the same answer for {self.same_answers:,} of {self.samples:,} samples"
        )
        if self.float_hits is not None and self.integer_hits is not None:
            total = max(self.samples, 1)
            lines.append(
                f"accuracy: float {self.float_hits / total:.2%}, integers "
                f"{self.integer_hits / total:.2%}"
            )
        return "\n".join(lines)


def verify(
    network: nn.Module,
    integer: NodeGraph,
    batches: Iterable[Any],
    steps: int | None = None,
    compiled: CompiledNetwork | None = None,
) -> Verification:
    """Run both networks on the same samples, and compare spikes and answers.

    The float network is shown what the integers stand for. It is left at evaluation as it was, its
    states forgotten.

    Args:
        network: The float network, time-major, or counting steps by itself.
        integer: What `to_integer` made of it.
        batches: Frames [T, N, ...], or pairs of frames and labels [N].
        steps: T where each batch is one frame [N, ...], shown at each step.
        compiled: What `integer.compile()` returned, to run in its place; it is faster.

    Returns:
        What was found.
    """
    found = Verification(layers={name: LayerCheck() for name in integer.neurons})
    modules = dict(network.named_modules())
    training = network.training
    network.eval()
    dtype = next((p.dtype for p in network.parameters()), torch.float32)
    try:
        for batch in batches:
            frames, labels = batch if isinstance(batch, tuple | list) else (batch, None)
            whole = integer.quantize(frames)
            shown = (whole.double() * integer.input.unit).to(dtype)
            _compare(network, modules, integer, whole, shown, labels, steps, found, compiled)
    finally:
        network.train(training)
        reset_states(network)
    return found


def _compare(
    network: nn.Module,
    modules: dict[str, nn.Module],
    integer: NodeGraph,
    whole: Tensor,
    shown: Tensor,
    labels: Tensor | None,
    steps: int | None,
    found: Verification,
    compiled: CompiledNetwork | None,
) -> None:
    sent: dict[str, list[Tensor]] = {name: [] for name in integer.neurons}
    reset_states(network)
    with torch.no_grad(), ExitStack() as stack:
        for name in sent:

            def note(module: nn.Module, args: Any, output: Any, name: str = name) -> None:
                spikes = output_spikes(output)
                sent[name].extend(spikes.unbind() if is_multi_step(module) else [spikes])

            stack.callback(modules[name].register_forward_hook(note).remove)
        answer = network(shown)
    while isinstance(answer, tuple | list):
        answer = answer[0]
    frames = whole if steps is None else whole.expand(steps, *whole.shape)
    answers, spikes = integer(frames) if compiled is None else compiled(frames, spikes=True)
    total = answers.double().sum(0) * integer.output.unit
    wanted = answer.double()
    wanted = wanted.sum(0) if wanted.dim() > answers.dim() - 1 else wanted
    wanted = wanted.reshape(total.shape)
    found.samples += len(total)
    same = total.argmax(1) == wanted.argmax(1)
    found.same_answers += int(same.sum())
    found.largest_difference = max(
        found.largest_difference, float((total - wanted).abs().max()) if total.numel() else 0.0
    )
    if labels is not None:
        found.float_hits = (found.float_hits or 0) + int((wanted.argmax(1) == labels).sum())
        found.integer_hits = (found.integer_hits or 0) + int((total.argmax(1) == labels).sum())
    for name, own in spikes.items():
        theirs = torch.stack(sent[name]).reshape(own.shape)
        unit = _unit(modules[name])
        check = found.layers[name]
        check.spikes += own.numel()
        check.sent += int((own > 0).sum())
        check.differ += int((own.double() != (theirs.double() / unit).round()).sum())


def _unit(neuron: Any) -> float:
    """What one spike of a neuron stands for."""
    value = neuron.quant_spec.spike.value
    factor = getattr(neuron, "graded_spikes_factor", None)
    unit = 1.0 if factor is None else float(factor.detach())
    threshold = getattr(neuron, "v_threshold", getattr(neuron, "threshold", 1.0))
    return unit * float(torch.as_tensor(threshold).detach()) if value == "threshold" else unit
