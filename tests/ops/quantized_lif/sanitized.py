"""A kernel of the CPU over odd shapes, stopped at its first fault of memory or arithmetic."""

from pathlib import Path

from qsnn_plugins.ops.quantized_lif.schema import FOLDER, kernel
from tests.toolchain import run_sanitized

SOURCE = Path(__file__).parent / "sanitized.cpp"


def run_kernel_sanitized(parameters, dtype, threshold_per_channel, folder):
    """How many calls of a forward and a backward it ran."""
    variant, numbers = parameters.variant(), tuple(parameters.numbers())
    flags, values = kernel(variant, numbers, dtype, threshold_per_channel)
    listed = ", ".join(f"{float(value)}f" for value in values)
    return int(run_sanitized(SOURCE, (f"-I{FOLDER}", *flags, f"-DNUMBERS={listed}"), folder))
