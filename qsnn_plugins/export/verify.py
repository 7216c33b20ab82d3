"""Comparison of a float network with its integer network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from qsnn_plugins.cost.neurons import evaluating, is_multi_step, reset_states
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.export.calls import Calls, ways_to_call
from qsnn_plugins.export.network import NodeGraph, check_frames
from qsnn_plugins.export.nodes import Convolution, Linear
from qsnn_plugins.export.runtime import CompiledNetwork
from qsnn_plugins.nn import ForwardMonitor, output_spikes
from qsnn_plugins.nn.weight import layer_quantizer
from qsnn_plugins.progress import tracked

__all__ = ["LayerCheck", "Verification", "verify"]


@dataclass
class LayerCheck:
    """Comparison of the spikes of one layer.

    Args:
        spikes: Number of compared values, including zeros.
        differ: Number of different values.
        sent: Number of non-zero values in the integer network.
    """

    spikes: int = 0
    differ: int = 0
    sent: int = 0

    @property
    def rate(self) -> float:
        """Firing rate of the integer network."""
        return self.sent / max(self.spikes, 1)


@dataclass
class Verification:
    """Result of comparing both networks.

    Args:
        samples: Number of samples.
        same_answers: Number of samples with the same class.
        float_hits: Number of correct answers of the float network, None without labels.
        integer_hits: Number of correct answers of the integer network, None without labels.
        largest_difference: Largest difference between summed answers, in units of the float
            network.
        layers: Comparison of the spikes of each layer.
    """

    samples: int = 0
    same_answers: int = 0
    float_hits: int | None = None
    integer_hits: int | None = None
    largest_difference: float = 0.0
    layers: dict[str, LayerCheck] = field(default_factory=dict)

    @property
    def spikes(self) -> int:
        """Number of compared values in all layers."""
        return sum(layer.spikes for layer in self.layers.values())

    @property
    def differ(self) -> int:
        """Number of different values in all layers."""
        return sum(layer.differ for layer in self.layers.values())

    @property
    def exact(self) -> bool:
        """Whether all spikes and all answers are equal."""
        return self.differ == 0 and self.same_answers == self.samples

    def __str__(self) -> str:
        """Return a table with one line per layer, and the total."""
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

    The float network gets the values that the integers represent, in its own way of calling: all
    steps at once, one step per call, or a frame that it repeats itself. It is not changed, except
    that its states are reset.

    Args:
        network: The float network.
        integer: Result of `to_integer` for this network.
        batches: Frames [T, N, ...], or pairs of frames and labels [N].
        steps: T if each batch is one frame [N, ...] that is used in each step; None for a network
            that knows its number of steps.
        compiled: Result of `integer.compile()`, to use it instead of `integer`, which is slower.

    Returns:
        The comparison.

    Raises:
        ArgumentError: If the network is not the one that was exported, if there are no batches, or
            if an argument is not allowed.
    """
    _check(network, integer, batches, steps, compiled)
    found = Verification(layers={name: LayerCheck() for name in integer.neurons})
    calls: Calls | None = None
    with evaluating(network):
        _check_weights(network, integer)
        for batch in tracked(batches, "comparing integers with the float network"):
            frames, labels = _pair(batch)
            whole = _frames(integer, frames, steps)
            shown = _shown(network, integer, whole)
            calls = calls or _calls(network, shown, integer.input.shape)
            if not calls.takes_steps and calls.steps != 1:
                whole, shown = _still(whole, shown, calls.steps)
            _compare(network, integer, calls, whole, shown, labels, found, compiled)
    if not found.samples:
        raise ArgumentError("batches", 0, "one batch or more")
    return found


def _pair(batch: Any) -> tuple[Any, Any]:
    if not isinstance(batch, tuple | list):
        return batch, None
    if len(batch) != 2:
        raise ArgumentError(
            "batches", f"{len(batch)} things", "frames, or pairs of frames and labels"
        )
    return batch[0], batch[1]


def _check(network: Any, integer: Any, batches: Any, steps: Any, compiled: Any) -> None:
    if not isinstance(network, nn.Module):
        raise ArgumentError("network", network, "a torch.nn.Module")
    if not isinstance(integer, NodeGraph):
        raise ArgumentError("integer", integer, "what to_integer returned")
    if isinstance(batches, Tensor) or not isinstance(batches, Iterable):
        raise ArgumentError("batches", type(batches).__name__, "a list of frames, or of pairs")
    if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 1):
        raise ArgumentError("steps", steps, "an integer from 1, or None")
    if compiled is not None and not isinstance(compiled, CompiledNetwork):
        raise ArgumentError("compiled", compiled, "what integer.compile() returned, or None")


def _check_weights(network: nn.Module, integer: NodeGraph) -> None:
    """Refuse a network that is not the one that was exported, or that was trained since."""
    modules = dict(network.named_modules())
    name = type(network).__name__
    for neuron in integer.neurons:
        if not hasattr(modules.get(neuron), "quant_spec"):
            raise ArgumentError("network", name, f"the one that was exported, which has {neuron}")
    for node in integer.nodes:
        if not isinstance(node, Convolution | Linear):
            continue
        layer: Any = modules.get(node.name)
        quantizer = None if layer is None else layer_quantizer(layer)
        if quantizer is None:
            raise ArgumentError("network", name, f"the one that was exported, with {node.name}")
        codes, _ = quantizer.codes(layer.parametrizations.weight.original.detach())
        ours, theirs = node.codes.flatten(1).long(), codes.flatten(1).long().cpu()
        if ours.shape != theirs.shape or not (
            ((ours == theirs).all(1) | (ours == -theirs).all(1)).all()
        ):
            allowed = f"the one that was exported: the weights of {node.name} are others"
            raise ArgumentError("network", name, allowed)


def _frames(integer: NodeGraph, frames: Any, steps: int | None) -> Tensor:
    """Return a batch in integers, [T, N, ...]; T is 1 where a frame alone was given."""
    dims = len(integer.input.shape)
    if isinstance(frames, Tensor) and frames.dim() == dims + 1:
        frames = frames.expand(steps or 1, *frames.shape)
    elif steps is not None:
        shape = tuple(getattr(frames, "shape", ()))
        raise ArgumentError(
            "batches", shape, "frames [N, ...] with `steps`, or [T, N, ...] without"
        )
    check_frames(frames, integer.input)
    if not frames.numel():
        raise ArgumentError(
            "batches", tuple(frames.shape), "frames of a step and a sample, or more"
        )
    return integer.quantize(frames).cpu()


def _shown(network: nn.Module, integer: NodeGraph, whole: Tensor) -> Tensor:
    like = next(network.parameters(), torch.empty(0))
    return (whole.double() * integer.input.unit).to(like.device, like.dtype)


def _calls(network: nn.Module, shown: Tensor, sample: tuple[int, ...]) -> Calls:
    for calls, frames in ways_to_call(network, shown, "batches"):
        if tuple(frames.shape[2:]) == sample:
            return calls
    raise ArgumentError("batches", tuple(shown.shape), "frames that the network takes")


def _still(whole: Tensor, shown: Tensor, steps: int | None) -> tuple[Tensor, Tensor]:
    """Return a frame as often as the network shows it."""
    if not torch.equal(whole, whole[:1].expand_as(whole)):
        raise ArgumentError(
            "batches", "frames that change", "still ones, which the network repeats"
        )
    if len(whole) == 1 and steps is not None:
        whole, shown = (x.expand(steps, *x.shape[1:]) for x in (whole, shown))
    return whole, shown


def _compare(
    network: nn.Module,
    integer: NodeGraph,
    calls: Calls,
    whole: Tensor,
    shown: Tensor,
    labels: Tensor | None,
    found: Verification,
    compiled: CompiledNetwork | None,
) -> None:
    modules = dict(network.named_modules())
    neurons = {name: modules[name] for name in integer.neurons}
    reset_states(network)
    with torch.no_grad(), parametrize.cached(), ForwardMonitor(neurons, _sent) as monitor:
        answer = calls.run(network, shown).cpu()
    sent: dict[str, list[Tensor]] = {name: [] for name in neurons} | monitor.sums
    answers, spikes = integer(whole) if compiled is None else compiled(whole, spikes=True)
    total = answers.double().sum(0) * integer.output.unit
    wanted = answer.double()
    if wanted.numel() == answers.numel():
        wanted = wanted.reshape(answers.shape).sum(0)
    elif integer.output.is_mean:
        total = total / len(answers)
    wanted = wanted.reshape(total.shape)
    found.samples += len(total)
    ours, theirs = total.argmax(1), wanted.argmax(1)
    found.same_answers += int((ours == theirs).reshape(len(total), -1).all(1).sum())
    off = float((total - wanted).abs().max())
    found.largest_difference = max(found.largest_difference, off)
    if labels is not None:
        if not isinstance(labels, Tensor) or labels.shape != theirs.shape:
            shape = list(getattr(labels, "shape", [type(labels).__name__]))
            raise ArgumentError("batches", shape, f"labels of the shape {list(theirs.shape)}")
        labels = labels.cpu()
        found.float_hits = (found.float_hits or 0) + int((theirs == labels).sum())
        found.integer_hits = (found.integer_hits or 0) + int((ours == labels).sum())
    for name, own in spikes.items():
        if len(sent[name]) != len(own):
            raise ArgumentError(
                "network", f"{len(sent[name])} steps of {name}", f"one that runs {len(own)}"
            )
        unit = _unit(neurons[name], sent[name][0])
        check = found.layers[name]
        check.spikes += own.numel()
        check.sent += int((own > 0).sum())
        for ours, theirs in zip(own, sent[name], strict=True):
            counts = (theirs.double() / unit).round().cpu()
            check.differ += int((ours.double() != counts.reshape(ours.shape)).sum())


def _sent(neuron: nn.Module, inputs: Any, output: Any) -> list[Tensor]:
    """The spikes of each step of a call."""
    spikes = output_spikes(output).clone()  # the network may add to them in place
    return [*spikes.unbind()] if is_multi_step(neuron) else [spikes]


def _unit(neuron: Any, spikes: Tensor) -> Tensor | float:
    """What one spike of a neuron stands for, of what it sends in a step."""
    factor = getattr(neuron, "graded_spikes_factor", None)
    unit = 1.0 if factor is None else factor.detach().double()
    if neuron.quant_spec.spike.value != "threshold":
        return unit
    return unit * torch.as_tensor(neuron._cell(spikes).threshold).detach().double()
