"""The neuron in one general form: charge, fire, reset, store.

    charge   h[t] = charge(x[t], q[t-1])      the host's way of writing the leak
    fire     s[t] = fire(h[t])                decided by the membrane before it is quantized
    reset    r[t] = reset(h[t], s[t])         hard or soft
    store    q[t] = store(r[t])               the only thing that lives from step to step

The parts are functions, so that a host's conventions stay arguments.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["if_charge", "lif_charge", "multi_step", "plif_charge", "reset", "step"]


def lif_charge(
    x: Tensor, v: Tensor, tau: float = 2.0, decay_input: bool = False, v_rest: float = 0.0
) -> Tensor:
    """Leaky charging as SpikingJelly writes it.

        h = v - (v - v_rest) / tau + x            decay_input=False
        h = v + (x - (v - v_rest)) / tau          decay_input=True

    The papers' u[t] = 0.5 u[t-1] + x[t] (SpQuant-SNN Eq. 1) is tau=2, decay_input=False.

    Args:
        x: Input current, any shape.
        v: Stored membrane, shape of `x`.
        tau: Time constant in steps, above 1.
        decay_input: Whether the input is divided by tau too.
        v_rest: Value that the membrane leaks to.

    Returns:
        Charged membrane h, shape of `x`.

    Example:
        >>> lif_charge(torch.tensor([0.25]), torch.tensor([1.0]))
        tensor([0.7500])
    """
    if decay_input:
        return v + (x - (v - v_rest)) / tau
    return v - (v - v_rest) / tau + x


def plif_charge(
    x: Tensor, v: Tensor, decay: Tensor, decay_input: bool = False, v_rest: float = 0.0
) -> Tensor:
    """Leaky charging with a learned decay, as SpikingJelly's `ParametricLIFNode` writes it.

        h = v - (v - v_rest) decay + x            decay_input=False
        h = v + (x - (v - v_rest)) decay          decay_input=True

    Args:
        x: Input current, any shape.
        v: Stored membrane, shape of `x`.
        decay: 1 / tau, between 0 and 1.
        decay_input: Whether the input is decayed too.
        v_rest: Value that the membrane leaks to.

    Returns:
        Charged membrane h, shape of `x`.

    Example:
        >>> plif_charge(torch.tensor([0.25]), torch.tensor([1.0]), torch.tensor(0.5))
        tensor([0.7500])
    """
    if decay_input:
        return v + (x - (v - v_rest)) * decay
    return v - (v - v_rest) * decay + x


def if_charge(x: Tensor, v: Tensor) -> Tensor:
    """Charging without a leak, h = v + x.

    Args:
        x: Input current, any shape.
        v: Stored membrane, shape of `x`.

    Returns:
        Charged membrane h, shape of `x`.

    Example:
        >>> if_charge(torch.tensor([0.25]), torch.tensor([1.0]))
        tensor([1.2500])
    """
    return v + x


def reset(
    h: Tensor,
    spike: Tensor,
    threshold: Tensor | float = 1.0,
    v_reset: float | None = 0.0,
    detach: bool = False,
) -> Tensor:
    """Membrane after firing (IM-SNN Eq. 2).

        r = f v_reset + (1 - f) h     hard, where v_reset is a number; f = min(s, 1)
        r = h - s V_th                soft, where v_reset is None

    f is 1 where anything was fired: a spike of several bits counts up to 2^S - 1, and 1 - s would
    turn the membrane's sign.

    Args:
        h: Charged membrane, any shape.
        spike: Spikes 0 or 1, or counts from 0, shape of `h`.
        threshold: V_th, a number or a tensor that broadcasts to `h`.
        v_reset: Value after a spike, or None for the soft reset.
        detach: Whether the gradient is kept from flowing through the spike here.

    Returns:
        Membrane after reset, shape of `h`.

    Example:
        >>> h, s = torch.tensor([0.5, 1.25]), torch.tensor([0.0, 1.0])
        >>> reset(h, s), reset(h, s, v_reset=None)
        (tensor([0.5000, 0.0000]), tensor([0.5000, 0.2500]))
    """
    if detach:
        spike = spike.detach()
    if v_reset is None:
        return h - spike * threshold
    fired = spike.clamp(max=1)
    kept = (1.0 - fired) * h
    return kept if v_reset == 0 else fired * v_reset + kept


def step(
    x: Tensor,
    q: Tensor,
    charge: Callable[[Tensor, Tensor], Tensor],
    fire: Callable[[Tensor], Tensor],
    reset: Callable[[Tensor, Tensor], Tensor],
    store: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """One time step of any neuron of this package.

    Args:
        x: Input current, shape [N, ...].
        q: Stored membrane of the step before, shape [N, ...].
        charge: (x, q) to the charged membrane h.
        fire: h to spikes.
        reset: (h, spikes) to the membrane after firing.
        store: Membrane after firing to what is stored of it.

    Returns:
        Spikes and stored membrane, each of shape [N, ...].

    Example:
        >>> from qsnn_plugins.functional import heaviside, nearest_level
        >>> fire = lambda h: heaviside(h - 1.0)
        >>> x, q = torch.tensor([0.75, 1.5]), torch.zeros(2)
        >>> step(x, q, charge=lif_charge, fire=fire, reset=reset, store=nearest_level)
        (tensor([0., 1.]), tensor([1., 0.]))
    """
    h = charge(x, q)
    spike = fire(h)
    return spike, store(reset(h, spike))


def multi_step(
    x_seq: Tensor,
    q: Tensor,
    charge: Callable[[Tensor, Tensor], Tensor],
    fire: Callable[[Tensor], Tensor],
    reset: Callable[[Tensor, Tensor], Tensor],
    store: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """`step` over time-major input; the definition of correct for every fused form.

    Args:
        x_seq: Input currents, shape [T, N, ...] with T >= 1.
        q: Stored membrane before the first step, shape [N, ...].
        charge: See `step`.
        fire: See `step`.
        reset: See `step`.
        store: See `step`.

    Returns:
        Spikes and stored membranes of every step, each of shape [T, N, ...].

    Example:
        >>> from qsnn_plugins.functional import heaviside
        >>> fire = lambda h: heaviside(h - 1.0)
        >>> x_seq = torch.full((3, 1), 0.75)
        >>> spikes, states = multi_step(x_seq, torch.zeros(1), lif_charge, fire, reset, lambda r: r)
        >>> spikes.flatten(), states.flatten()
        (tensor([0., 1., 0.]), tensor([0.7500, 0.0000, 0.7500]))
    """
    spikes, states = [], []
    for x in x_seq:
        spike, q = step(x, q, charge, fire, reset, store)
        spikes.append(spike)
        states.append(q)
    return torch.stack(spikes), torch.stack(states)
