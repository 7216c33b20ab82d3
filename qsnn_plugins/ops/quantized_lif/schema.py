"""What a kernel is given, as C has it: flags of its build, and the structs of layout.h."""

from __future__ import annotations

import ctypes
import itertools
import math
import re
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from qsnn_plugins.functional.membrane.stacked import midpoints
from qsnn_plugins.ops.quantized_lif.parameters import NUMBERS

__all__ = [
    "FOLDER",
    "VALUES",
    "Call",
    "Inputs",
    "Kernel",
    "call_of",
    "choices",
    "inner_size",
    "kernel",
]

FOLDER = Path(__file__).parent

# what values.h holds currents and spikes in
VALUES = {torch.float32: "float", torch.float16: "binary16", torch.bfloat16: "bfloat"}

LOWEST = -3.4028234663852886e38  # below it there is no float


def layout(struct: str) -> dict[str, type]:
    """Return the fields of a struct of layout.h in their order; of a table, that of its values.

    Args:
        struct: Its name.

    Example:
        >>> list(layout("Running"))
        ['scale', 'average', 'initialized']
    """
    text = (FOLDER / "layout.h").read_text("utf-8")
    (body,) = re.findall(rf"^struct {struct}\b.*?{{\n(.*?)^}};", text, re.DOTALL | re.MULTILINE)
    types = {"Index": ctypes.c_int64, "float": ctypes.c_float}
    fields = re.findall(r"^    ([\w ]+\*?) (\w+)(?:\[.*\])?;", body, re.MULTILINE)
    return {name: types.get(kind, ctypes.c_void_p) for kind, name in fields}


class Call(ctypes.Structure):
    """`Call` of layout.h."""

    _fields_ = tuple(layout("Call").items())


SCALARS, TABLES = tuple(layout("Scalars")), tuple(layout("Numbers"))


class Inputs(NamedTuple):
    """The tensors that a neuron runs on, see `quantized_lif`, or None where it reads none."""

    x_seq: Tensor
    v: Tensor
    threshold: Tensor
    scale: Tensor | None = None
    initialized: Tensor | None = None
    decay: Tensor | None = None

    def contiguous(self) -> Inputs:
        """Return the tensors as kernels read them.

        They are in rows, on the device of the currents, and float32 but for these.
        """
        x_seq, v, threshold, scale, initialized, decay = self
        device = x_seq.device
        return Inputs(
            x_seq.contiguous(),
            v.float().contiguous(),
            threshold.float().contiguous(),
            None if scale is None else scale.to(device, torch.float32),
            None if initialized is None else initialized.to(device),
            None if decay is None else decay.to(device, torch.float32),
        )


def call_of(inputs: Inputs, **more: Tensor | None) -> Call:
    """Return a call's sizes and pointers to its tensors, which must outlive it.

    Nothing is masked in it.

    Args:
        inputs: The tensors, contiguous.
        **more: Other tensors that `Call` names, or None.
    """
    x_seq, v, threshold, scale, initialized, decay = inputs
    shape, count = x_seq.shape, threshold.numel()
    neurons = math.prod(shape[1:])
    tensors = {"x": x_seq, "v": v, "threshold": threshold, "scale": scale}
    tensors |= {"initialized": initialized, "decay": decay, **more}
    return Call(
        steps=shape[0],
        neurons=neurons,
        v_is_each=v.shape == shape[1:],
        threshold_count=count,
        threshold_inner=inner_size(threshold.shape, shape) if count > 1 else 1,
        samples=1,
        **{name: each.data_ptr() for name, each in tensors.items() if each is not None},
    )


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


class Kernel(NamedTuple):
    """What a kernel is built with, and `Numbers` of layout.h, which it is called with."""

    flags: tuple[str, ...]
    numbers: tuple[float, ...]


@cache
def choices(variant: str) -> dict[str, Any]:
    """Return the choices that a kernel's name says.

    Args:
        variant: What `Parameters.variant` returns.

    Example:
        >>> choices("LEAK=DECAY SPATIAL=0")
        {'LEAK': 'DECAY', 'SPATIAL': 0}
    """
    words = (word.split("=") for word in variant.split(" "))
    return {name: int(value) if value.lstrip("-").isdigit() else value for name, value in words}


@lru_cache(maxsize=1024)  # a schedule may sharpen a surrogate in every epoch
def kernel(
    variant: str, numbers: tuple[float, ...], dtype: torch.dtype, threshold_per_channel: bool
) -> Kernel:
    """Return what a kernel is built and called with.

    Args:
        variant: What `Parameters.variant` returns.
        numbers: What `Parameters.numbers` returns.
        dtype: Type of the currents and spikes.
        threshold_per_channel: Whether each channel has a threshold of its own.

    Example:
        >>> from qsnn_plugins.ops.quantized_lif.parameters import Parameters
        >>> neuron = Parameters(tau=4.0)
        >>> built = kernel(neuron.variant(), tuple(neuron.numbers()), torch.float32, False)
        >>> built.flags[:3], built.numbers[:2]
        (('-DQSNN_VALUE=float', '-DQSNN_LEAK=TIME_CONSTANT', '-DQSNN_RESET=HARD'), (4.0, 0.25))
    """
    named, given = choices(variant), dict(zip(NUMBERS, numbers, strict=False))
    levels = numbers[len(NUMBERS) :]
    middle = tuple(midpoints(levels)) if levels else ()
    pruned, tau = named["PRUNED"], given["tau"] or 1.0
    silenced = [upper for level, upper in zip(levels, middle, strict=False) if pruned and level < 0]
    lower, upper = (levels[0], levels[-1]) if levels else (given["lower"], given["upper"])
    mirrored = named["SLOPE"] == "STACKED" and named["SLOPE_SHAPE"] == "SIGMOID"
    mirrored = mirrored and _is_mirrored(levels, given["smoothness"])
    constants = {
        "THRESHOLD_PER_CHANNEL": threshold_per_channel,
        "RESTS_AT_ZERO": given["v_reset"] == 0,
        "SHARPNESS_IS_ONE": given["sharpness"] == 1,
        "TAU_IS_EXACT": math.frexp(tau)[0] == 0.5,
        "SILENCES": bool(silenced),
        "MIRRORED": mirrored,
        "CENTRE_IS_ZERO": lower == -upper,
    }
    scalars = given | {
        "tau": tau,
        "inverse_tau": 1 / tau,
        "decay": 0.0,
        "gain_of_x": 1 / tau if named["LEAK"] == "TIME_CONSTANT_OF_INPUT" else 1.0,
        "gain_of_q": 1.0 if named["LEAK"] == "NO_LEAK" else 1 - 1 / tau,
        "lower": lower,
        "upper": upper,
        "silent": silenced[-1] if silenced else LOWEST,
        "centre": (lower + upper) / 2,
    }
    pairs = _pairs(levels, middle, given["smoothness"]) if mirrored else []
    has_heights = named["SLOPE"] == "STACKED" and not mirrored
    heights = [above - below for below, above in itertools.pairwise(levels)]
    stored = [max(level, 0.0) if pruned else level for level in levels]
    tables: dict[str, Sequence[float]] = {
        "midpoints": middle,
        "heights": heights if has_heights else (),
        "levels": stored if named["STORE"] == "LEVELS" else (),
        "pair_sums": [both for both, _ in pairs],
        "pair_heights": [height for _, height in pairs],
    }
    return Kernel(
        (
            f"-DQSNN_VALUE={VALUES[dtype]}",
            *(f"-DQSNN_{name}={value}" for name, value in named.items()),
            *(f"-DQSNN_{name}={int(value)}" for name, value in constants.items()),
        ),
        (
            *(scalars[name] for name in SCALARS),
            *(value for name in TABLES for value in (*tables[name], 0.0)),
        ),
    )


def _is_mirrored(levels: Sequence[float], smoothness: float) -> bool:
    """Whether the stacked gradient's sigmoids mirror each other, so that one exponential does."""
    pairs = zip(levels, reversed(levels), strict=True)
    mirrored = all(math.isclose(a + b, levels[0] + levels[-1], abs_tol=1e-12) for a, b in pairs)
    # beyond, the square of a pair's sum is not a float
    return mirrored and smoothness * (levels[-1] - levels[0]) / 2 < 40


def _pairs(
    levels: Sequence[float], middle: Sequence[float], smoothness: float
) -> list[tuple[float, float]]:
    """2 cosh of half the distance of the bumps of each pair, and their height."""
    pairs = []
    for k in range((len(middle) + 1) // 2):
        half = smoothness * (middle[-1 - k] - middle[k]) / 2
        alone = 2 * k + 1 == len(middle)  # in the centre, where the pair is one bump twice
        height = (levels[k + 1] - levels[k]) * smoothness / (2 if alone else 1)
        pairs.append((2 * math.cosh(half), height))
    return pairs
