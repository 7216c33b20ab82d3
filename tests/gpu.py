"""Which GPU the tests run on, or why none of them can: `make test-gpu` begins with this."""

import sys

import torch

from qsnn_plugins.ops.quantized_lif import cupy


def main():
    """Print a line; 0 if the CUDA kernel can run."""
    if not torch.cuda.is_available():
        print(f"torch {torch.__version__} sees no CUDA device", file=sys.stderr)
        return 1
    reason = cupy.missing()
    print(f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, torch {torch.__version__}")
    if reason:
        print(reason, file=sys.stderr)
    return int(reason is not None)


if __name__ == "__main__":
    sys.exit(main())
