"""The integer network as users have it: it runs, is saved, written as C and built for this CPU."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from qsnn_plugins.export.c import write_c
from qsnn_plugins.export.files import read, save
from qsnn_plugins.export.network import NodeGraph
from qsnn_plugins.export.runtime import CompiledNetwork, compile_network

__all__ = ["IntegerNetwork", "load"]


class IntegerNetwork(NodeGraph):
    """A network of integers: sums, comparisons and tables, and no float in between.

    Args:
        nodes: Inputs before what takes them; the last is the output.
    """

    def save(self, path: str | Path) -> None:
        """Write it as safetensors; see `export.load`.

        Args:
            path: The file, by convention `.safetensors`; it is there whole or not at all.

        Raises:
            ArgumentError: If it cannot be written there.
        """
        save(self, path)

    def to_c(self, folder: str | Path, prefix: str = "qsnn") -> None:
        """Write it as C99 that knows no floats and allocates nothing; see `export.c.write_c`.

        Args:
            folder: Made where it is missing.
            prefix: What the names in the header begin with.

        Raises:
            ArgumentError: If the folder cannot be written, or no name in C begins with the prefix.
            ExportError: If something in the network goes beyond 32 bits.
        """
        write_c(self, folder, prefix)

    def compile(self, threads: int | None = None, frames: Tensor | None = None) -> CompiledNetwork:
        """Return the same network, built for this machine's CPU: the same integers, fast.

        Each layer is summed in the way that was fastest when it was measured here, at the rates
        of `frames`. The first call on a machine needs a C++ compiler.

        Args:
            threads: Threads of a call, or None for torch's number.
            frames: What the ways are measured with, [T, N, ...] as in a call; noise without.

        Raises:
            ArgumentError: If an argument is not allowed.
            BuildError: If there is no compiler.
            ExportError: If values do not fit in 32 bits.
        """
        return compile_network(self, threads, frames)


def load(path: str | Path) -> IntegerNetwork:
    """Read a network that `IntegerNetwork.save` wrote; nothing in it is run.

    Args:
        path: The file.

    Returns:
        The network.

    Raises:
        ExportError: If the file is missing, damaged, or no integer network.
        ArgumentError: If `path` is none.
    """
    return IntegerNetwork(read(path))
