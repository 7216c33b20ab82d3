"""The integer network: run it, save it, write it as C, or compile it for this CPU."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from qsnn_plugins.export.c import write_c
from qsnn_plugins.export.files import read, save
from qsnn_plugins.export.network import NodeGraph
from qsnn_plugins.export.runtime import CompiledNetwork, compile_network

__all__ = ["IntegerNetwork", "load"]


class IntegerNetwork(NodeGraph):
    """A network that computes with integers only: sums, comparisons and tables.

    Args:
        nodes: The nodes in the order of computation; the last one is the output.
    """

    def save(self, path: str | Path) -> None:
        """Write it as safetensors; see `export.load`.

        Args:
            path: The file, by convention `.safetensors`. It is written completely or not at all.

        Raises:
            ArgumentError: If it cannot be written there.
        """
        save(self, path)

    def to_c(self, folder: str | Path, prefix: str = "qsnn") -> None:
        """Write it as C99 without floats and memory allocation; see `export.c.write_c`.

        Args:
            folder: Output folder, created if necessary.
            prefix: Prefix of the names in the header.

        Raises:
            ArgumentError: If the folder cannot be written, or the prefix is not allowed in C names.
            ExportError: If a value of the network does not fit in 32 bits.
        """
        write_c(self, folder, prefix)

    def compile(self, threads: int | None = None, frames: Tensor | None = None) -> CompiledNetwork:
        """Compile the network for the CPU of this machine, with identical results.

        For each layer, the fastest way of summing is measured and used, at the firing rates of
        `frames`. The first call on a machine needs a C++ compiler.

        Args:
            threads: Number of threads, or None for torch's number.
            frames: Frames for this measurement, [T, N, ...] as in a call; by default random input.

        Raises:
            ArgumentError: If an argument is not allowed.
            BuildError: If there is no compiler.
            ExportError: If values do not fit in 32 bits.
        """
        return compile_network(self, threads, frames)


def load(path: str | Path) -> IntegerNetwork:
    """Load a network that `IntegerNetwork.save` wrote, without executing anything from the file.

    Args:
        path: The file.

    Returns:
        The network.

    Raises:
        ExportError: If the file is missing, damaged, or not an integer network.
        ArgumentError: If `path` is not a path.
    """
    return IntegerNetwork(read(path))
