"""The account of a network."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

from torch import nn

from qsnn_plugins.cost.activity import Activity
from qsnn_plugins.cost.layers import FLOAT_BITS, NeuronCost, SynapseCost
from qsnn_plugins.cost.network import NetworkCost
from qsnn_plugins.cost.neurons import all_neurons, stored_membrane
from qsnn_plugins.cost.parameters import stored_parameters, weight_quantizers
from qsnn_plugins.cost.trace import StepMode, Trace, TracedNeuron, TracedSynapse, trace
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.nn import channel_gates
from qsnn_plugins.spec import QuantSpec
from qsnn_plugins.spec.checks import as_integer, items

__all__ = ["report"]


def report(
    network: nn.Module,
    spec: QuantSpec | None,
    input_shape: tuple[int, ...],
    *,
    activity: Activity | float | None = None,
    step_mode: StepMode = "m",
    time_steps: int | None = None,
) -> NetworkCost:
    """Count the costs of a network of either host for one sample.

    A copy of the network runs once on torch's meta device, without values. This shows its layers,
    the neurons before each layer, and the products of attention. The network itself is not changed.

    Args:
        network: Any network: of this package, after `inject`, or of a host.
        spec: Count every layer as if quantized by this spec; None counts the network as it is.
        input_shape: Input shape of one sample, [T, 1, ...], or the shape that the network takes if
            `time_steps` is given.
        activity: Measured activity, or one firing rate for all neurons. With None nothing is
            assumed, and everything that depends on it is None.
        step_mode: "m": the network takes all time steps at once; "s": one step per call.
        time_steps: T of a network that repeats its input itself; None takes T from the input, or
            from the neurons of such a network, none of which may then stand in several places.

    Returns:
        The costs.

    Raises:
        ArgumentError: If the network does not accept this input, an argument is not allowed, or
            a network that takes one step per call was given all steps at once.

    Example:
        >>> from qsnn_plugins import presets
        >>> from qsnn_plugins.models import StringNet
        >>> network = StringNet("4C3-GAP-FC2", spec=presets.imsnn(weight_bits=4))
        >>> cost = report(network, None, input_shape=(5, 1, 2, 8, 8), activity=0.1)
        >>> cost.macs, cost.memory().membranes  # 4 * 2 * 9 * 64 + 4 * 2, and 256 ternary membranes
        (4616, 64)
    """
    shape = _check(network, spec, input_shape, activity, step_mode, time_steps)
    if not isinstance(activity, Activity | None):
        activity = Activity.uniform(float(activity))
    traced = trace(network, shape, step_mode, spec)
    if time_steps is None:
        _check_steps(shape[0], step_mode, traced)
        time_steps = _steps(shape[0], traced)
    time_steps = int(time_steps)
    account = _Account(network, spec, time_steps, activity, traced)
    return NetworkCost(
        tuple(account.synapse(name, s) for name, s in traced.synapses.items()),
        tuple(account.neuron(name, n) for name, n in traced.neurons.items()),
        stored_parameters(network, spec, account.channels(), account.quantizers),
        time_steps,
        activity.source if activity else None,
        traced.uncounted,
    )


def _check(
    network: nn.Module,
    spec: QuantSpec | None,
    input_shape: Sequence[int],
    activity: Activity | float | None,
    step_mode: str,
    time_steps: int | None,
) -> tuple[int, ...]:
    """Check the arguments of `report`, and return the shape as a tuple."""
    if not isinstance(network, nn.Module):
        raise ArgumentError("network", network, "a torch.nn.Module")
    if not isinstance(spec, QuantSpec | None):
        raise ArgumentError("spec", spec, "a QuantSpec, or None")
    if step_mode not in ("m", "s"):
        raise ArgumentError("step_mode", step_mode, "m or s")
    sizes = [as_integer(size) for size in items(input_shape)]
    shape = tuple(size for size in sizes if size is not None and size >= 1)
    if len(shape) != len(sizes) or len(shape) < 2:
        raise ArgumentError("input_shape", input_shape, "[T, 1, ...], integers from 1")
    if time_steps is None and shape[1] != 1:
        raise ArgumentError("input_shape", shape, "[T, 1, ...], the input of one sample")
    if time_steps is not None and not (as_integer(time_steps) or 0) >= 1:
        raise ArgumentError("time_steps", time_steps, "an integer from 1")
    if isinstance(activity, bool) or not isinstance(activity, Activity | Real | None):
        raise ArgumentError("activity", activity, "a number from 0 to 1, an Activity, or None")
    return shape


def _check_steps(fed: int, step_mode: StepMode, traced: Trace) -> None:
    """Refuse a network whose neurons take one step per call, and took all steps as a batch."""
    neurons = traced.neurons.values()
    took_batch = [not n.is_multi_step and n.calls == 1 and n.shape[:2] == (fed, 1) for n in neurons]
    if fed > 1 and took_batch and all(took_batch):
        allowed = f"'s': each neuron takes one step per call, and ran once for all {fed} steps"
        raise ArgumentError("step_mode", step_mode, allowed)


def _steps(fed: int, traced: Trace) -> int:
    """The steps that were fed, or those of the neurons of a network that repeats its input."""
    # calls are no steps where one layer of neurons stands in several places
    ran = [n.steps for n in traced.neurons.values() if fed == 1 or n.is_multi_step]
    return max(fed, min(ran, default=1))


class _Account:
    """Puts together what was traced, how it is quantized and what is active."""

    def __init__(
        self,
        network: nn.Module,
        spec: QuantSpec | None,
        time_steps: int,
        activity: Activity | None,
        traced: Trace,
    ) -> None:
        self.spec, self.time_steps, self.activity, self.traced = spec, time_steps, activity, traced
        self.nodes: dict[str, Any] = all_neurons(network)
        self.gates = channel_gates(network)
        self.quantizers = weight_quantizers(network, spec)
        self.weight_bits = {name: quantizer.bits for name, quantizer in self.quantizers.items()}

    def neuron(self, name: str, traced: TracedNeuron) -> NeuronCost:
        spec, node = self.spec_of(name), self.nodes[name]
        bits, levels = stored_membrane(spec.membrane, node if self.spec is None else None)
        return NeuronCost(
            name,
            type(node).__name__,
            traced.step_outputs(self.time_steps),
            bits,
            levels,
            traced.states,
            spec.spike.bits,
            self.activity.rate(name) if self.activity else None,
            self.masked(name),
        )

    def synapse(self, name: str, traced: TracedSynapse) -> SynapseCost:
        # a predictor takes means, which are numbers, of whatever they are
        takes = [] if traced.kind == "predictor" else sorted(traced.takes.neurons)
        numbers = traced.takes.is_input or bool(traced.takes.synapses) or not takes
        spike_bits = max((self.spec_of(t).spike.bits for t in takes), default=1)
        return SynapseCost(
            name,
            traced.kind,
            traced.macs,
            self.time_steps,
            spike_bits if traced.kind == "product" else self.weight_bits.get(name, FLOAT_BITS),
            spike_bits,
            tuple(takes),
            numbers,
            tuple(traced.feeds),
            self.active_inputs(name, takes, numbers),
            self.gated(name),
            traced.pooled,
        )

    def spec_of(self, name: str) -> QuantSpec:
        own = getattr(self.nodes[name], "quant_spec", QuantSpec.full_precision())
        return self.spec or own

    def active_inputs(self, name: str, takes: list[str], numbers: bool) -> float | None:
        if self.activity is None:
            return None
        if name in self.activity.inputs:
            return self.activity.inputs[name]
        if numbers:
            return 1.0
        rates = [self.activity.rate(neuron) for neuron in takes]
        known = [rate for rate in rates if rate is not None]
        return sum(known) / len(known) if len(known) == len(rates) else None

    def masked(self, name: str) -> float | None:
        """Share of a layer's neurons that is masked; None where it is not known."""
        if not self.spec_of(name).pruning.spatial_ratio:
            return 0.0
        return self.activity.masked(name) if self.activity else None

    def gated(self, name: str) -> float | None:
        """Share of a layer's output channels that its gate masks; None where it is not known."""
        if name not in self.gates:
            return 0.0
        return self.activity.gated(name) if self.activity else None

    def channels(self) -> dict[str, int]:
        """Channels of each layer of neurons."""
        channels = {}
        for name, traced in self.traced.neurons.items():
            place = 2 if traced.is_multi_step else 1
            channels[name] = traced.shape[place] if len(traced.shape) > place else 1
        return channels
