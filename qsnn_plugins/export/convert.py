"""Conversion of a trained network to an integer network."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from qsnn_plugins.cost.neurons import listed_alone
from qsnn_plugins.cost.trace import isolated_copy
from qsnn_plugins.errors import ArgumentError, ExportError
from qsnn_plugins.export.builder import Grid
from qsnn_plugins.export.calls import Calls, ways_to_call
from qsnn_plugins.export.integer import IntegerNetwork
from qsnn_plugins.export.operators import SeveralSamplesError
from qsnn_plugins.export.rehearsal import rehearsed
from qsnn_plugins.export.trace import trace
from qsnn_plugins.nn import channel_gates
from qsnn_plugins.progress import phase

__all__ = ["to_integer"]

_PIXEL = 1 / 255
_PIXEL_BITS, _FLOAT_BITS = 8, 16
_GREATEST = 2 ** (_FLOAT_BITS - 1) - 1


def to_integer(
    network: nn.Module, example_input: Tensor, input_unit: float | None = None
) -> IntegerNetwork:
    r"""Convert a trained network to one that computes with integers only.

    A run of a copy is traced operator by operator, so any network can be converted: of this
    package, of SpikingJelly or snnTorch after `inject`, or your own. A synapse sums integer codes,
    acc = Σ code x. Bias, normalization and average pooling between the synapse and the neuron turn
    this into A acc + B per channel. The step of the neuron is then tabulated: for each stored level
    and each outcome (spikes and new level) there is one bound on acc from which on it occurs,

        A acc + B >= x*   <=>   acc >= ceil((x* - B) / A),

    computed exactly. There are no floats and no multiplications at run time, with two exceptions
    that need one fixed-point multiplication per neuron (never per synapse): sums of normalized
    branches, and membranes with more than 16 levels.

    One time step is traced and assumed to be like all others. To check this, several steps of both
    networks are run side by side with random spikes and states. If the inputs of neurons, their
    states or the answers differ in any step, the network is refused.

    The bounds are exact for the numbers in the network. The float network itself has rounding
    errors, so it may differ in rare cases; `export.verify` counts them.

    Args:
        network: A network with quantized weights and membranes. It is not changed; a copy is run in
            evaluation mode.
        example_input: Frames [T, N, ...], or [N, ...] if a call takes one frame (a single-step
            network, or one that repeats its input itself). Which of these applies is found by
            counting the steps that the neurons run. One sample is traced; the values of all samples
            determine the integer range. The number of steps of the check is that of the example,
            from 3 to 32.
        input_unit: Input value of the integer 1. None chooses it: 1 for counts, 1/255 for pixels,
            otherwise a power of two such that the example fits into 16 bits; inputs are then
            rounded, by less than 1/10,000 of the largest value. A larger one takes fewer bits. If
            the example has only counts or pixels, other values are refused later, unless
            `input_unit` is given: then they are rounded.

    Returns:
        The integer network.

    Raises:
        ExportError: If a part cannot be converted: float weights or membranes, masks that sort or
            score, scales measured at run time, transposed convolutions, attention; or if steps
            differ: spikes that are fed back, membranes that are scaled or replaced between steps,
            answers such as y[-1]. The message names the part and suggests what to do.
        ArgumentError: If an argument is not allowed.

    Example:
        >>> from qsnn_plugins import presets
        >>> from qsnn_plugins.models import StringNet
        >>> network = StringNet("4C3-GAP-FC2", spec=presets.imsnn(weight_bits=4)).eval()
        >>> frames = torch.randint(0, 3, (5, 1, 2, 8, 8)).float()
        >>> integer = to_integer(network, frames)
        >>> integer.multiplications, list(integer.neurons)
        (0, ['blocks.conv1.neuron'])
        >>> answers, spikes = integer(frames)
        >>> answers.shape, answers.dtype
        (torch.Size([5, 1, 2]), torch.int64)
    """
    if not isinstance(network, nn.Module):
        raise ArgumentError("network", network, "a torch.nn.Module")
    _check(example_input, input_unit)
    dtype = _dtype(network)
    grid = _grid(example_input, input_unit)
    for name in channel_gates(network):
        raise ExportError(
            f"{name} has a channel gate, which computes means that are not integers: export a "
            "network without pruning.channel_threshold"
        )
    copied = isolated_copy(network, "cpu").cpu().eval()
    x = example_input.detach().to("cpu", dtype)
    several: SeveralSamplesError | None = None
    with phase("turning the network into integers"), listed_alone(copied), parametrize.cached():
        for calls, frames in ways_to_call(copied, x, "example_input"):
            try:
                return _converted(copied, calls, frames, grid)
            except SeveralSamplesError as error:
                several = several or error
    assert several is not None
    raise several


def _converted(network: nn.Module, calls: Calls, frames: Tensor, grid: Grid) -> IntegerNetwork:
    nodes, charges = trace(network, calls.example(frames), grid, calls)
    whole = (frames.double() / grid.unit).round()
    return IntegerNetwork(rehearsed(network, nodes, charges, calls, whole))


def _check(x: Any, unit: Any) -> None:
    if not isinstance(x, Tensor) or x.layout is not torch.strided or x.is_meta or x.is_complex():
        raise ArgumentError("example_input", type(x).__name__, "a dense tensor of real values")
    if not x.numel() or not x.isfinite().all():
        raise ArgumentError("example_input", list(x.shape), "values, all of them finite")
    is_number = isinstance(unit, int | float) and not isinstance(unit, bool)
    if unit is not None and not (is_number and 0 < unit < math.inf):
        raise ArgumentError("input_unit", unit, "a number above 0, or None")


def _dtype(network: nn.Module) -> torch.dtype:
    """What a network computes in."""
    tensors = [*network.named_parameters(), *network.named_buffers()]
    for name, tensor in tensors:
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ExportError(f"{name} contains values that are not finite")
    dtypes = {tensor.dtype for _, tensor in tensors if tensor.is_floating_point()}
    if dtypes <= {torch.float32, torch.float64}:
        return next((p.dtype for p in network.parameters()), torch.float32)
    raise ArgumentError("network", sorted(map(str, dtypes)), "float32 or float64: network.float()")


def _grid(x: Tensor, unit: float | None) -> Grid:
    """The integers of the input. What is found from whole ones holds for whole ones alone."""
    rounds = unit is not None
    if unit is None:
        unit = next((u for u in (1.0, _PIXEL) if _fits(x, u)), None)
    if unit is None:
        unit, rounds = _power_of_two(float(x.abs().max())), True
    unit = float(unit)  # files tell integers and floats apart
    whole = (x.double() / unit).round()
    if bool(x.any()) and not whole.any():
        most = f"at most {2 * float(x.abs().max()):.6g}: the example is rounded to 0"
        raise ArgumentError("input_unit", unit, most)
    if float(whole.min()) >= 0 and float(whole.max()) < 2**_PIXEL_BITS:
        return Grid(unit, 0, 2**_PIXEL_BITS - 1, rounds)
    if float(whole.abs().max()) > _GREATEST:
        raise ArgumentError("input_unit", unit, f"one of which the example has at most {_GREATEST}")
    # what is rounded may be a little greater in other frames
    bits = int(whole.abs().max()).bit_length() + rounds
    bits = min(max(bits, _PIXEL_BITS - 1), _FLOAT_BITS - 1)
    return Grid(unit, -(2**bits), 2**bits - 1, rounds)


def _power_of_two(greatest: float) -> float:
    """Return the least unit in which so great a value is an integer of 16 bits."""
    unit = 2.0 ** (math.frexp(greatest)[1] - _FLOAT_BITS + 1)
    return unit if round(greatest / unit) <= _GREATEST else 2 * unit


def _fits(x: Tensor, unit: float) -> bool:
    whole = x.double() / unit
    nearest = whole.round()
    is_whole = ((whole - nearest).abs() <= 1e-4 * nearest.abs()).all()  # of pixels in float32
    return bool(is_whole) and float(whole.abs().max()) < 2**_PIXEL_BITS
