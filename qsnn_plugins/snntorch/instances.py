"""snnTorch's list of all neurons, without keeping ours alive."""

from __future__ import annotations

import weakref
from typing import Any

from snntorch import SpikingNeuron

__all__ = ["hold_weakly"]


def _bury(proxy: Any) -> None:
    # by identity: a dead proxy cannot be compared; None stays, for the host may be iterating
    for place, entry in enumerate(SpikingNeuron.instances):
        if entry is proxy:
            SpikingNeuron.instances[place] = None


def hold_weakly(neuron: SpikingNeuron) -> None:
    """Replace a neuron in `SpikingNeuron.instances` by a weak proxy of it.

    The host's constructor puts every neuron there and keeps it alive for ever. A proxy passes the
    host's isinstance tests, so that `snntorch.utils.reset` and `snntorch.backprop` still find it;
    once the neuron is gone, None stands in its place until the next neuron is built.

    Args:
        neuron: A neuron whose constructor has just run.

    Example:
        >>> import snntorch
        >>> hold_weakly(snntorch.Leaky(beta=0.5))
    """
    entries = [n for n in SpikingNeuron.instances if n is not None and n is not neuron]
    SpikingNeuron.instances[:] = [*entries, weakref.proxy(neuron, _bury)]
