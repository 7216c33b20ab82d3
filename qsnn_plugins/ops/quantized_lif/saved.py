"""What a forward on a GPU leaves for its backward, besides x."""

from __future__ import annotations

import torch
from torch import Tensor

from qsnn_plugins.ops.quantized_lif.parameters import Plain

__all__ = ["held_steps", "packed_shape"]

STEPS_A_WORD = 16  # 2 bits each, in an int32
HELD = 32768  # bytes of recomputed membranes that a block of threads has room for
BLOCK = 128  # threads, each of which loads 16 bytes


def held_steps(dtype: torch.dtype) -> int:
    """Return of how many steps a backward holds the recomputed membranes at once.

    Args:
        dtype: Type of the currents.

    Example:
        >>> held_steps(torch.float32), held_steps(torch.float16)
        (16, 8)
    """
    return HELD // (BLOCK * (16 // dtype.itemsize) * 4)


def packed_shape(x_seq: Tensor, trains: bool, plain: Plain) -> tuple[int, ...]:
    """Return the shape of the membranes that are saved in 2 bits, or that of an empty tensor.

    They are saved where a backward may come, could not hold all steps at once, and 2 bits tell
    what was stored: one of up to three levels, or NaN.

    Args:
        x_seq: Input currents, shape [T, N, ...].
        trains: Whether a backward may come.
        plain: The neuron.

    Example:
        >>> from qsnn_plugins.ops.quantized_lif.parameters import Parameters
        >>> packed_shape(torch.empty(40, 2, 5), True, Parameters().plain())
        (3, 2, 5)
        >>> packed_shape(torch.empty(4, 2, 5), True, Parameters().plain())
        (0,)
    """
    is_small = 0 < len(plain.levels) <= 3 and plain.membrane != "uniform"
    if not (trains and is_small) or plain.reset_is_late or len(x_seq) <= held_steps(x_seq.dtype):
        return (0,)
    return ((len(x_seq) + STEPS_A_WORD - 1) // STEPS_A_WORD, *x_seq.shape[1:])
