"""What of a GPU, its libraries and the hosts is here: `make test-gpu` begins with this."""

import importlib
import importlib.metadata
import sys

import torch

from qsnn_plugins.ops.quantized_lif import cupy

OTHERS = ("triton", "spikingjelly", "snntorch")


def main():
    """Print what there is; 0 if the CUDA kernel can run."""
    print(f"torch {torch.__version__}, CUDA {torch.version.cuda}")
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        print(f"{facts.name}, sm_{facts.major}{facts.minor}, {facts.total_memory >> 30} GiB")
    print(", ".join(f"{name} {version_of(name)}" for name in ("cupy", *OTHERS)))
    reason = None if torch.cuda.is_available() else "torch sees no CUDA device"
    reason = reason or cupy.missing()
    print(reason or "the CUDA kernel can run")
    return int(reason is not None)


def version_of(name):
    """The version of a module, or that it does not import."""
    try:
        module = importlib.import_module(name)
        return getattr(module, "__version__", None) or importlib.metadata.version(name)
    except ImportError:
        return "is absent"


if __name__ == "__main__":
    sys.exit(main())
