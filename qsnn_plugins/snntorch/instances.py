"""snnTorch's list of all neurons, without keeping ours alive."""

from __future__ import annotations

import weakref
from typing import Any

from snntorch import SpikingNeuron

__all__ = ["list_weakly"]


def _clear_entry(proxy: Any) -> None:
    # by identity: a dead proxy cannot be compared; None stays, for the host may be iterating
    for index, entry in enumerate(SpikingNeuron.instances):
        if entry is proxy:
            SpikingNeuron.instances[index] = None


def list_weakly(neuron: SpikingNeuron) -> None:
    """Replace a neuron's entry in `SpikingNeuron.instances` by a weak proxy of it.

    The host's constructor adds every neuron to this list, which keeps it alive forever. A proxy
    passes the host's isinstance checks, so `snntorch.utils.reset` and `snntorch.backprop` still
    find the neuron. After the neuron is deleted, its entry is None until the next neuron is built.

    Args:
        neuron: A neuron whose constructor has just run.

    Example:
        >>> import snntorch
        >>> list_weakly(snntorch.Leaky(beta=0.5))
    """
    entries = [n for n in SpikingNeuron.instances if n is not None and n is not neuron]
    SpikingNeuron.instances[:] = [*entries, weakref.proxy(neuron, _clear_entry)]
