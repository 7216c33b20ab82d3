"""The kernels' constants and numbers: what `neuron.h` is built with, and what it is called with."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import get_args

import torch

from qsnn_plugins.functional.membrane.stacked import midpoints
from qsnn_plugins.functional.membrane.uniform import step_codes
from qsnn_plugins.functional.surrogate import SurrogateKind
from qsnn_plugins.functional.threshold import ThresholdGradient
from qsnn_plugins.ops.quantized_lif.parameters import Plain, ScaleOfSteps

__all__ = ["VALUES", "defines", "inner_size", "numbers"]

# what values.h holds currents and spikes in
VALUES = {torch.float32: "float", torch.float16: "binary16", torch.bfloat16: "bfloat"}

SHAPES = get_args(SurrogateKind)
LEARNING = get_args(ThresholdGradient)
SCALES = get_args(ScaleOfSteps)
STORES = ("float", "clip", "levels", "uniform")
SLOPES = ("straight_through", "clipped_straight_through", "stacked")
LEAKS = ("none", "time_constant", "time_constant_of_input", "decay", "rate", "rate_of_input")
RESETS = ("hard", "soft", "none")

LOWEST = -3.4028234663852886e38  # below it there is no float


def defines(plain: Plain, threshold_a_channel: bool, scale_learns: bool) -> tuple[str, ...]:
    """Return the choices as flags of a C++ compiler, such as "-DQSNN_LEAK=1".

    Args:
        plain: The neuron.
        threshold_a_channel: Whether each channel has a threshold of its own.
        scale_learns: Whether the membrane's scale wants a gradient.

    Example:
        >>> from qsnn_plugins.ops.quantized_lif.parameters import Parameters
        >>> defines(Parameters().plain(), False, False)[:2]
        ('-DQSNN_LEAK=1', '-DQSNN_RESET=0')
    """
    least, greatest = step_codes(plain.bits)
    stacked = plain.gradient == "stacked"
    constants = {
        "LEAK": LEAKS.index(_leak(plain)),
        "RESET": RESETS.index(_reset(plain)),
        "STORE": STORES.index(_store(plain)),
        "SLOPE": SLOPES.index(plain.gradient),
        "SPIKE_SHAPE": SHAPES.index(plain.spike_surrogate),
        "SLOPE_SHAPE": SHAPES.index(plain.surrogate) if stacked else 0,
        "LEARNING": LEARNING.index(plain.threshold_gradient),
        "WINDOW": SHAPES.index(plain.window) if plain.threshold_gradient == "separate" else 0,
        "SCALE": SCALES.index(plain.scale_of_steps) if plain.membrane == "uniform" else 0,
        "LEVEL_COUNT": len(plain.levels),
        "LEAST_CODE": least if plain.membrane == "uniform" else 0,
        "GREATEST_CODE": greatest if plain.membrane == "uniform" else 1,
        "GREATEST_SPIKE": 2**plain.spike_bits - 1,
        "RESET_IS_LATE": plain.reset_is_late,
        "DETACHED": plain.detach_reset,
        "FIRES_AT_ZERO": plain.fires_at_threshold,
        "RESTS_AT_ZERO": not plain.v_reset,
        "SHARPNESS_IS_ONE": plain.sharpness == 1,
        "CENTRE_IS_ZERO": bool(plain.levels) and plain.levels[0] == -plain.levels[-1],
        "TAU_IS_EXACT": plain.tau is not None and math.frexp(plain.tau)[0] == 0.5,
        "SENDS_THRESHOLD": plain.sends_threshold,
        "SILENCES": plain.membrane == "pruned" and plain.levels[0] < 0,
        "MIRRORED": stacked and _is_mirrored(plain),
        "SCALE_LEARNS": scale_learns,
        "LEAK_LEARNS": plain.leak_learns,
        "THRESHOLD_A_CHANNEL": threshold_a_channel,
    }
    return tuple(f"-DQSNN_{name}={int(value)}" for name, value in constants.items())


def numbers(plain: Plain) -> list[float]:
    """Return `Numbers` of neuron.h, in its order.

    Args:
        plain: The neuron.

    Example:
        >>> from qsnn_plugins.ops.quantized_lif.parameters import Parameters
        >>> numbers(Parameters(tau=4.0).plain())[:2]
        [4.0, 0.25]
    """
    levels, borders = plain.levels, midpoints(plain.levels) if plain.levels else []
    heights = [b - a for a, b in itertools.pairwise(levels)]
    tau, leak = plain.tau or 1.0, _leak(plain)
    gain_of_x = 1 / tau if leak == "time_constant_of_input" else 1.0
    gain_of_q = 1.0 if leak == "none" else 1 - 1 / tau
    lower, upper = (levels[0], levels[-1]) if levels else plain.bounds
    pruned = plain.membrane == "pruned"
    silent = [top for level, top in zip(levels, borders, strict=False) if pruned and level < 0]
    kept = [max(level, 0.0) if pruned else level for level in levels]
    return [
        *(tau, 1 / tau, 0.0, plain.v_reset or 0.0),
        *(plain.sharpness, plain.smoothness, gain_of_x, gain_of_q),
        *(lower, upper, silent[-1] if silent else LOWEST),
        (lower + upper) / 2,
        plain.momentum,
        *(*borders, 0.0),
        *(*heights, 0.0),
        *(*kept, 0.0),
        *_pairs(plain),
    ]


def _leak(plain: Plain) -> str:
    if plain.decays:
        return "decay"
    if plain.has_rate:
        return "rate_of_input" if plain.decay_input else "rate"
    if plain.tau is None:
        return "none"
    return "time_constant_of_input" if plain.decay_input else "time_constant"


def _reset(plain: Plain) -> str:
    if not plain.resets:
        return "none"
    return "soft" if plain.v_reset is None else "hard"


def _store(plain: Plain) -> str:
    return plain.membrane if plain.membrane in STORES else "levels"


def _is_mirrored(plain: Plain) -> bool:
    """Whether the stacked gradient's sigmoids mirror each other, so that one exponential does."""
    levels = plain.levels
    if plain.surrogate != "sigmoid":
        return False
    pairs = zip(levels, reversed(levels), strict=True)
    mirrored = all(math.isclose(a + b, levels[0] + levels[-1], abs_tol=1e-12) for a, b in pairs)
    # beyond, the square of a pair's sum is no float
    return mirrored and plain.smoothness * (levels[-1] - levels[0]) / 2 < 40


def _pairs(plain: Plain) -> list[float]:
    """2 cosh of half the distance of the bumps of each pair, and their heights."""
    levels, borders = plain.levels, midpoints(plain.levels) if plain.levels else []
    sums, heights = [], []
    for k in range((len(borders) + 1) // 2):
        half = plain.smoothness * (borders[-1 - k] - borders[k]) / 2
        alone = 2 * k + 1 == len(borders)  # in the centre, where the pair is one bump twice
        sums.append(2 * math.cosh(half) if _is_mirrored(plain) else 0.0)
        heights.append((levels[k + 1] - levels[k]) * plain.smoothness / (2 if alone else 1))
    return [*sums, 0.0, *heights, 0.0]


def inner_size(threshold: Sequence[int], x_seq: Sequence[int]) -> int:
    """Return how many neurons in a row share a threshold.

    Args:
        threshold: Shape [] or [C, 1, ...].
        x_seq: Shape [T, N, C, ...].

    Example:
        >>> inner_size((3, 1, 1), (4, 2, 3, 5, 5))
        25
    """
    trailing = len(list(itertools.takewhile(lambda size: size == 1, reversed(threshold))))
    return math.prod(x_seq[len(x_seq) - trailing :])
