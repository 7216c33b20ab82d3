"""Measures of operations and energy from the papers."""

from __future__ import annotations

from qsnn_plugins.errors import ArgumentError

__all__ = ["arithmetic_effort", "bit_budget", "operation_energy", "remaining_operations"]


def bit_budget(time_steps: int, weight_bits: float, spike_bits: int) -> float:
    """Bits of one synapse over all steps (bit budget Eq. 4): BB = T · W · S.

    Args:
        time_steps: T, from 1.
        weight_bits: W, above 0; the paper uses 16 for float weights.
        spike_bits: S, from 1.

    Returns:
        Bits; a scalar, shape ().

    Raises:
        ArgumentError: If an argument is not allowed.

    Example:
        >>> bit_budget(time_steps=4, weight_bits=16, spike_bits=1)
        64
    """
    for name, value in (("time_steps", time_steps), ("spike_bits", spike_bits)):
        if not isinstance(value, int) or value < 1:
            raise ArgumentError(name, value, "an integer from 1")
    if not weight_bits > 0:
        raise ArgumentError("weight_bits", weight_bits, "a number above 0")
    return time_steps * weight_bits * spike_bits


def arithmetic_effort(macs: float, budget: float, firing_rate: float = 1) -> float:
    """Synaptic arithmetic effort of one layer (bit budget Eq. 8 and 9).

        S-ACE = n BB,    NS-ACE = f n BB

    Args:
        macs: n, the layer's multiply-accumulate operations in one step.
        budget: BB of the layer's weights and inputs, in bits.
        firing_rate: f, from 0 to 1; 1 gives S-ACE.

    Returns:
        Effort in bit operations; a scalar, shape ().

    Raises:
        ArgumentError: If `firing_rate` is not allowed.

    Example:
        >>> arithmetic_effort(1000, bit_budget(4, 2, 1)), arithmetic_effort(1000, 8, 0.25)
        (8000, 2000.0)
    """
    _check_share("firing_rate", firing_rate)
    return macs * budget * firing_rate


def remaining_operations(operations: float, spatial: float = 0.0, channel: float = 0.0) -> float:
    """Operations of one layer that remain after pruning (SpQuant-SNN Eq. 30).

        T k² C' C (1 - S_c) H W (1 - S_p)

    Args:
        operations: T k² C' C H W, the operations without pruning.
        spatial: S_p, share of the layer's neurons that the spatial mask removes.
        channel: S_c, share of its channels that the channel mask removes.

    Returns:
        Operations; a scalar, shape ().

    Raises:
        ArgumentError: If a share is not from 0 to 1.

    Example:
        >>> remaining_operations(1000, spatial=0.5, channel=0.25)
        375.0
    """
    _check_share("spatial", spatial)
    _check_share("channel", channel)
    return operations * (1 - channel) * (1 - spatial)


def operation_energy(
    additions: float, multiplications: float, add_energy: float, multiply_energy: float
) -> float:
    """Energy of additions and multiplications (SpQuant-SNN Eq. 31): N_add E_add + N_mul E_mul.

    Args:
        additions: N_add.
        multiplications: N_mul.
        add_energy: E_add of one addition, in any unit.
        multiply_energy: E_mul of one multiplication, in the same unit.

    Returns:
        Energy in that unit; a scalar, shape ().

    Example:
        >>> operation_energy(1000, 10, add_energy=0.007, multiply_energy=0.07)  # pJ, 8 bits, 7 nm
        7.7
    """
    return additions * add_energy + multiplications * multiply_energy


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ArgumentError(name, value, "a number from 0 to 1")
