"""Every membrane, and steps written out."""

import torch

from qsnn_plugins.functional import RELEASED_LEVELS
from qsnn_plugins.spec import MembraneSpec

MEMBRANES = [
    MembraneSpec(kind="clip", lower=-2.0),
    MembraneSpec(),
    MembraneSpec(levels=RELEASED_LEVELS),
    MembraneSpec(kind="pruned"),
    MembraneSpec(kind="threshold_centred", bits=4),
    *(
        MembraneSpec(kind=kind, bits=bits, scale=scale, scale_value=value)
        for kind, bits in (("uniform", 1), ("uniform", 4), ("tanh", 2))
        for scale, value in (("fixed", 1.7), ("learned", 1.0), ("running", 1.0), ("step_max", 1.0))
    ),
]


def rate_is_alive(spikes):
    return 0.05 < (spikes > 0).float().mean() < 0.6


def steps(neuron, x_seq):
    """Spikes and states of a neuron that returns both, over time-major input."""
    results = [neuron(x) for x in x_seq]
    return tuple(torch.stack(part) for part in zip(*results, strict=True))
