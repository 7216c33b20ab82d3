"""Time of the fused neuron against SpikingJelly's and against the memory, forward and backward.

    python tests/benchmarks/quantized_lif.py --rounds 11 --threads 1 2 --shapes 4,64,64,32,32

What is compared runs in turn within each round, and the median of the rounds' ratios is printed:
the speed of a shared machine changes from one minute to the next, and its ratios less so. The host
is LIFNode in eager mode with the papers' leak; copy and add are one pass over memory of the input's
size; the bytes are those saved for the backward, a neuron and step.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from spikingjelly.activation_based import functional, neuron
from torch import Tensor

from qsnn_plugins.ops.quantized_lif import Parameters, quantized_lif

SHAPES = ((4, 64, 64, 32, 32), (10, 16, 128, 24, 24), (2, 128, 128, 32, 32))
LINE = "{:<22}{:>8}" + "{:>15}" * 6
HEAD = ("ours/host", "reference/host", "copy/host", "forward/copy", "backward/add", "bytes saved")


def main() -> None:
    """Print one line for each shape and number of threads."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--shapes", nargs="+", default=[",".join(map(str, s)) for s in SHAPES])
    options = parser.parse_args()
    print(f"torch {torch.__version__}, load average {os.getloadavg()[0]:.1f}")
    print(LINE.format("[T, N, ...]", "threads", *HEAD))
    for text in options.shapes:
        shape = tuple(int(size) for size in text.split(","))
        for threads in options.threads:
            torch.set_num_threads(threads)
            ratios = compare(shape, options.rounds)
            print(LINE.format(str(list(shape)), threads, *(f"{ratio:.3f}" for ratio in ratios)))
    print(f"load average {os.getloadavg()[0]:.1f}")


def compare(shape: tuple[int, ...], rounds: int) -> list[float]:
    """Return the medians that a line of the table shows."""
    x_seq, grad = torch.randn(shape, requires_grad=True), torch.randn(shape)
    node = neuron.LIFNode(tau=2.0, decay_input=False, step_mode="m")

    def host(x_seq: Tensor) -> Tensor:
        functional.reset_net(node)
        return node(x_seq)

    def fused(backend: str, x_seq: Tensor) -> Tensor:
        return quantized_lif(x_seq, 0.0, 1.0, Parameters(), backend)[0]

    ours = partial(fused, "cpp")
    for run in (host, ours):
        train(run, x_seq, grad)
    columns: list[list[float]] = [[] for _ in range(5)]
    for _ in range(rounds):
        lif = sum(train(host, x_seq, grad))
        forward, backward = train(ours, x_seq, grad)
        reference = sum(train(partial(fused, "reference"), x_seq, grad))
        copy = timed(x_seq.detach().clone)
        add = timed(lambda: x_seq.detach() + grad)
        measured = (forward + backward) / lif, reference / lif, copy / lif
        for column, ratio in zip(columns, (*measured, forward / copy, backward / add), strict=True):
            column.append(ratio)
    return [*map(statistics.median, columns), saved(ours, x_seq) / x_seq.numel()]


def train(run: Callable[[Tensor], Tensor], x_seq: Tensor, grad: Tensor) -> tuple[float, float]:
    """Return the seconds of a forward and of its backward."""
    x_seq.grad = None
    begin = time.perf_counter()
    spikes = run(x_seq)
    between = time.perf_counter()
    spikes.backward(grad)
    return between - begin, time.perf_counter() - between


def timed(call: Callable[[], Tensor]) -> float:
    """Return the seconds of a call, the freeing of its result left out."""
    begin = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - begin
    del result
    return seconds


def saved(run: Callable[[Tensor], Tensor], x_seq: Tensor) -> int:
    """Return the bytes that a forward keeps for its backward."""
    sizes: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel() * tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        run(x_seq)
    return sum(sizes)


if __name__ == "__main__":
    main()
