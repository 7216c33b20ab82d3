"""Finding the neurons of a network, of this package or a host, without importing a host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from qsnn_plugins.cost.layers import FLOAT_BITS
from qsnn_plugins.errors import ArgumentError
from qsnn_plugins.injection.neurons import reset_states
from qsnn_plugins.nn import membrane_quantizer
from qsnn_plugins.spec import MembraneSpec, QuantSpec

__all__ = [
    "all_neurons",
    "evaluate_batches",
    "evaluating",
    "is_multi_step",
    "listed_alone",
    "neuron_states",
    "reset_states",
    "stored_membrane",
    "uncounted_neurons",
]

# A host's classes of neurons, by the package that defines them: bases, and what has none.
_BASES = {
    "spikingjelly": (
        *("BaseNode", "SimpleBaseNode", "GatedLIFNode", "DSRIFNode", "DSRLIFNode"),
        *("PSN", "MaskedPSN", "SlidingPSN", "ActivationAwareIFNode", "STBIFNode", "FlexSN"),
    ),
    "snntorch": ("SpikingNeuron", "LeakyParallel"),
}
_SPIKINGJELLYS_NEURONS = "spikingjelly.activation_based.neuron"
_SNNTORCH_STATES = ("mem", "mem_prev", "syn", "syn_exc", "syn_inh", "spk")


def all_neurons(network: nn.Module) -> dict[str, nn.Module]:
    """List the neurons of a network by name, in the order of definition, without their submodules.

    Example:
        >>> from qsnn_plugins.models import StringNet
        >>> list(all_neurons(StringNet("4C3-GAP-FC2")))
        ['blocks.conv1.neuron']
    """
    found: dict[str, nn.Module] = {}
    inside: set[int] = set()
    for name, module in network.named_modules():
        if id(module) not in inside and _is_neuron(module):
            found[name] = module
            inside.update(map(id, module.modules()))
    return found


def _is_neuron(module: nn.Module) -> bool:
    if isinstance(getattr(module, "quant_spec", None), QuantSpec):
        return True
    return any(_is_of(module, package, names) for package, names in _BASES.items())


def uncounted_neurons(network: nn.Module) -> dict[str, nn.Module]:
    """List what keeps states or is a neuron of a host, but is not among `all_neurons`, by name.

    Args:
        network: A network that has run: a state that no step has stored is none.
    """
    counted = {id(part) for neuron in all_neurons(network).values() for part in neuron.modules()}
    return {
        name: module
        for name, module in network.named_modules()
        if id(module) not in counted and (_keeps_states(module) or _is_spikingjellys(module))
    }


def _keeps_states(module: nn.Module) -> bool:
    states = torch.utils._pytree.tree_leaves(getattr(module, "_memories", {}))  # or lists of them
    return any(isinstance(state, Tensor) for state in states)


def _is_spikingjellys(module: nn.Module) -> bool:
    return any(kind.__module__.startswith(_SPIKINGJELLYS_NEURONS) for kind in type(module).__mro__)


def _is_of(module: nn.Module, package: str, names: tuple[str, ...]) -> bool:
    return any(
        kind.__name__ in names and kind.__module__.partition(".")[0] == package
        for kind in type(module).__mro__
    )


def neuron_states(neuron: nn.Module, count: int) -> int:
    """Count the values that a layer of `count` neurons stores per neuron, at least 1."""
    memories = getattr(neuron, "_memories", None)
    if memories is None:  # snnTorch; spikes are a state only where they come back
        names = _SNNTORCH_STATES[: None if hasattr(neuron, "recurrent") else -1]
        memories = {name: getattr(neuron, name, None) for name in names}
    return max(1, sum(isinstance(m, Tensor) and m.numel() == count for m in memories.values()))


def stored_membrane(spec: MembraneSpec, neuron: nn.Module | None) -> tuple[int, int]:
    """Whole bits of a stored membrane, and its levels, 0 for a float.

    A custom quantizer states its own bits.

    Args:
        spec: How the membrane is quantized.
        neuron: The neuron that stores it, or None for any neuron with this spec. A delayed reset
            may need one more code.

    Example:
        >>> stored_membrane(MembraneSpec(), None), stored_membrane(MembraneSpec("float"), None)
        ((2, 3), (32, 0))
    """
    levels = len(spec.level_table)
    if levels:
        return getattr(neuron, "storage_bits", spec.storage_bits), levels
    quantizer = membrane_quantizer(spec) if neuron is None else getattr(neuron, "membrane", None)
    bits = getattr(quantizer, "bits", None)
    if bits is None:
        return spec.storage_bits, 0
    with_reset = getattr(neuron, "storage_bits", bits)
    bits = with_reset if with_reset < FLOAT_BITS else bits
    return bits, len(getattr(quantizer, "levels", ())) or 2**bits


def is_multi_step(neuron: nn.Module) -> bool:
    """Whether a neuron takes all steps [T, N, ...] at once."""
    if _is_of(neuron, "snntorch", ("LeakyParallel",)):  # an RNN, which has no modes
        return True
    supported = getattr(neuron, "supported_step_mode", None)  # PSN says "s", and takes "m" alone
    return getattr(neuron, "step_mode", "s") == "m" or bool(supported and supported() == ("m",))


@contextmanager
def listed_alone(network: nn.Module) -> Iterator[None]:
    """List the neurons of a network as all that snnTorch has.

    `snntorch.utils.reset` resets what is in a list of the class. A copy of a neuron is not in it,
    and those that a network was copied from are none of its business.
    """
    neurons = [n for n in all_neurons(network).values() if hasattr(n, "instances")]
    found = {id(n.instances): n.instances for n in neurons}
    lists: list[Any] = list(found.values())
    before = [list(each) for each in lists]
    for each in lists:
        each[:] = neurons
    try:
        yield
    finally:
        for each, entries in zip(lists, before, strict=True):
            each[:] = [entry for entry in entries if _is_alive(entry)]


def _is_alive(entry: Any) -> bool:
    try:
        return isinstance(entry, nn.Module)
    except ReferenceError:  # a proxy of a neuron that is gone
        return False


def evaluate_batches(
    network: nn.Module, batches: Iterable[Tensor], run: Callable[[Tensor], Any] | None = None
) -> Iterator[int]:
    """Run batches in evaluation mode without gradients, and yield after each how many have run.

    The network's states are reset before each batch and after the last; its mode is kept.

    Args:
        network: Any network of either host.
        batches: What `run` takes.
        run: Runs one batch through the network; the default hands [T, N, ...] to it.

    Raises:
        ArgumentError: If there is no batch, or `batches` is one tensor.

    Example:
        >>> list(evaluate_batches(nn.Identity(), [torch.zeros(2, 1, 3)]))
        [1]
    """
    is_listed = isinstance(batches, Iterable) or hasattr(batches, "__getitem__")  # as a Dataset
    if isinstance(batches, Tensor) or not is_listed:
        raise ArgumentError("batches", type(batches).__name__, "a list of batches, as in [batch]")
    run, count = run or network, 0
    with evaluating(network):
        for batch in batches:
            reset_states(network)
            with torch.no_grad(), parametrize.cached():  # weights are quantized once for all steps
                run(batch)
            count += 1
            yield count
    if not count:
        raise ArgumentError("batches", 0, "one batch or more")


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluate a network for a block, after which its mode is back and its states are reset."""
    modes = {module: module.training for module in network.modules()}
    try:
        network.eval()
        yield
    finally:
        reset_states(network)
        for module, mode in modes.items():
            module.training = mode
