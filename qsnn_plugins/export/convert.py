"""From a trained network to one of integers."""

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

__all__ = ["to_integer"]

_PIXEL = 1 / 255
_PIXEL_BITS, _FLOAT_BITS = 8, 16


def to_integer(
    network: nn.Module, example_input: Tensor, input_unit: float | None = None
) -> IntegerNetwork:
    r"""Return a trained network as one that computes with integers alone.

    A run of a copy is followed operator by operator, so that the network may be anybody's: of this
    package, injected, of SpikingJelly or snnTorch. A synapse sums integer codes, acc = Σ code x;
    what follows it until the neuron, bias, normalization and average pooling, makes of that
    A acc + B per channel. The neuron's own step is then tabulated: for each stored level and each
    outcome (what is sent, what is stored) there is one bound on acc from which on it happens,

        A acc + B >= x*   <=>   acc >= ceil((x* - B) / A),

    computed exactly. Nothing is multiplied at run time, and no float is there. Two kinds of layers
    need one fixed-point multiplication per neuron (never per synapse): sums of normalized paths,
    and membranes of more than 16 levels.

    One step is followed and taken for all. Then the network runs several steps beside its integers,
    with neurons that send and store what is drawn at random: what it gives them, what they store
    and what it answers has to be the same in each step, or the network is refused.

    Bounds are exact for the numbers that the network holds. Where the float network itself rounds,
    the integers are the exact network and the float one is the approximation: `export.verify`
    counts what differs.

    Args:
        network: A network whose weights and membranes are quantized. It is left as it is; a copy
            runs at evaluation.
        example_input: Frames [T, N, ...], or [N, ...] where a call takes one frame: a network of
            single steps, or one that adds time itself. Which of them it is, is found by counting
            the steps that its neurons run. One sample is followed; all of them say which integers
            to expect. As many steps as the example has are run, from 3 to 32.
        input_unit: What an integer of 1 stands for in the input. None finds it: 1 for counts,
            1/255 for pixels, otherwise a power of two such that 16 bits hold the example; the
            input is then rounded, to less than 1/10,000 of its greatest value. Where counts or
            pixels were found, later frames with other values are refused, and rounded where the
            unit was given.

    Returns:
        The network of integers.

    Raises:
        ExportError: If a part has no form in integers: float weights or membranes, masks that sort
            or score, scales measured at run time, transposed convolutions, attention; or if steps
            differ: spikes that are fed back, membranes that are scaled or made anew between steps,
            answers such as y[-1]. The message names it, and what would help.
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
            f"{name} is gated by means, which are no integers: export a network without "
            "pruning.channel_threshold"
        )
    copied = isolated_copy(network, "cpu").cpu().eval()
    x = example_input.detach().to("cpu", dtype)
    several: SeveralSamplesError | None = None
    with listed_alone(copied), parametrize.cached():
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
            raise ExportError(f"{name} holds values that are not finite")
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
        exponent = math.frexp(float(x.abs().max()))[1]
        unit, rounds = 2.0 ** (exponent - _FLOAT_BITS + 1), True
    whole = (x.double() / unit).round()
    if bool(x.any()) and not whole.any():
        most = f"at most {2 * float(x.abs().max()):.6g}: the example is rounded to 0"
        raise ArgumentError("input_unit", unit, most)
    if float(whole.min()) >= 0 and float(whole.max()) < 2**_PIXEL_BITS:
        return Grid(unit, 0, 2**_PIXEL_BITS - 1, rounds)
    greatest = 2 ** (_FLOAT_BITS - 1) - 1
    if float(whole.abs().max()) > greatest:
        raise ArgumentError("input_unit", unit, f"one of which the example has at most {greatest}")
    return Grid(unit, -greatest - 1, greatest, rounds)


def _fits(x: Tensor, unit: float) -> bool:
    whole = x.double() / unit
    nearest = whole.round()
    is_whole = ((whole - nearest).abs() <= 1e-4 * nearest).all()  # of pixels in float32
    return bool(is_whole) and float(whole.max()) < 2**_PIXEL_BITS
