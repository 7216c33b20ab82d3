"""From a trained network to one of integers."""

from __future__ import annotations

import copy
import math
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from qsnn_plugins.cost.neurons import all_neurons, is_multi_step
from qsnn_plugins.errors import ArgumentError, QSNNError
from qsnn_plugins.export.firing import ChangingInputError
from qsnn_plugins.export.integer import IntegerNetwork
from qsnn_plugins.export.trace import SeveralSamplesError, trace

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

    Bounds are exact for the numbers that the network holds. Where the float network itself rounds,
    the integers are the exact network and the float one is the approximation: `export.verify`
    counts what differs.

    Args:
        network: A network whose weights and membranes are quantized. It is left as it is; a copy
            runs at evaluation.
        example_input: One step of one sample as the network takes it: [1, 1, ...] where it takes
            all steps at once, [1, ...] where it takes one or counts steps by itself. Of more steps
            or samples, the first is run, and all of them say which integers to expect.
        input_unit: What an integer of 1 stands for in the input. None finds it: 1 for counts,
            1/255 for pixels, otherwise a power of two such that 16 bits hold the example; the
            input is then rounded, to less than 1/10,000 of its greatest value.

    Returns:
        The network of integers.

    Raises:
        ExportError: If a part has no form in integers: float weights or membranes, masks that sort
            or score, scales measured at run time, transposed convolutions, attention. The message
            names it, and what would help.
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
    grid = _grid(example_input, input_unit)
    copied = copy.deepcopy(network).cpu().eval()
    shorter = [x for x in _shorter(copied, example_input) if x.numel()]
    for x in shorter[:-1]:
        with suppress(SeveralSamplesError):
            return _traced(copied, x, grid)
    return _traced(copied, shorter[-1], grid)


def _check(x: Any, unit: Any) -> None:
    if not isinstance(x, Tensor) or x.layout is not torch.strided or x.is_meta or x.is_complex():
        raise ArgumentError("example_input", type(x).__name__, "a dense tensor of real values")
    if not x.numel() or not x.isfinite().all():
        raise ArgumentError("example_input", list(x.shape), "values, all of them finite")
    is_number = isinstance(unit, int | float) and not isinstance(unit, bool)
    if unit is not None and not (is_number and 0 < unit < math.inf):
        raise ArgumentError("input_unit", unit, "a number above 0, or None")


def _traced(network: nn.Module, x: Tensor, grid: tuple[float, int, int]) -> IntegerNetwork:
    dtype = next((p.dtype for p in network.parameters()), torch.float32)
    x = x.to("cpu", dtype)
    try:
        with torch.no_grad():
            network(x)
    except QSNNError:
        raise
    # a network of any kind runs here: what it raises at a shape that does not fit is its own
    except Exception as error:
        reason = " ".join(str(error).split())
        allowed = f"a shape that {type(network).__name__} takes ({reason})"
        raise ArgumentError("example_input.shape", tuple(x.shape), allowed) from error
    nodes = tuple(trace(network, x, *grid))
    _check_next_step(network, x, grid)
    return IntegerNetwork(nodes)


def _check_next_step(network: nn.Module, x: Tensor, grid: tuple[float, int, int]) -> None:
    """Refuse what is fed back, where a network of single steps takes them one by one itself."""
    if any(is_multi_step(neuron) for neuron in all_neurons(network).values()):
        return
    try:
        trace(network, torch.cat([x, x]), *grid, steps=2)
    except ChangingInputError:
        raise
    # a further check alone: where the first dimension is of samples, two of them may make the
    # network raise anything, and what was followed before is right as it is
    except Exception:
        return


def _shorter(network: nn.Module, x: Tensor) -> list[Tensor]:
    """The example cut to one step of one sample, in the ways in which it may be meant."""
    takes_steps = any(is_multi_step(neuron) for neuron in all_neurons(network).values())
    both = x[:1, :1] if x.dim() > 1 else x
    return [both] if takes_steps else [x[:1], both]


def _grid(x: Tensor, unit: float | None) -> tuple[float, int, int]:
    """The unit of the input, and the least and the greatest integer."""
    if unit is None:
        unit = next((u for u in (1.0, _PIXEL) if _fits(x, u)), None)
    if unit is None:
        exponent = math.frexp(float(x.abs().max()))[1]
        unit = 2.0 ** (exponent - _FLOAT_BITS + 1)
    whole = (x.double() / unit).round()
    if float(whole.min()) >= 0 and float(whole.max()) < 2**_PIXEL_BITS:
        return unit, 0, 2**_PIXEL_BITS - 1
    greatest = 2 ** (_FLOAT_BITS - 1) - 1
    if float(whole.abs().max()) > greatest:
        raise ArgumentError("input_unit", unit, f"one of which the example has at most {greatest}")
    return unit, -greatest - 1, greatest


def _fits(x: Tensor, unit: float) -> bool:
    whole = x.double() / unit
    is_whole = (whole - whole.round()).abs().max() < 1e-4  # of pixels in float32
    return bool(is_whole) and float(whole.min()) >= 0 and float(whole.max()) < 2**_PIXEL_BITS
