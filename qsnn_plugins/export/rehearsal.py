"""A check that all time steps of a network equal those of its integer network.

Only one step of the network was traced. Here several steps of both networks are run, with the same
random spikes and membranes of all neurons. The check therefore does not depend on firing rates,
rounding errors do not spread, and any use of spikes of another step, another layer or another
factor shows in the inputs of the next neuron.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from qsnn_plugins.cost.neurons import is_multi_step, reset_states
from qsnn_plugins.errors import ExportError
from qsnn_plugins.export.builder import ANSWERS, Charge
from qsnn_plugins.export.calls import Calls
from qsnn_plugins.export.network import NodeGraph, State
from qsnn_plugins.export.nodes import Neuron, Node, WideNeuron
from qsnn_plugins.nn import output_spikes

__all__ = ["rehearsed"]

_STEPS, _MOST_STEPS = 3, 32
_TOLERANCE = 1e-4  # of sums in float32, relative to the greatest
_RARE = 0.01  # share of outcomes that fixed point, and sums that round in float64, may decide

_INPUT = (
    "All steps must be computed in the same way from their own inputs and spikes. Not supported "
    "are feedback from an earlier step, layers or factors that depend on the step, states other "
    "than those of neurons, and random values"
)
_STATE = (
    "Only the neuron itself may change its membrane. Not supported are membranes that are scaled, "
    "replaced or reset between steps, or created in each step (init_leaky, utils.reset or "
    "reset_net inside the loop)"
)


def rehearsed(
    network: nn.Module,
    nodes: Sequence[Node],
    charges: dict[str, Charge],
    calls: Calls,
    example: Tensor,
) -> tuple[Node, ...]:
    """Run a network beside its integers, and refuse these where they differ.

    Args:
        network: The one that was followed, at evaluation; its states are forgotten.
        nodes: Its integers.
        charges: What the integers of each layer of neurons stand for.
        calls: How it is called.
        example: Frames in integers, [T, N, ...]: as many steps are run, from 3 to 32, of integers
            drawn from their range.

    Returns:
        The nodes, of which the output knows by then its shape, and whether the answer is a mean
        over the steps.

    Raises:
        ExportError: If a step of the network is not that of the integers.
    """
    steps = min(max(_STEPS, len(example)), _MOST_STEPS) if calls.steps in (None, 1) else calls.steps
    assert steps is not None
    graph, random = NodeGraph(tuple(nodes)), torch.Generator().manual_seed(0)
    dtype = next((p.dtype for p in network.parameters()), torch.float32)
    modules = dict(network.named_modules())
    failed: Exception | None = None
    for samples in (2, 1):
        frames = _frames(example, calls, steps, samples, random)
        actors, wanted = _actors(graph, charges, modules, frames, dtype, random)
        reset_states(network)
        try:
            with torch.no_grad(), ExitStack() as stack:
                for actor in actors:
                    actor.enter(stack)
                answer = calls.run(network, (frames.double() * graph.input.unit).to(dtype))
        except ExportError:
            raise
        # a network of any kind runs here: one may take a single sample alone
        except Exception as error:
            failed = failed or error
            continue
        finally:
            reset_states(network)
        for actor in actors:
            actor.check_end(steps)
        is_mean = _is_mean(answer, wanted)
        # several steps and samples tell them apart from dimensions of the answer
        leading = 2 if answer.numel() == wanted.numel() else 1
        shape = tuple(answer.shape[leading:]) or graph.output.shape
        return *nodes[:-1], replace(graph.output, shape=shape, is_mean=is_mean)
    reason = " ".join(str(failed).split())
    raise ExportError(f"the network does not run {steps} steps ({reason})") from failed


def _frames(
    example: Tensor, calls: Calls, steps: int, samples: int, random: torch.Generator
) -> Tensor:
    """Integers from the range of the example, [T, N, ...]."""
    low = int(example.min())
    high = max(int(example.max()), low + 1)
    shape = (steps, samples, *example.shape[2:])
    frames = torch.randint(low, high + 1, shape, generator=random)
    return frames if calls.takes_steps or calls.steps == 1 else frames[:1].expand(shape)


def _actors(
    graph: NodeGraph,
    charges: dict[str, Charge],
    modules: dict[str, nn.Module],
    frames: Tensor,
    dtype: torch.dtype,
    random: torch.Generator,
) -> tuple[list[_Actor], Tensor]:
    """Run the integers; return what each layer of neurons has to do, and what each step answers."""
    parts = {
        name: _Part(node, charges[name], frames.shape[:2], is_multi_step(modules[name]), random)
        for name, node in graph.neurons.items()
    }
    answers, state = [], State()
    for t, frame in enumerate(frames):
        # bytes would overflow in sums, and torch takes them for a mask where a neuron looks up
        now = {name: part.sends[t].long() for name, part in parts.items()}
        handed: list[Tensor] = []
        for node, value in graph.step(frame, state, now):
            handed.append(now.get(node.name, value))
            if isinstance(node, Neuron):
                parts[node.name].add(handed[node.inputs[0]], value, state)
        answers.append(value.double() * graph.output.unit)
    actors = [_Actor(name, modules[name], part, dtype) for name, part in parts.items()]
    return actors, torch.stack(answers)


class _Part:
    """What a layer of neurons takes and does in each step, and what it hands on in its place."""

    def __init__(
        self,
        node: Neuron,
        charge: Charge,
        size: Sequence[int],
        is_multi_step: bool,
        random: torch.Generator,
    ) -> None:
        self.node, self.charge, self.is_multi_step = node, charge, is_multi_step
        shape = (*size, *node.shape)
        how: dict[str, Any] = {"generator": random, "dtype": torch.uint8}
        self.sends = torch.randint(0, node.high + 1, shape, **how)
        self.keeps = torch.randint(0, node.count, shape, **how)
        self.takes: list[Tensor] = []
        self.slack = 0.0
        self.fires: list[Tensor] = []
        self.stores: list[Tensor] = []

    def add(self, x: Tensor, fires: Tensor, state: State) -> None:
        """Add a step of integers."""
        a = x.flatten(1).double() * self.charge.scale
        most = float(a.abs().max() + self.charge.bias.abs().max())
        self.slack = max(self.slack, _TOLERANCE * most + self.charge.rounding)
        self.takes.append((a + self.charge.bias).reshape(fires.shape))
        self.fires.append(fires)
        self.stores.append(state[self.node.name].reshape(fires.shape))
        if not self.is_multi_step:
            state[self.node.name] = self.keeps[len(self.takes) - 1]

    def levels(self, places: Tensor) -> Tensor:
        """Return what stored states [..., *shape] stand for."""
        states, flat = self.node.states, places.flatten(-len(self.node.shape)).long()
        row = torch.arange(flat.shape[-1]) * len(states) // flat.shape[-1]
        return states[row, flat].reshape(places.shape)


class _Actor:
    """A layer of neurons of the network, which plays its part."""

    def __init__(self, name: str, module: nn.Module, part: _Part, dtype: torch.dtype) -> None:
        self.name, self.module, self.calls = name, module, 0
        self.is_multi_step, self.slack = part.is_multi_step, part.slack
        self.takes = torch.stack(part.takes)
        self.fires, self.stores = torch.stack(part.fires), part.levels(torch.stack(part.stores))
        shape = part.node.shape
        self.spike = part.charge.spike.reshape(-1, *(1,) * (len(shape) - 1))
        self.sends, self.keeps = part.sends * self.spike, part.levels(part.keeps)
        self.first = part.levels(torch.full(shape, part.node.first_state))
        states = part.node.states
        self.gap = 0.0
        self.is_rounded = isinstance(part.node, WideNeuron) or dtype == torch.float64
        if self.is_rounded and states.shape[1] > 1:
            self.gap = 1.001 * float(states.diff(dim=1).max())

    def enter(self, stack: ExitStack) -> None:
        """Act until the stack closes."""
        before = self.module.register_forward_pre_hook(self._before, with_kwargs=True)
        after = self.module.register_forward_hook(self._after)
        stack.callback(before.remove)
        stack.callback(after.remove)

    def check_end(self, steps: int) -> None:
        """Refuse a run that has left out steps."""
        if (len(self.takes) if self.is_multi_step and self.calls else self.calls) != steps:
            raise ExportError(f"{self.name} runs {self.calls} of {steps} steps. {_INPUT}")

    def _before(self, module: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        names = iter(kwargs)
        given = [*args, *kwargs.values()]
        x = given[0]
        step = slice(None) if self.is_multi_step else slice(self.calls, self.calls + 1)
        wanted = self.takes[step]
        if not len(wanted) or (self.is_multi_step and self.calls):
            raise ExportError(f"{self.name} runs more often than once per step. {_INPUT}")
        shape = wanted.shape if self.is_multi_step else wanted.shape[1:]
        if x.shape != shape:
            found = f"{list(x.shape)} and not {list(shape)}"
            raise ExportError(f"{self.name} is given the shape {found} in a longer run. {_INPUT}")
        off = ~((x.double().reshape(wanted.shape) - wanted).abs() <= self.slack)  # NaN is off too
        if off.any():
            at = self._step_of(off)
            raise ExportError(
                f"{self.name} has another input in step {at} than its layers and spikes of that "
                f"step give. {_INPUT}"
            )
        self._check_state(given[1] if len(given) > 1 else None, x.dtype)
        rounded = wanted.reshape(shape).to(x.dtype)
        if args:
            return (rounded, *args[1:]), kwargs
        return args, {**kwargs, next(names): rounded}

    def _check_state(self, passed: Any, dtype: torch.dtype) -> None:
        """Refuse a membrane that is not what was stored."""
        used = _stored(self.module) if passed is None else passed
        wanted = self.first.expand(self.keeps[0].shape)
        if self.calls:
            wanted = self.keeps[self.calls - 1]
        is_right = isinstance(used, Tensor) and used.shape == wanted.shape
        if is_right:
            is_right = torch.equal(used.to(dtype), wanted.to(dtype))
        elif not self.calls:  # the neuron begins by itself
            return
        if not is_right:
            when = f"step {self.calls + 1} with another membrane than it stored in the one before"
            if not self.calls:
                when = "with another membrane than that of a network that was reset"
            raise ExportError(f"{self.name} begins {when}. {_STATE}")

    def _after(self, module: nn.Module, args: Any, output: Any) -> Any:
        spikes = output_spikes(output)
        step = slice(None) if self.is_multi_step else slice(self.calls, self.calls + 1)
        fires = (spikes.double().reshape(self.fires[step].shape) / self.spike).round()
        stored: Any = _stored(module)
        last = self.stores[-1] if self.is_multi_step else self.stores[self.calls]
        off = fires != self.fires[step]
        off_states = ~((stored.double() - last).abs() <= self.gap)
        allowed = _RARE if self.is_rounded else 0.0
        if off.double().mean() > allowed or off_states.double().mean() > allowed:
            at = self._step_of(off) if off.any() else "one of the steps"
            if not off.any() and not self.is_multi_step:
                at = self.calls + 1
            raise ExportError(
                f"{self.name} fires or stores something else in step {at} than its table says, "
                f"which is that of the first step. {_STATE}, and thresholds that change"
            )
        sends = self.sends[step].to(spikes.dtype).reshape(spikes.shape)
        self.calls += 1
        if self.is_multi_step:
            return (sends, *output[1:]) if isinstance(output, tuple) else sends
        kept = self.keeps[self.calls - 1].to(spikes.dtype)
        setattr(module, _state_name(module), kept)
        return (sends, kept, *output[2:]) if isinstance(output, tuple) else sends

    def _step_of(self, off: Tensor) -> int:
        steps = off.flatten(1).any(1).nonzero()
        return (0 if self.is_multi_step else self.calls) + int(steps[0]) + 1


def _state_name(neuron: nn.Module) -> str:
    return "v" if hasattr(neuron, "v") else "mem"


def _stored(neuron: nn.Module) -> Any:
    return getattr(neuron, _state_name(neuron))


def _is_mean(answer: Tensor, wanted: Tensor) -> bool:
    """Whether an answer is the mean of those of the steps, and not them or their sum."""

    def alike(a: Tensor, b: Tensor) -> bool:
        slack = _TOLERANCE * float(b.abs().max()) + torch.finfo(a.dtype).tiny
        return bool(((a.double().reshape(b.shape) - b).abs() <= slack).all())

    steps, samples = wanted.shape[:2]
    if answer.numel() == wanted.numel() and answer.shape[:2] == (steps, samples):
        if alike(answer, wanted):
            return False
    elif answer.numel() * steps == wanted.numel() and len(answer) == samples:
        total = wanted.sum(0)
        for is_mean in (False, True):
            if alike(answer, total / steps if is_mean else total):
                return is_mean
    raise ExportError(
        f"the network's answer {list(answer.shape)} to {steps} steps of {samples} samples is not "
        f"made of what each step gives. {ANSWERS}"
    )
