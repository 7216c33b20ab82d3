"""What `qsnn export` does once its words are known."""

from __future__ import annotations

import shlex
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qsnn_plugins import export as integers
from qsnn_plugins.cli.built import BuiltRecipe
from qsnn_plugins.cli.composition import Composition
from qsnn_plugins.cli.failures import RecipeError
from qsnn_plugins.cli.samples import spaced_batches
from qsnn_plugins.export.c.write import check_target
from qsnn_plugins.files import atomic_write, check_replaceable, writable
from qsnn_plugins.ops.compiler import BuildError

_TIMED = 20  # samples


def export(
    recipes: Composition,
    checkpoint: str,
    kind: str,
    folder: Path,
    batches: int | None,
    prefix: str = "qsnn",
) -> str:
    """Write the integers of a trained recipe, and return what to print.

    Args:
        recipes: The recipe.
        checkpoint: File with trained weights, or `last`.
        kind: "c" or "safetensors".
        folder: Where the files go; it is made where it is not there.
        batches: How many batches of evenly spaced test samples are compared, None for all.
        prefix: Prefix of the names in C.

    Raises:
        RecipeError: The recipe cannot be built.
        ArgumentError: The files cannot be written, or the prefix is not allowed.
        ExportError: Its network has no form in integers.
        DataError: The data are missing or broken.
    """
    # both checks come before what takes long
    if kind == "c":
        check_target(folder, prefix)
    other = folder / ("sample.bin" if kind == "c" else f"{recipes.name}.safetensors")
    with writable("--out", folder):
        check_replaceable(other)
    built = BuiltRecipe.build(recipes, checkpoint)
    network = built.model.eval().network
    built.datamodule.prepare_data()
    built.datamodule.setup("test")
    steps = getattr(built.model, "time_steps", None)
    first, _ = next(iter(SampleBatches(built, steps, 1)), (None, None))
    if first is None:
        raise RecipeError(f"{type(built.datamodule).__name__} has no test data")
    integer = integers.to_integer(network, first)
    with writable("--out", folder):  # and this before the comparison
        folder.mkdir(parents=True, exist_ok=True)
    found = integers.verify(network, integer, SampleBatches(built, steps, batches))
    if kind == "c":
        integer.to_c(folder, prefix)
        wrote = _sample(integer, first, folder)
    else:
        integer.save(other)
        wrote = f"wrote {other}; qsnn_plugins.export.load reads it"
    return "\n\n".join([str(integer), str(found), _speed(integer, first), wrote])


def _sample(integer: integers.IntegerNetwork, frames: Tensor, folder: Path) -> str:
    """Write the first sample as the program reads it; return how to run it, and its answer."""
    whole = integer.quantize(frames[:, :1])
    width = np.dtype(np.uint8 if integer.input.low >= 0 else "<i2")
    with atomic_write(folder / "sample.bin") as file:
        file.write(whole.numpy().astype(width).tobytes())
    answer = int(integer(whole)[0].sum(0)[0].argmax())
    # a Path would leave out the ./ that a shell needs
    place, program, sample = (
        shlex.quote(f"{folder}{name}") for name in ("", "/main", "/sample.bin")
    )
    run = f"make -C {place} && {program} {len(whole)} < {sample}"
    return f"wrote {folder}/network.c and what belongs to it; this prints {answer}:\n    {run}"


class SampleBatches:
    """Time-major frames [T, N, ...] of evenly spaced test samples, and labels [N] or None."""

    def __init__(self, built: Any, steps: int | None, count: int | None) -> None:
        self._loader, self._steps = built.datamodule.test_dataloader(), steps
        self._count = len(self._loader) if count is None else min(count, len(self._loader))

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[Tensor, Any]]:
        for frames, labels, *_ in spaced_batches(self._loader, self._count):
            steps = self._steps
            major = frames.transpose(0, 1) if steps is None else frames.expand(steps, *frames.shape)
            is_class = isinstance(labels, Tensor) and labels.dim() == 1
            yield major.float(), labels if is_class else None


def _speed(integer: integers.IntegerNetwork, frames: Tensor) -> str:
    try:
        compiled = integer.compile()
    except BuildError as error:  # what was compared and written stands without it
        return f"not timed: {error}"
    times = []
    with torch.no_grad():
        for sample in range(min(_TIMED, frames.shape[1])):
            start = time.perf_counter()
            compiled(frames[:, sample : sample + 1])
            times.append(time.perf_counter() - start)
    return (
        f"{1000 * statistics.median(times):.2f} ms a sample of {len(frames)} steps, one at a time"
    )
