"""What the tests of the CUDA kernel share."""

import pytest
import torch

from qsnn_plugins.ops.quantized_lif import cupy


def lacking():
    """Why the CUDA kernel cannot run here, or None."""
    if not torch.cuda.is_available():
        return "there is no CUDA device"
    reason = cupy.missing()
    return reason and f"the CUDA kernel cannot run: {reason}"


REASON = lacking()
needs_gpu = [pytest.mark.gpu, pytest.mark.skipif(REASON is not None, reason=str(REASON))]
needs_two_gpus = pytest.mark.skipif(
    torch.cuda.device_count() < 2, reason="there is no second CUDA device"
)


def unaligned(tensor):
    """A copy whose memory begins off the 16 bytes that a thread loads at once."""
    room = tensor.new_empty(tensor.numel() + 1)[1:].view(tensor.shape)
    assert room.data_ptr() % 16
    return room.copy_(tensor)
